"""The node that our own cluster runs on is this machine: its processes are ours to look at."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from kubestudy.runtime.client import Object
from tests.support.waiting import until


@dataclass(frozen=True)
class Usage:
    """What a program has used since its start.

    Attributes:
        cpu: Seconds of the processors.
        peak: The most memory that it held at a time, in MiB.
    """

    cpu: float
    peak: float

    @classmethod
    def of(cls, pod: Object) -> Usage:
        """That of the first process of a pod's first container."""
        folder = Path("/proc") / str(_first_process(pod))
        # The command's name, in parentheses, may hold spaces: fields count from its end.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
        ticks = int(fields[11]) + int(fields[12])
        return cls(ticks / os.sysconf("SC_CLK_TCK"), int(peak) / 1024)


def kill(pod: Object) -> None:
    """Ends the first process of a pod's first container by SIGKILL, and waits until it has."""
    first = _first_process(pod)
    os.kill(first, signal.SIGKILL)
    container = _container(pod)
    until(lambda: first not in processes(container), what=f"process {first} has ended", timeout=10)


def processes(container: str) -> list[int]:
    """The processes of a container."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            if container in path.read_text():
                found.append(int(path.parent.name))
    return found


def _container(pod: Object) -> str:
    name: str = pod["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
    return name


def _first_process(pod: Object) -> int:
    pids = processes(_container(pod))
    assert pids, f"container {_container(pod)} has no process here"
    return min(pids)
