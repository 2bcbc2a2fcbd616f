"""A Study that cannot go on says why, is tried again calmly, and does not slow the others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.support.audit import retries_in_a_second
from tests.support.controller_process import ControllerProcess
from tests.support.fault_proxy import ERRORS, NONE, Call, Fault, FaultProxy
from tests.support.kubectl import Namespace, condition, count, finished
from tests.support.kubelet import Ending, Kubelet
from tests.support.studies import study
from tests.support.surroundings import thorough
from tests.support.waiting import until
from tests.testcluster import ControlPlane

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("nothing_spins")]

GOES_ON = 60.0
"""Within so many seconds a Study goes on once nothing is in its way."""


def test_poisoned_studies_do_not_slow_the_others(
    namespace: Namespace,
    proxy: FaultProxy,
    start_controller: Callable[..., ControllerProcess],
) -> None:
    controller = start_controller("--no-leader-elect", kubeconfig=proxy.kubeconfig)
    rates = {"rate": list(range(1, 6 if thorough() else 2))}

    def healthy(kind: str) -> float:
        """Runs twenty Studies to their ends; returns the seconds that it took."""
        names = [f"{kind}-{i}" for i in range(20)]
        began = time.monotonic()
        namespace.apply(
            {"apiVersion": "v1", "kind": "List", "items": [study(n, rates) for n in names]}
        )
        for name in names:
            done = namespace.wait_for_end(name, timeout=120)
            assert count(done, "succeeded") == len(rates["rate"])
        return time.monotonic() - began

    def fault(call: Call) -> Fault:
        if not call.writes:
            return NONE
        return ERRORS[1] if "/failing" in call.path else Fault(delay=5 * ("/slow" in call.path))

    with Kubelet(namespace, lambda p, _: Ending(p["rate"])):
        alone = healthy("alone")
        # One that cannot be decided about, one that is refused, and two whose writes fail or hang.
        namespace.apply(study("raising", rates, budget={"timeout": "1h"}, suspend=True))
        namespace.wait_for_study("raising", lambda s: s.get("status", {}).get("startTime"), "began")
        beyond = '--patch={"status":{"startTime":"9999-12-31T23:59:59Z"}}'
        namespace.kubectl(
            "patch", "study", "raising", "--subresource=status", "--type=merge", beyond
        )
        namespace.apply(study("refused", rates, trial=bad_port()))
        proxy.fault = fault
        namespace.apply(study("failing", rates))
        namespace.apply(study("slow", rates))
        for name, reason, message in (
            ("raising", "InternalError", "OverflowError"),
            ("refused", "Invalid", "99999"),
        ):
            told = namespace.wait_for_study(
                name, lambda s, r=reason: condition(s, "Progressing").get("reason") == r, "says why"
            )
            assert message in condition(told, "Progressing")["message"]
        beside = healthy("beside")
    print(f"20 Studies took {alone:.1f} s alone and {beside:.1f} s beside the poisoned")
    assert beside < 2 * alone + 5
    assert namespace.jobs("refused") == []
    # All of them are tried again, and none of them more than once a second.
    tried = [line for line in controller.log.splitlines() if "/raising: again in" in line]
    assert len(tried) > 2
    assert retries_in_a_second(datetime.fromisoformat(t[:23]).timestamp() for t in tried) <= 1
    assert len(proxy.failed) > 0
    assert proxy.spinning == {}


def bad_port() -> dict[str, Any]:
    """A template that the API server refuses as part of a Job."""
    port = {"name": "p", "containerPort": 99999}
    pod = {"containers": [{"name": "trial", "image": "i", "ports": [port]}]}
    return {"template": {"spec": pod}}


@pytest.mark.usefixtures("controller")
@pytest.mark.parametrize("limited", ["trials.kubestudy.dev", "jobs.batch"])
def test_a_quota_is_told_and_waited_for(limited: str, namespace: Namespace) -> None:
    limit(namespace, f"count/{limited}", 2)
    with at_once(namespace):
        namespace.apply(study("poor", {"rate": [1, 2, 3, 4]}, budget={"parallelism": 4}))
        told = namespace.wait_for_study(
            "poor",
            lambda s: (
                condition(s, "Progressing").get("reason") == "QuotaExceeded" and finished(s) == 2
            ),
            "says that the quota is exceeded, and counts what has ended",
        )
        assert f"limited: count/{limited}=2" in condition(told, "Progressing")["message"]
        namespace.kubectl("delete", "quota", "few")
        done = namespace.wait_for_end("poor", timeout=GOES_ON)
    assert count(done, "succeeded") == 4


@pytest.mark.usefixtures("controller")
def test_a_quota_on_pods_is_told_by_the_trial(namespace: Namespace) -> None:
    """The Job is there, and the Job controller alone is refused its pod."""
    limit(namespace, "pods", 0)
    with at_once(namespace):
        namespace.apply(study("poor", {"rate": [1]}))
        (waiting,) = until(
            lambda: namespace.trials("poor"),
            lambda trials: (
                [condition(t, "Pending").get("reason") for t in trials] == ["QuotaExceeded"]
            ),
            what="the trial says that the quota is exceeded",
        )
        assert "limited: pods=0" in condition(waiting, "Pending")["message"]
        assert "QuotaExceeded" in namespace.kubectl("get", "trials")
        namespace.kubectl("delete", "quota", "few")
        done = namespace.wait_for_end("poor", timeout=GOES_ON)
    assert count(done, "succeeded") == 1


def limit(namespace: Namespace, what: str, number: int) -> None:
    """Makes a quota, and waits until it is in force."""

    def make() -> str:
        # A quota on what the quota controller has not heard of yet is left alone for minutes.
        namespace.kubectl("delete", "quota", "few", "--ignore-not-found")
        namespace.kubectl("create", "quota", "few", f"--hard={what}={number}")
        time.sleep(0.5)
        return namespace.kubectl("get", "quota", "few", "-o", "jsonpath={.status.used}")

    until(make, what="the quota is in force", timeout=120, every=1)


def at_once(namespace: Namespace) -> Kubelet:
    """Trials end soon."""
    return Kubelet(namespace, lambda p, _: Ending(p["rate"]))


def test_a_namespace_that_is_terminating_is_told_and_waited_for(
    namespace: Namespace, controller: ControllerProcess, control_plane: ControlPlane
) -> None:
    with Kubelet(namespace, lambda p, _: Ending(p["rate"], seconds=3)):
        namespace.apply(study("doomed", {"rate": list(range(1, 13))}, budget={"parallelism": 2}))
        until(lambda: namespace.active_pods("doomed"), lambda p: len(p) == 2, what="two pods run")
        # Nothing in the namespace is deleted while nobody does it.
        manager = control_plane.controller_manager.pid
        assert manager is not None
        os.kill(manager, signal.SIGSTOP)
        try:
            namespace.kubectl("delete", "namespace", namespace.name, "--wait=false")
            namespace.wait_for_study(
                "doomed",
                lambda s: condition(s, "Progressing").get("reason") == "NamespaceTerminating",
                "says that its namespace is being deleted",
            )
            time.sleep(20 if thorough() else 4)  # while it is tried again
        finally:
            os.kill(manager, signal.SIGCONT)
        until(
            lambda: [
                namespace.study("doomed"),
                namespace.trials("doomed"),
                namespace.jobs("doomed"),
            ],
            lambda left: not any(left),
            what="nothing is left",
        )
    assert controller.running
    assert "Traceback" not in controller.log
