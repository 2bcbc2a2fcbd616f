"""The way to the API server is bad: answers fail, are late or lost, streams end or fall silent.

``make test`` runs each fault for some seconds, ``make test-faults`` for a minute.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kubestudy.runtime.client import JOBS, TRIALS
from tests.support.controller_process import ControllerProcess
from tests.support.fault_proxy import NONE, Call, Fault, FaultProxy
from tests.support.kubectl import Namespace, condition, count, finished
from tests.support.kubelet import Ending, Kubelet
from tests.support.recorder import Recorder
from tests.support.studies import study
from tests.support.surroundings import thorough
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

SECONDS = 60 if thorough() else 4
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


def some(share: float, *faults: Fault, of: Callable[[Call], bool] = lambda _: True):
    """A share of the requests meets one of these faults."""
    dice = random.Random(20)

    def choose(call: Call) -> Fault:
        return dice.choice(faults) if of(call) and dice.random() < share else NONE

    return choose


ERRORS = [Fault(status=s, reason=r) for s, r in [(429, "TooManyRequests"), (500, "InternalError")]]
ERRORS += [Fault(status=503, reason="ServiceUnavailable"), Fault(status=504, reason="Timeout")]
CONFLICT = Fault(status=409, reason="Conflict")
EXPIRED = Fault(status=410, reason="Expired")

FAULTS = {
    "a fifth of the answers are errors": some(0.2, *ERRORS),
    "every answer is an error": some(1, *ERRORS),
    "a third of the writes conflict": some(0.3, CONFLICT, of=lambda c: c.method == "PATCH"),
    "a third of the answers to writes are lost": some(0.3, Fault(lose=True), of=lambda c: c.writes),
    "a fifth of the connections are cut": some(0.2, Fault(cut=True)),
    "half of the watches have expired": some(0.5, EXPIRED, of=lambda c: c.watches),
    "everything takes half a second": some(1, Fault(delay=0.5)),
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
        time.sleep(2 * SECONDS)  # for so long nothing gets through
        proxy.heal()

    lives_through(disturb, namespace, controller)


def test_a_study_lives_through_silent_streams(
    namespace: Namespace, proxy: FaultProxy, controller: ControllerProcess
) -> None:
    def disturb() -> None:
        proxy.silent.set()
        time.sleep(2 * SECONDS)  # for so long nothing is told
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
        done = namespace.wait_for_end("lived", timeout=AFTERWARDS)
    assert count(done, "succeeded") == 12
    assert done["status"]["best"]["parameters"] == {"rate": 12}
    assert sorted(trials.names) == sorted(f"lived-{i}" for i in range(12))
    assert sorted(jobs.names) == sorted(f"lived-{i}-0-0-0" for i in range(12))
    assert "Traceback" not in controller.log


@pytest.mark.usefixtures("controller")
def test_while_nothing_succeeds_nothing_spins(namespace: Namespace, proxy: FaultProxy) -> None:
    with Kubelet(namespace, lambda p, _: Ending(p["rate"], seconds=0.5)):
        namespace.apply(study("calm", {"rate": [1, 2, 3, 4, 5, 6]}, budget={"parallelism": 3}))
        namespace.wait_for_study("calm", lambda s: count(s, "created") >= 3, "has trials")
        proxy.fault = lambda _: ERRORS[1]
        proxy.cut_streams()
        proxy.counts.clear()
        time.sleep(2 * SECONDS)  # while it counts
        counts = dict(proxy.counts)
        proxy.fault = lambda _: NONE
        namespace.wait_for_end("calm")
    # About one a second for each object, and a few before the back-off has grown.
    assert all(number <= 2 * SECONDS + 4 for number in counts.values()), counts
    assert sum(counts.values()) >= 4


# A Study that cannot go on does not slow the others.


@pytest.mark.usefixtures("controller")
def test_a_job_that_is_refused_is_told_and_others_go_on(
    namespace: Namespace, proxy: FaultProxy
) -> None:
    bad_port = {"name": "p", "containerPort": 99999}
    pod = {"containers": [{"name": "trial", "image": "i", "ports": [bad_port]}]}
    poisoned = study("poisoned", {"rate": [1, 2]}, trial={"template": {"spec": pod}})
    with Kubelet(namespace, lambda p, _: Ending(p["rate"])):
        namespace.apply(poisoned)
        told = namespace.wait_for_study(
            "poisoned",
            lambda s: condition(s, "Progressing").get("reason") == "Invalid",
            "says that its Job is refused",
        )
        assert "99999" in condition(told, "Progressing")["message"]
        proxy.counts.clear()
        began = time.monotonic()
        namespace.apply(study("healthy", {"rate": list(range(1, 9))}))
        done = namespace.wait_for_end("healthy", timeout=30)
    assert count(done, "succeeded") == 8
    seconds = time.monotonic() - began
    path = f"/apis/kubestudy.dev/v1alpha1/namespaces/{namespace.name}/studies/poisoned/status"
    assert proxy.counts["PATCH", path] <= seconds + 1
    assert namespace.jobs("poisoned") == []


@pytest.mark.usefixtures("controller")
def test_a_quota_is_told_and_waited_for(namespace: Namespace) -> None:
    namespace.kubectl("create", "quota", "few", "--hard=count/jobs.batch=2")
    until(
        lambda: namespace.kubectl("get", "quota", "few", "-o", "jsonpath={.status.hard}"),
        what="the quota is in force",
    )
    with Kubelet(namespace, lambda p, _: Ending(p["rate"])):
        namespace.apply(study("poor", {"rate": [1, 2, 3, 4]}, budget={"parallelism": 4}))
        told = namespace.wait_for_study(
            "poor",
            lambda s: (
                condition(s, "Progressing").get("reason") == "QuotaExceeded" and finished(s) == 2
            ),
            "says that the quota is exceeded, and counts what has ended",
        )
        assert re.search(r"limited: count/jobs.batch=2", condition(told, "Progressing")["message"])
        namespace.kubectl("delete", "quota", "few")
        done = namespace.wait_for_end("poor", timeout=AFTERWARDS)
    assert count(done, "succeeded") == 4


def test_a_namespace_that_is_deleted_takes_its_studies_along(
    namespace: Namespace, controller: ControllerProcess
) -> None:
    with Kubelet(namespace, lambda p, _: Ending(p["rate"], seconds=1)):
        namespace.apply(study("doomed", {"rate": list(range(1, 13))}))
        namespace.wait_for_study("doomed", lambda s: count(s, "created"), "has trials")
        namespace.kubectl("delete", "namespace", namespace.name, "--wait=false")
        until(
            lambda: (
                namespace.study("doomed"),
                namespace.trials("doomed"),
                namespace.jobs("doomed"),
            ),
            lambda left: not any(left),
            what="nothing is left",
        )
    assert controller.running
    assert "Traceback" not in controller.log


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
