"""The node that our own cluster runs on is this machine: its processes are ours to look at."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from kubestudy.runtime.client import Object
from tests.support.waiting import until


def kill(pod: Object) -> None:
    """Ends the first process of a pod's first container by SIGKILL, and waits until it has."""
    container = pod["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
    pids = processes(container)
    assert pids, f"container {container} has no process here"
    first = min(pids)
    os.kill(first, signal.SIGKILL)
    until(lambda: first not in processes(container), what=f"process {first} has ended", timeout=10)


def processes(container: str) -> list[int]:
    """The processes of a container."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            if container in path.read_text():
                found.append(int(path.parent.name))
    return found
