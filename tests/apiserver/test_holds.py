"""What others hold back is left to them, by the real controller on a real API server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubestudy.runtime.client import JOBS, Object
from tests.support.kubectl import Namespace, condition, count, is_true
from tests.support.kubelet import Ending, Kubelet
from tests.support.recorder import Recorder
from tests.support.studies import study
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("controller", "rights_suffice")]

ONE = {"learning_rate": [1e-5]}
MARK = "kubestudy.dev/suspended"


def endless(*_: Any) -> Ending:
    return Ending(0.5, seconds=600)


def suspend(namespace: Namespace, job: str, value: bool) -> None:
    patch = json.dumps({"spec": {"suspend": value}})
    namespace.kubectl("patch", "job", job, "--type=merge", f"--patch={patch}")


def job_of(namespace: Namespace) -> Object:
    """The only Job, and that it is there."""
    (job,) = until(lambda: namespace.jobs("held"), what="there is a Job")
    return job


def told(namespace: Namespace) -> str:
    (trial,) = namespace.trials("held")
    pending = condition(trial, "Pending")
    return f"{pending['reason']}: {pending['message']}" if is_true(trial, "Pending") else ""


def test_a_job_that_a_person_holds_back_is_theirs(namespace: Namespace) -> None:
    with Kubelet(namespace, endless):
        namespace.apply(study("held", ONE))
        until(lambda: namespace.active_pods("held"), what="a pod runs")
        name = job_of(namespace)["metadata"]["name"]
        suspend(namespace, name, True)
        held = "HeldBack: held back by kubectl-patch, which set spec.suspend of its Job"
        until(lambda: told(namespace), lambda words: words == held, what="it says by whom")
        until(lambda: namespace.active_pods("held"), lambda pods: not pods, what="its pod is gone")
    with Kubelet(namespace, lambda *_: Ending(0.5)), Recorder(namespace, JOBS) as jobs:
        # Whatever is decided meanwhile, the Job stays as it is.
        namespace.edit("held", {"budget": {"parallelism": 2}})
        namespace.wait_for_study(
            "held",
            lambda s: s["status"]["observedGeneration"] == s["metadata"]["generation"],
            "has seen its change",
        )
        assert job_of(namespace)["spec"]["suspend"] is True
        suspend(namespace, name, False)
        done = namespace.wait_for_end("held")
    assert count(done, "succeeded") == 1
    assert {job["metadata"]["name"] for job in jobs.made.values()} == {name}


def test_what_is_let_go_in_a_suspended_study_is_ended(namespace: Namespace) -> None:
    with Kubelet(namespace, endless):
        namespace.apply(study("held", ONE))
        until(lambda: namespace.active_pods("held"), what="a pod runs")
        namespace.edit("held", {"suspend": True})
        until(lambda: job_of(namespace)["spec"]["suspend"], what="its Job is held back")
        held = job_of(namespace)
        assert MARK in held["metadata"]["annotations"]
        suspend(namespace, held["metadata"]["name"], False)
        until(lambda: namespace.jobs("held"), lambda jobs: not jobs, what="its Job is gone")
        assert told(namespace) == "Suspended: held back while the Study is suspended"
    with Kubelet(namespace, lambda *_: Ending(0.5)):
        namespace.edit("held", {"suspend": False})
        done = namespace.wait_for_end("held")
    assert (count(done, "succeeded"), count(done, "failed")) == (1, 0)
    (trial,) = namespace.trials("held")
    runs = [(r["attempt"], r["outcome"]) for r in trial["status"]["runs"]]
    assert runs == [(0, "Stopped"), (1, "Succeeded")]


def test_the_queue_of_a_study_reaches_its_jobs(namespace: Namespace) -> None:
    made = study("held", ONE)
    made["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "nlp"}
    with Kubelet(namespace, lambda *_: Ending(0.5)):
        namespace.apply(made)
        assert job_of(namespace)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "nlp"
        assert count(namespace.wait_for_end("held"), "succeeded") == 1
