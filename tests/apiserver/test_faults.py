"""The way to the API server is bad: answers fail, are late or lost, streams end or fall silent.

``make test`` runs each fault for some seconds, ``make test-faults`` for a minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kubestudy.runtime.client import JOBS, TRIALS
from tests.support.controller_process import ControllerProcess
from tests.support.fault_proxy import ERRORS, NONE, Fault, FaultProxy, some
from tests.support.kubectl import Namespace, count
from tests.support.kubelet import Ending, Kubelet
from tests.support.recorder import Recorder
from tests.support.studies import study
from tests.support.surroundings import thorough

pytestmark = pytest.mark.timeout(1200)

SECONDS = 60 if thorough() else 4
SILENCE = 120 if thorough() else 4
PARTITION = 600 if thorough() else 15
"""Seconds. However long it is, what it leaves behind are back-offs of at most 10 and 20 s."""
AFTERWARDS = 60.0
"""Within this time after a fault everything is as it should be."""


@pytest.fixture
def controller(
    proxy: FaultProxy, start_controller: Callable[..., ControllerProcess]
) -> ControllerProcess:
    """A controller that speaks to the API server through the proxy."""
    process = start_controller("--no-leader-elect", kubeconfig=proxy.kubeconfig)
    process.wait_for_log("caches are in")
    return process


CONFLICT = Fault(status=409, reason="Conflict")
EXPIRED = Fault(status=410, reason="Expired")

FAULTS = {
    "a fifth of the answers are errors": some(0.2, ERRORS),
    "every answer is an error": some(1, ERRORS),
    "a third of the writes conflict": some(0.3, [CONFLICT], of=lambda c: c.method == "PATCH"),
    "a third of the answers to writes are lost": some(
        0.3, [Fault(lose=True)], of=lambda c: c.writes
    ),
    "a fifth of the connections are cut": some(0.2, [Fault(cut=True)]),
    "half of the watches have expired": some(0.5, [EXPIRED], of=lambda c: c.watches),
    "everything takes half a second": some(1, [Fault(delay=0.5)]),
}


@pytest.mark.usefixtures("rights_suffice")
@pytest.mark.parametrize("name", FAULTS)
def test_a_study_lives_through_bad_answers(
    name: str, namespace: Namespace, proxy: FaultProxy, controller: ControllerProcess
) -> None:
    def disturb() -> None:
        proxy.fault = FAULTS[name]
        proxy.cut_streams()
        time.sleep(SECONDS)  # for so long the fault lasts
        proxy.fault = lambda _: NONE

    lives_through(disturb, namespace, controller)


def test_a_study_lives_through_a_partition(
    namespace: Namespace, proxy: FaultProxy, controller: ControllerProcess
) -> None:
    def disturb() -> None:
        proxy.part()
        time.sleep(PARTITION)  # for so long nothing gets through
        proxy.heal()

    lives_through(disturb, namespace, controller)


def test_a_study_lives_through_silent_streams(
    namespace: Namespace, proxy: FaultProxy, controller: ControllerProcess
) -> None:
    def disturb() -> None:
        proxy.silent.set()
        time.sleep(SILENCE)  # for so long nothing is told
        proxy.silent.clear()

    lives_through(disturb, namespace, controller)


def lives_through(
    disturb: Callable[[], None], namespace: Namespace, controller: ControllerProcess
) -> None:
    """Runs a Study with a fault in the middle; nothing is done twice, and it ends soon after."""
    rates = list(range(1, 13))
    with (
        Kubelet(namespace, lambda p, _: Ending(p["rate"], seconds=1)),
        Recorder(namespace, TRIALS) as trials,
        Recorder(namespace, JOBS) as jobs,
    ):
        namespace.apply(study("lived", {"rate": rates}, budget={"parallelism": 3}))
        namespace.wait_for_study("lived", lambda s: count(s, "succeeded"), "has a result")
        disturb()
        began = time.monotonic()
        # The first may have come to its end under a fault that lets some things through.
        namespace.apply(study("after", {"rate": [1, 2]}))
        namespace.wait_for_end("after", timeout=AFTERWARDS)
        done = namespace.wait_for_end("lived", timeout=AFTERWARDS - (time.monotonic() - began))
        print(f"done {time.monotonic() - began:.1f} s after the fault")
    assert count(done, "succeeded") == 12
    assert done["status"]["best"]["parameters"] == {"rate": 12}
    expected = [*(f"lived-{i}" for i in range(12)), "after-0", "after-1"]
    assert sorted(trials.names) == sorted(expected)
    assert sorted(jobs.names) == sorted(f"{trial}-0-0-0" for trial in expected)
    assert "Traceback" not in controller.log


@pytest.mark.usefixtures("controller")
def test_while_nothing_succeeds_nothing_spins(namespace: Namespace, proxy: FaultProxy) -> None:
    with Kubelet(namespace, lambda p, _: Ending(p["rate"], seconds=0.5)):
        namespace.apply(study("calm", {"rate": [1, 2, 3, 4, 5, 6]}, budget={"parallelism": 3}))
        namespace.wait_for_study("calm", lambda s: count(s, "created") >= 3, "has trials")
        proxy.fault = lambda _: ERRORS[1]
        proxy.cut_streams()
        time.sleep(SECONDS)  # while it fails
        proxy.fault = lambda _: NONE
        namespace.wait_for_end("calm")
    assert len(proxy.failed) >= 4
    assert proxy.spinning == {}


@pytest.mark.usefixtures("controller")
def test_what_expires_at_once_is_listed_again_calmly(
    namespace: Namespace, proxy: FaultProxy
) -> None:
    proxy.fault = some(1, [EXPIRED], of=lambda call: call.watches)
    proxy.cut_streams()
    time.sleep(SECONDS)  # while it fails
    proxy.fault = lambda _: NONE
    assert len(proxy.failed) >= 4
    assert proxy.spinning == {}
    with Kubelet(namespace, lambda p, _: Ending(p["rate"])):
        namespace.apply(study("after", {"rate": [1, 2]}))
        namespace.wait_for_end("after", timeout=AFTERWARDS)


def test_the_proxy_is_no_excuse(tmp_path: Path, account: Path, namespace: Namespace) -> None:
    """The proxy's own promise: what it says it does is done."""
    from kubestudy.runtime.client import PODS, ApiError, KubeClient

    with FaultProxy(account, tmp_path) as proxy:
        client = KubeClient.connect(str(proxy.kubeconfig))
        client.list(PODS, namespace.name)
        proxy.fault = lambda _: EXPIRED
        with pytest.raises(ApiError, match="injected"):
            client.list(PODS, namespace.name)
        proxy.fault = lambda _: Fault(cut=True)
        with pytest.raises(ApiError) as cut:
            client.list(PODS, namespace.name)
        assert cut.value.status == 0
        assert proxy.counts["GET", PODS.path(namespace.name)] == 3
