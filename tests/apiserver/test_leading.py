"""Two controllers, of which one decides."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import pytest

from tests.support.audit import requests
from tests.support.controller_process import ControllerProcess
from tests.support.fault_proxy import FaultProxy
from tests.support.kubectl import Namespace, count
from tests.support.kubelet import Ending, Kubelet
from tests.support.studies import study
from tests.support.surroundings import thorough
from tests.testcluster import ControlPlane

pytestmark = pytest.mark.timeout(180)

SIX = {"rate": list(range(1, 7))}


@pytest.fixture
def pair(
    control_plane: ControlPlane,
    namespace: Namespace,
    start_controller: Callable[..., ControllerProcess],
) -> tuple[ControllerProcess, ControllerProcess]:
    """A leader and its standby; the audit log knows them as the users one and two."""

    def start(user: str) -> ControllerProcess:
        return start_controller(
            f"--lease-namespace={namespace.name}",
            kubeconfig=control_plane.kubeconfig_for(user, ["system:masters"]),
        )

    leader = start("one")
    leader.wait_for_log("leading as")
    standby = start("two")
    standby.wait_for_log("waiting for the leader")
    return leader, standby


def who_decided(control_plane: ControlPlane, namespace: Namespace) -> list[str]:
    """Who wrote trials, Jobs and statuses: each name once for each time that it took turns."""
    deciding = [
        r
        for r in requests(control_plane.audit_log)
        if r.namespace == namespace.name
        and r.user in ("one", "two")
        and r.writes
        and r.resource != "leases"
    ]
    deciding.sort(key=lambda r: r.time)
    return [user for user, _ in groupby(r.user for r in deciding)]


def first_decision(control_plane: ControlPlane, namespace: Namespace, user: str) -> datetime:
    """When a controller first wrote anything but the lease."""
    return min(
        r.time
        for r in requests(control_plane.audit_log)
        if (r.namespace, r.user) == (namespace.name, user) and r.writes and r.resource != "leases"
    )


@pytest.mark.parametrize(
    ("end", "seconds"),
    [(ControllerProcess.kill, 20), (ControllerProcess.terminate, 3)],
    ids=["SIGKILL", "SIGTERM"],
)
def test_the_standby_takes_over(
    control_plane: ControlPlane,
    namespace: Namespace,
    pair: tuple[ControllerProcess, ControllerProcess],
    end: Callable[[ControllerProcess], object],
    seconds: float,
) -> None:
    leader, standby = pair
    with Kubelet(namespace, lambda _p, _: Ending(0.5, seconds=0.5)):
        namespace.apply(study("led"))
        namespace.wait_for_study("led", lambda s: s.get("status", {}).get("trials"), "goes on")
        end(leader)
        ended, moment = time.monotonic(), datetime.now(UTC)
        standby.wait_for_log("leading as", timeout=seconds)
        assert time.monotonic() - ended < seconds
        namespace.wait_for_end("led")
    assert len(namespace.jobs("led")) == 18
    assert who_decided(control_plane, namespace) == ["one", "two"]
    assert (first_decision(control_plane, namespace, "two") - moment).total_seconds() < seconds


def test_a_leader_that_was_frozen_writes_nothing_once_it_is_thawed(
    control_plane: ControlPlane,
    namespace: Namespace,
    pair: tuple[ControllerProcess, ControllerProcess],
) -> None:
    leader, standby = pair
    with Kubelet(namespace, lambda _p, _: Ending(0.5, seconds=1)):
        namespace.apply(study("thawed", SIX, budget={"parallelism": 1}))
        namespace.wait_for_study("thawed", lambda s: count(s, "succeeded"), "goes on")
        leader.signal(signal.SIGSTOP)
        standby.wait_for_log("leading as", timeout=20)
        before = count(namespace.study("thawed"), "succeeded")
        namespace.wait_for_study(
            "thawed", lambda s: count(s, "succeeded") > before + 1, "goes on with the standby"
        )
        leader.signal(signal.SIGCONT)
        assert leader.wait_for_exit() == 1
        done = namespace.wait_for_end("thawed", timeout=90)
    assert count(done, "succeeded") == len(namespace.jobs("thawed")) == 6
    assert who_decided(control_plane, namespace) == ["one", "two"]


def test_a_leader_that_is_cut_off_writes_nothing_once_another_leads(
    control_plane: ControlPlane,
    namespace: Namespace,
    start_controller: Callable[..., ControllerProcess],
    tmp_path: Path,
) -> None:
    one, two = (control_plane.kubeconfig_for(n, ["system:masters"]) for n in ("one", "two"))
    lease = f"--lease-namespace={namespace.name}"
    with (
        FaultProxy(one, tmp_path) as proxy,
        Kubelet(namespace, lambda _p, _: Ending(0.5, seconds=1)),
    ):
        leader = start_controller(lease, kubeconfig=proxy.kubeconfig)
        leader.wait_for_log("leading as")
        standby = start_controller(lease, kubeconfig=two)
        standby.wait_for_log("waiting for the leader")
        namespace.apply(study("parted", SIX, budget={"parallelism": 1}))
        namespace.wait_for_study("parted", lambda s: count(s, "succeeded"), "goes on")
        proxy.part(silently=True)
        standby.wait_for_log("leading as", timeout=20)
        time.sleep(45 if thorough() else 0)  # for so long it sees nothing
        proxy.heal()
        assert leader.wait_for_exit(60) == 1
        leader.start()  # as a kubelet does
        leader.wait_for_log("waiting for the leader")
        done = namespace.wait_for_end("parted", timeout=90)
    assert count(done, "succeeded") == len(namespace.jobs("parted")) == 6
    assert who_decided(control_plane, namespace) == ["one", "two"]


def test_a_leader_that_is_told_to_stop_stops_at_once(
    pair: tuple[ControllerProcess, ControllerProcess],
) -> None:
    leader, _ = pair
    began = time.monotonic()
    assert leader.terminate() == 0
    assert time.monotonic() - began < 5
    assert "Traceback" not in leader.log


def test_a_restarted_container_leads_again_at_once(
    namespace: Namespace,
    start_controller: Callable[..., ControllerProcess],
    control_plane: ControlPlane,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("POD_UID", "the-same-pod")
    masters = control_plane.kubeconfig_for("one", ["system:masters"])
    controller = start_controller(f"--lease-namespace={namespace.name}", kubeconfig=masters)
    controller.wait_for_log("leading as")
    controller.kill()
    controller.start()
    controller.wait_for_log("leading as", timeout=10)
