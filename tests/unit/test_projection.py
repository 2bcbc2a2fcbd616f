"""What is kept of Jobs and pods: all that is ever looked at, and nothing that can be large."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.api.base import ANNOTATION_LOG, LABEL_RUN, LABEL_STUDY, LABEL_TRIAL
from kubestudy.sources.termination import last_word
from kubestudy.workloads.job import kept_of, observe, observe_without_job
from kubestudy.workloads.pod import KEPT_OF_POD, main_container, pod_ended, termination_message
from kubestudy.workloads.projection import project
from tests.unit.build import at

MOMENT = st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:30Z", "2026-01-01T00:10:00Z"])
REST: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"unknown": st.just({"x": ["y"] * 50})}
)
NAMES = st.sampled_from(["trial", "sidecar"])


def some(required: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[Any]:
    """An object with these fields, any of the optional ones, and more that nobody looks at."""
    known = st.fixed_dictionaries(required or {}, optional=optional)
    return st.builds(lambda a, b: {**b, **a}, known, REST)


OF_JOBS = ["Complete", "Failed", "FailureTarget", "Suspended"]
CONDITION_TYPES = [*OF_JOBS, "PodScheduled", "DisruptionTarget", "Ready"]
CONDITIONS = st.lists(
    some(
        {
            "type": st.sampled_from(
                [
                    "Complete",
                    "Failed",
                    "FailureTarget",
                    "Suspended",
                    "PodScheduled",
                    "DisruptionTarget",
                    "Ready",
                ]
            ),
            "status": st.sampled_from(["True", "False"]),
        },
        reason=st.sampled_from(["DeletionByPodGC", "Unschedulable", "BackoffLimitExceeded"]),
        message=st.just("a message"),
        lastTransitionTime=MOMENT,
    ),
    max_size=3,
)
STATE = some(
    running=some(startedAt=MOMENT),
    waiting=some(
        reason=st.sampled_from(["ErrImagePull", "CrashLoopBackOff", "InvalidImageName"]),
        message=st.just("waits"),
    ),
    terminated=some(
        exitCode=st.sampled_from([0, 1, 75, 143]),
        reason=st.sampled_from(["OOMKilled", "Error", "Completed"]),
        message=st.sampled_from(["", "last\nline", '{"seq": 3, "metrics": {}}']),
        startedAt=MOMENT,
        finishedAt=MOMENT,
    ),
)
STATUSES = st.lists(some(name=NAMES, state=STATE), max_size=2)
ANNOTATIONS = some(
    {LABEL_STUDY: st.just("demo"), LABEL_TRIAL: st.just("demo-0")},
    **{LABEL_RUN: st.sampled_from(["0/0/0", "1/2/3", "odd"])},
)
METADATA = {
    "name": st.sampled_from(["demo-0-0-0-0", "demo-0-0-0-0-abcde"]),
    "namespace": st.just("team"),
    "uid": st.just("uid"),
    "resourceVersion": st.just("1"),
    "creationTimestamp": MOMENT,
    "annotations": ANNOTATIONS,
}
JOBS = some(
    {
        "metadata": some(METADATA, deletionTimestamp=MOMENT),
        "spec": some(suspend=st.booleans(), template=REST),
    },
    status=some(conditions=CONDITIONS),
)
PODS = some(
    {
        "metadata": some(
            METADATA, deletionTimestamp=MOMENT, deletionGracePeriodSeconds=st.integers(0, 30)
        ),
        "spec": some(
            {
                "containers": st.lists(
                    some(
                        {"name": NAMES},
                        resources=some(limits=some(memory=st.sampled_from(["1Gi", 5]))),
                    ),
                    min_size=1,
                    max_size=2,
                )
            },
            nodeName=st.just("node-1"),
            activeDeadlineSeconds=st.integers(1, 60),
        ),
    },
    status=some(
        phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
        reason=st.sampled_from(["Evicted", "DeadlineExceeded", "NodeLost", "OutOfcpu"]),
        message=st.just("its usage exceeds the limit"),
        startTime=MOMENT,
        conditions=CONDITIONS,
        containerStatuses=STATUSES,
        initContainerStatuses=STATUSES,
    ),
)


@given(JOBS, st.lists(PODS, max_size=2), st.integers(0, 2000))
def test_a_run_is_seen_the_same_by_what_is_kept(
    job: dict[str, Any], pods: list[dict[str, Any]], seconds: int
) -> None:
    now, kept = at(seconds), [project(pod, KEPT_OF_POD) for pod in pods]
    assert observe(kept_of(job), kept, now) == observe(job, pods, now)
    if pods:
        assert observe_without_job(kept, now) == observe_without_job(pods, now)
    for pod, seen in zip(pods, kept, strict=True):
        assert pod_ended(seen) == pod_ended(pod)
        assert main_container(seen).get("state", {}).keys() <= {"running", "waiting", "terminated"}
        assert last_word(termination_message(seen)) == last_word(termination_message(pod))
        assert "unknown" not in json.dumps(seen)
    assert "unknown" not in json.dumps(kept_of(job))


def test_of_what_a_log_has_said_it_is_kept_that_there_is_something() -> None:
    job = {"metadata": {"name": "j", "annotations": {ANNOTATION_LOG: "x" * 100_000, "other": "y"}}}
    assert kept_of(job) == {"metadata": {"name": "j", "annotations": {ANNOTATION_LOG: ""}}}


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": []},
        {"metadata": {"labels": 3}},
        {"spec": {"containers": {}}},
        {"spec": {"containers": ["trial"]}},
        {"status": {"conditions": [{"type": ["x"]}]}},
        {"status": {"containerStatuses": [{"state": "running"}]}},
    ],
)
def test_a_field_of_another_kind_is_an_error_that_names_it(odd: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"labels|metadata|containers|type|state"):
        project(odd, KEPT_OF_POD)
