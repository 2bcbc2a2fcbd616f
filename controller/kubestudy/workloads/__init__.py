"""What a run is executed as, one file a kind: how it is built, and how it is seen."""
