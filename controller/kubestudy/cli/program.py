"""Which of the two programs this is."""

from __future__ import annotations

import sys
from pathlib import Path


def is_kubectl_plugin() -> bool:
    """Whether kubectl started this process as its plugin."""
    return Path(sys.argv[0]).name.startswith("kubectl-")


def program_name() -> str:
    """The name that a person typed."""
    return "kubectl study" if is_kubectl_plugin() else "kubestudy"
