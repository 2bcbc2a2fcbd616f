"""A restart loses nothing of a long log, of which a kubelet gives out the newest file alone."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from kubestudy.runtime.client import JOBS, Object
from tests.support.controller_process import ControllerProcess
from tests.support.fault_proxy import NONE, Call, Fault, FaultProxy
from tests.support.kubectl import Namespace, count
from tests.support.pushing import PushingKubelet
from tests.support.studies import study
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("rights_suffice")]

MIB = 1 << 20


class NewestFile:
    """The newest file of a pod's log, in place of the log that the API server would ask for."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.readings = 0
        self._second = 0

    def write(self, text: str, size: int = 0) -> None:
        """Adds a line, and noise of a size after it."""
        self._second += 1
        stamp = f"2026-01-01T00:{self._second // 60:02}:{self._second % 60:02}.5Z".encode()
        noise = [stamp + b" " + b"x" * 1000] * (size // 1000)
        self.lines += [stamp + b" " + text.encode(), *noise]

    def __call__(self, call: Call) -> Fault:
        asked = re.search(r"/log\?", call.path)
        if asked is None:
            return NONE
        since = re.search(r"sinceTime=(\d+-\d+-\d+T\d+)%3A(\d+)%3A(\d+)Z", call.path)
        first = ":".join(since.groups()).encode() if since else b""
        self.readings += 1
        return Fault(answer=b"".join(one + b"\n" for one in self.lines if one >= first))

    def wait_until_read(self) -> None:
        """Waits until all of it has been read: what is asked for twice more."""
        now = self.readings
        until(lambda: self.readings, lambda n: n > now + 2, what="the log is read", timeout=30)


def kept(namespace: Namespace) -> str:
    (job,) = namespace.jobs("long")
    return str(job["metadata"]["annotations"].get("kubestudy.dev/log", ""))


def writes(proxy: FaultProxy, namespace: Namespace) -> int:
    return proxy.counts["PATCH", JOBS.path(namespace.name, "long-0-0-0-0")]


@pytest.mark.parametrize(
    ("end", "extremes", "number"),
    [(ControllerProcess.kill, (0.1, 0.5), 2), (ControllerProcess.terminate, (0.1, 0.9), 3)],
    ids=["SIGKILL", "SIGTERM"],
)
def test_what_an_older_file_of_a_log_said_outlives_a_restart(
    namespace: Namespace,
    proxy: FaultProxy,
    start_controller: Callable[..., ControllerProcess],
    tmp_path: Path,
    end: Callable[[ControllerProcess], object],
    extremes: tuple[float, float],
    number: int,
) -> None:
    """Killed, it loses what came after it was kept; stopped, nothing at all."""
    newest, over = NewestFile(), threading.Event()
    proxy.fault = newest
    controller = start_controller(
        "--lease-namespace=kubestudy-system",
        kubeconfig=proxy.kubeconfig,
        env={"POD_UID": namespace.name},  # a restarted container, which leads again at once
    )
    with PushingKubelet(namespace, tmp_path, lambda _: 0 if over.wait(100) else 1):
        newest.write("accuracy=0.1")
        namespace.apply(study("long", {"rate": [1]}))
        until(lambda: newest.readings, what="the log is read", timeout=30)
        newest.wait_until_read()
        assert (kept(namespace), writes(proxy, namespace)) == ("", 0), "the log is short"
        newest.write("accuracy=0.5", 3 * MIB)
        until(lambda: kept(namespace), what="the log is kept", timeout=30)
        newest.write("accuracy=0.9")
        newest.wait_until_read()
        assert writes(proxy, namespace) == 1
        end(controller)
        assert writes(proxy, namespace) == number - 1
        newest.lines.clear()
        newest.write("nothing that is a report")
        controller.start()
        controller.wait_for_log("caches are in")
        newest.wait_until_read()
        over.set()
        done = namespace.wait_for_end("long")
    assert count(done, "succeeded") == 1
    (trial,) = namespace.trials("long")
    track: Object
    (track,) = trial["status"]["metrics"]
    assert (track["min"], track["max"], track["count"]) == (*extremes, number)
    assert writes(proxy, namespace) == number - 1
    assert "Traceback" not in controller.log
