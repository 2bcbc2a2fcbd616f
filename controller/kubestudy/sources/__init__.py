"""Where metrics come from, one file a source. Each gives observations and knows nothing else."""
