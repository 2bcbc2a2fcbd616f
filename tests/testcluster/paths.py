"""Where the test cluster keeps what it makes.

Two folders: the *cache* holds what costs time to make and is good for every later run (built
programs, image layers), the *state* holds what belongs to one running cluster and goes with it.
"""

from __future__ import annotations

import os
from pathlib import Path


def _xdg(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default)


def cache_dir() -> Path:
    """The folder of built programs and image layers."""
    return _xdg("XDG_CACHE_HOME", ".cache") / "kubestudy"


def state_dir(name: str = "cluster") -> Path:
    """The folder of one cluster: logs, process records, certificates, etcd's data.

    Args:
        name: `cluster` for the whole cluster, whose folder `KUBESTUDY_CLUSTER_STATE` overrides;
            any other name gives a folder beside it.
    """
    override = os.environ.get("KUBESTUDY_CLUSTER_STATE")
    if override:
        folder = Path(override).absolute()
        return folder if name == "cluster" else folder.with_name(f"{folder.name}-{name}")
    return _xdg("XDG_STATE_HOME", ".local/state") / "kubestudy" / name
