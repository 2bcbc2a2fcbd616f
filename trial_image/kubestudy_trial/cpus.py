"""How many CPUs this process may use, which in a container is less than the machine has."""

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cpus(cgroup: Path = _CGROUP) -> int:
    """The CPUs of the process's affinity and of the container's limit, whichever is less."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, math.ceil(min(allowed or 1, _limit(cgroup))))


def limit_threads() -> None:
    """Tell OpenMP and the tokenizer, unless the user has. To be called before they are loaded."""
    for variable in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ.setdefault(variable, str(available_cpus()))


def _limit(cgroup: Path) -> float:
    """The limit of cgroup 2, or of cgroup 1, or none."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((cgroup / name).read_text() for name in names).split()
            if int(quota) > 0:
                return int(quota) / int(period)
        except (OSError, ValueError):  # No such file, or "max".
            continue
    return math.inf
