"""How many GPUs a run holds, and that a budget of GPU-hours can be kept."""

from __future__ import annotations

from typing import Any

import pytest

from kubestudy.core.acceptance import problems
from kubestudy.core.accounts import gpus_of, most_gpus
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunState
from tests.unit import build as b

GPU = "nvidia.com/gpu"


def asks(amount: Any, kind: str = "limits", **container: Any) -> dict[str, Any]:
    return {"name": "c", "image": "i", "resources": {kind: {GPU: amount}}, **container}


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"template": {"spec": {"containers": list(containers), **spec}}}


PLAIN = {"name": "c", "image": "i"}
HELD: dict[str, tuple[dict[str, Any], int]] = {
    "the short form": ({"image": "i", "gpus": 3}, 3),
    "the short form's own resources": ({"image": "i", "resources": {"limits": {GPU: "2"}}}, 2),
    "a number": (pod(asks(2)), 2),
    "a string": (pod(asks("2")), 2),
    "thousandths": (pod(asks("2000m")), 2),
    "an exponent": (pod(asks("1e1")), 10),
    "requests, as limits are the same": (pod(asks(2, "requests")), 2),
    "several containers": (pod(asks(1), asks(2) | {"name": "d"}), 3),
    "an init container that holds more": (pod(asks(1), initContainers=[asks(4)]), 4),
    "an init container that holds less": (pod(asks(2), initContainers=[asks(1)]), 2),
    "a sidecar": (pod(asks(2), initContainers=[asks(1, restartPolicy="Always")]), 3),
    "an init container beside a sidecar": (
        pod(PLAIN, initContainers=[asks(1, restartPolicy="Always"), asks(3)]),
        4,
    ),
    "nothing": (pod(PLAIN), 0),
}


@pytest.mark.parametrize("what", HELD)
def test_a_run_holds_what_the_scheduler_counts(what: str) -> None:
    trial, gpus = HELD[what]
    of = b.study(trial=trial)
    assert problems(of) == []
    assert gpus_of(of.spec, b.trial()) == gpus == most_gpus(of.spec)


def test_a_placeholder_has_them_differ_by_trial() -> None:
    space = [{"name": "lr", "values": [0.1]}, {"name": "gpus", "values": [1, 2, 8]}]
    of = b.study(
        parameters=space,
        trial=pod(asks("${parameters.gpus}")),
        budget={"parallelism": 3, "maxGPUHours": 100},
    )
    assert problems(of) == []
    trials = [b.trial(i, {"lr": 0.1, "gpus": n}, "Running") for i, n in enumerate((1, 2, 8))]
    assert [gpus_of(of.spec, t) for t in trials] == [1, 2, 8]
    assert most_gpus(of.spec) == 8
    ended = [b.facts(i, RunState.SUCCEEDED, started=b.at(0), ended=b.at(60)) for i in range(3)]
    reports = {f.pod_uid: b.report(accuracy=0.5) for f in ended}
    plan = decide(b.snapshot(of, trials, ended, reports))
    assert plan.status is not None and plan.status.gpu_seconds is not None
    assert plan.status.gpu_seconds.used == (1 + 2 + 8) * 60


@pytest.mark.parametrize(
    ("trial", "field"),
    [
        (pod(asks("1500m")), f"template.spec.containers[0].resources.limits.{GPU}"),
        (pod(asks("many")), f"template.spec.containers[0].resources.limits.{GPU}"),
        (pod(asks(-1)), f"template.spec.containers[0].resources.limits.{GPU}"),
        (pod(asks("${parameters.lr}")), f"template.spec.containers[0].resources.limits.{GPU}"),
        (pod(asks("1${parameters.size}")), f"template.spec.containers[0].resources.limits.{GPU}"),
    ],
)
def test_what_is_no_number_of_gpus_is_refused(trial: dict[str, Any], field: str) -> None:
    (error,) = problems(b.study(trial=trial))
    assert error.field == f"spec.trial.{field}"
    assert "whole number of GPUs" in error.message


CLAIMS = pod(PLAIN, resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "gpu"}])


def test_a_claim_is_refused_only_if_a_budget_of_gpu_hours_could_not_be_kept() -> None:
    assert problems(b.study(trial=CLAIMS)) == []
    (error,) = problems(b.study(trial=CLAIMS, budget={"maxGPUHours": 1}))
    assert error.field == "spec.trial.template.spec.resourceClaims"
    assert "budget.timeout in place of maxGPUHours" in error.message


OTHER = {"name": "c", "image": "i", "resources": {"limits": {"amd.com/gpu": 1}}}


@pytest.mark.parametrize("trial", [pod(OTHER), pod(PLAIN), pod(asks(0)), {"image": "i"}])
def test_a_budget_of_gpu_hours_is_refused_where_no_gpu_is_counted(trial: dict[str, Any]) -> None:
    assert problems(b.study(trial=trial)) == []
    (error,) = problems(b.study(trial=trial, budget={"maxGPUHours": 1}))
    assert error.field == "spec.budget.maxGPUHours"
    assert "none asks for nvidia.com/gpu" in error.message
    named = {**trial, "gpuResource": "amd.com/gpu"}
    left = problems(b.study(trial=named, budget={"maxGPUHours": 1}))
    assert (left == []) == (trial == pod(OTHER))


def test_gpus_that_are_given_twice_are_refused_if_they_differ() -> None:
    for amount in (1, "1", 4):
        limits = {"limits": {GPU: amount}}
        found = problems(b.study(trial={"image": "i", "gpus": 1, "resources": limits}))
        fields = [error.field for error in found]
        assert fields == ([f"spec.trial.resources.limits.{GPU}"] if amount == 4 else [])
