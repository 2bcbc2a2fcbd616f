"""The node that our own cluster runs on is this machine: its processes are ours to look at."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kubestudy.runtime.client import Object
from tests.support.waiting import until
from tests.testcluster import Cluster


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
    return min(pids, key=_started)


def _started(pid: int) -> int:
    """When a process started, in ticks: process ids are used again, and say nothing of it."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0  # it has ended


@contextlib.contextmanager
def beside_another(cluster: Cluster) -> Iterator[None]:
    """Beside our node there is another one, in name only: it is ready, and no pod is put on it.

    Where no node at all answers, Kubernetes takes that for a fault of its own and leaves all pods.
    """
    name, over = "another", threading.Event()
    path, began = f"/api/v1/nodes/{name}/status", _now()

    def answer() -> None:
        while not over.is_set():
            ready = {"type": "Ready", "status": "True", "reason": "Test", "message": ""}
            times = {"lastHeartbeatTime": _now(), "lastTransitionTime": began}
            with contextlib.suppress(OSError):
                cluster.api.patch(path, {"status": {"conditions": [ready | times]}})
            over.wait(2)

    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(node | {"spec": {"unschedulable": True}}))
    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        cluster.kubectl("delete", "node", name)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
