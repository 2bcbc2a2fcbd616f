"""Studies in a browser: shown by optuna-dashboard, which may read them and nothing else."""
