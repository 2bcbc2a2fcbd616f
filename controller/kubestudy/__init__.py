"""kubestudy: a Kubernetes operator that tunes the hyperparameters of Hugging Face models."""

__version__ = "0.1.0"
