"""The shell around the core, in a cluster: it watches, asks the core, and carries plans out."""
