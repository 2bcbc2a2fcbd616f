"""The controller's own clock may be wrong, or jump: the API server's counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubestudy.runtime.client import JOBS, PODS, TRIALS
from tests.support.clocks import WrongClock
from tests.support.controller_process import ControllerProcess
from tests.support.fault_proxy import FaultProxy
from tests.support.kubectl import Namespace, count, end_reason, is_over
from tests.support.kubelet import Ending, Kubelet
from tests.support.recorder import Recorder
from tests.support.studies import study
from tests.support.waiting import until
from tests.testcluster import ControlPlane

pytestmark = pytest.mark.timeout(180)

AHEAD, BEHIND, LATER = 300, -300, 900


@pytest.fixture
def way(control_plane: ControlPlane, tmp_path: Path) -> Iterator[Path]:
    """A kubeconfig that needs no TLS: to a clock that is behind, our certificates are too new."""
    with FaultProxy(control_plane.kubeconfig, tmp_path) as proxy:
        yield proxy.kubeconfig


def test_leaders_with_different_clocks_carry_on_as_one(
    namespace: Namespace,
    way: Path,
    start_controller: Callable[..., ControllerProcess],
    tmp_path: Path,
) -> None:
    ahead, behind = (WrongClock(tmp_path / f"clock{s}", s) for s in (AHEAD, BEHIND))
    lease = f"--lease-namespace={namespace.name}"
    leader = start_controller(lease, kubeconfig=way, env=ahead.env)
    leader.wait_for_log("leading as")
    standby = start_controller(lease, kubeconfig=way, env=behind.env)
    standby.wait_for_log("waiting for the leader")
    assert "s ahead of the API server's" in leader.log
    assert "s behind the API server's" in standby.log
    began = datetime.now(UTC)
    with (
        Kubelet(namespace, lambda p, _: Ending(p["rate"], seconds=1)),
        Recorder(namespace, TRIALS) as trials,
        Recorder(namespace, JOBS) as jobs,
    ):
        budget = {"parallelism": 3, "timeout": "4m"}
        namespace.apply(study("timed", {"rate": list(range(1, 13))}, budget=budget))
        namespace.wait_for_study("timed", lambda s: count(s, "succeeded") >= 3, "goes on")
        assert "leading as" not in standby.log
        leader.terminate()
        standby.wait_for_log("leading as")
        namespace.wait_for_study("timed", lambda s: count(s, "succeeded") >= 6, "goes on")
        behind.jump(LATER)
        done = namespace.wait_for_end("timed")
    assert end_reason(done) == "SearchSpaceExhausted"
    assert sorted(trials.names) == sorted(f"timed-{i}" for i in range(12))
    assert sorted(jobs.names) == sorted(f"timed-{i}-0-0-0" for i in range(12))
    written = [*moments(done["status"]), *moments([t["status"] for t in namespace.trials("timed")])]
    # Whole seconds, of which the fraction is cut off.
    assert began - timedelta(seconds=1) <= min(written)
    assert max(written) <= datetime.now(UTC) + timedelta(seconds=1)


def moments(status: Any) -> Iterator[datetime]:
    """All times in a status."""
    if isinstance(status, dict):
        for field, value in status.items():
            if field.endswith("Time"):
                yield datetime.fromisoformat(value)
            else:
                yield from moments(value)
    elif isinstance(status, list):
        for item in status:
            yield from moments(item)


def test_a_pod_that_is_ending_is_not_taken_for_lost(
    namespace: Namespace,
    way: Path,
    start_controller: Callable[..., ControllerProcess],
    tmp_path: Path,
) -> None:
    ahead = WrongClock(tmp_path / "clock", AHEAD)
    controller = start_controller("--no-leader-elect", kubeconfig=way, env=ahead.env)
    controller.wait_for_log("caches are in")
    endings = {0: Ending(seconds=5, exit_code=143), 1: Ending(1.0)}
    with Kubelet(namespace, lambda _, attempt: endings[attempt]):
        namespace.apply(study("once", {"rate": [1]}))
        (pod,) = until(lambda: namespace.active_pods("once"), what="its pod is there")
        # On a node it is given time to end, here 30 s; what is on none is gone at once.
        to_node = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod},
            "target": {"kind": "Node", "name": "nowhere"},
        }
        path = f"{PODS.path(namespace.name, pod)}/binding"
        namespace.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(to_node))
        namespace.kubectl("delete", "pod", pod, "--wait=false")
        until(
            lambda: [j["metadata"]["name"] for j in namespace.jobs("once")],
            lambda names: "once-0-0-0-1" in names,
            what="it is run again",
        )
        # By then the first has ended: nothing writes to its checkpoints any more.
        first = [p for p in namespace.pods("once") if p["metadata"]["name"] == pod]
        assert all(is_over(p) for p in first)
        done = namespace.wait_for_end("once")
    assert count(done, "succeeded") == 1
    (trial,) = namespace.trials("once")
    runs = [(r["attempt"], r["reason"]) for r in trial["status"]["runs"]]
    assert runs == [(0, "Deleted"), (1, "Completed")]
