"""What this machine has to share out: GPUs and CPUs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """What runs may use.

    Attributes:
        gpus: The GPUs, as CUDA_VISIBLE_DEVICES names them.
        cpus: How many CPUs there are.
    """

    gpus: tuple[str, ...]
    cpus: int

    def share(self, gpus: int, taken: Collection[str]) -> tuple[str, ...] | None:
        """Picks GPUs for a run; None where too few are free now.

        On a machine without any, a run that asks for GPUs gets none, and runs on the CPU.
        """
        if not gpus or not self.gpus:
            return ()
        free = [g for g in self.gpus if g not in taken]
        return tuple(free[:gpus]) if len(free) >= gpus else None

    def environment(self, gpus: Collection[str], parallelism: int) -> dict[str, str]:
        """What tells a run which part of the machine is its own.

        Args:
            gpus: Its GPUs.
            parallelism: How many runs go on at once.
        """
        return {
            # Empty, it hides all GPUs: a container that asks for none sees none either.
            "CUDA_VISIBLE_DEVICES": ",".join(gpus),
            "OMP_NUM_THREADS": str(max(1, self.cpus // parallelism)),
        }


def this_machine(environ: Mapping[str, str] = os.environ) -> Machine:
    """Looks what this machine has, minding the limits set on this process."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(_gpus(environ), cpus or 1)


def _gpus(environ: Mapping[str, str]) -> tuple[str, ...]:
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(g for g in (part.strip() for part in visible.split(",")) if g and g != "-1")
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())
    except (OSError, subprocess.SubprocessError):
        known = Path("/proc/driver/nvidia/gpus")
        return tuple(str(i) for i, _ in enumerate(known.iterdir())) if known.is_dir() else ()
