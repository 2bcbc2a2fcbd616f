"""How well kubestudy searches: side by side with Optuna, Ray Tune and Syne Tune, in one run."""
