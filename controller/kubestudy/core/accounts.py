"""What a run costs: the GPUs it holds, and the time of its pods, kept where another replaces it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kubestudy.api.parameters import Assignment
from kubestudy.api.pod_template import CONTAINER_LISTS, CONTAINERS, INIT_CONTAINERS
from kubestudy.api.quantities import parse_quantity
from kubestudy.api.study import StudySpec
from kubestudy.api.trial import PENDING, RUNNING, Run, Trial
from kubestudy.core import placeholders


@dataclass(frozen=True)
class GpuAmount:
    """What a container asks for of GPUs.

    Attributes:
        path: The field within the spec.
        amount: As it is written, which may be a placeholder; 0 where it asks for none.
        kind: The list of the pod's that the container is in.
        is_sidecar: Whether it is an init container that stays.
    """

    path: str
    amount: Any
    kind: str = CONTAINERS
    is_sidecar: bool = False

    @property
    def whole(self) -> int:
        """The amount as a number; any part of a GPU is one."""
        return math.ceil(parse_quantity(self.amount) or 0)


def carried(before: Run, after: Run, gpus: int, now: datetime) -> Run:
    """Takes over what the earlier pods of a run have used; a suspended Job makes another pod.

    Args:
        before: What is stored of the run.
        after: What is to be stored in its place; it counts its own pod, if that has ended.
        gpus: GPUs that each pod holds.
        now: The time, up to which a pod counts whose end was not seen.
    """
    if before.outcome not in (RUNNING, PENDING):
        return after
    if before.outcome == after.outcome == PENDING and before.reason == after.reason:
        paid = ("gpu_seconds", "duration_seconds", "completion_time")
        return after.model_copy(update={name: getattr(before, name) for name in paid})
    used, worked = before.gpu_seconds, before.duration_seconds or 0
    replaced = before.outcome == RUNNING and before.pod_uid != after.pod_uid
    if replaced and before.start_time:
        until = after.start_time or after.completion_time or now
        seconds = max(0.0, (until - before.start_time).total_seconds())
        used, worked = used + math.ceil(gpus * seconds), worked + math.ceil(seconds)
    own = after.duration_seconds or 0
    return after.model_copy(
        update={"gpu_seconds": used + after.gpu_seconds, "duration_seconds": worked + own}
    )


def gpus_of(spec: StudySpec, trial: Trial) -> int:
    """How many GPUs each run of a trial holds; a placeholder may have them differ by trial."""
    return gpus_with(spec, spec.passed_values(trial.spec.parameters, trial.spec.seed))


def gpus_with(spec: StudySpec, values: Assignment) -> int:
    """How many GPUs a run holds with these values of the parameters."""
    return _held(
        replace(asked, amount=placeholders.fill(asked.amount, values, spec.passed))
        for asked in gpu_amounts(spec)
    )


def most_gpus(spec: StudySpec) -> int:
    """How many GPUs a run of a Study may hold, whatever the values of its parameters are."""
    largest: Assignment = {}
    for name, p in spec.passed.items():
        numbers = [v for v in p.values or p.choices or () if parse_quantity(v) is not None]
        most = max(numbers, key=lambda v: parse_quantity(v) or 0, default=p.max)
        if most is not None:
            largest[name] = most
    return gpus_with(spec, largest)


def gpus_in(pod: Mapping[str, Any], resource: str) -> int:
    """How many GPUs a pod holds.

    Args:
        pod: Its spec, with no placeholders in it.
        resource: The resource that stands for a GPU, such as ``nvidia.com/gpu``.
    """
    return _held(_amounts(pod, resource, ""))


def gpu_amounts(spec: StudySpec) -> Iterator[GpuAmount]:
    """What the containers of a trial ask for of GPUs."""
    trial = spec.trial
    if trial.template is not None:
        pod = trial.template.get("spec") or {}
        yield from _amounts(pod, trial.gpu_resource, "trial.template.spec.")
        return
    if trial.gpus:
        yield GpuAmount("trial.gpus", trial.gpus)
    else:
        yield GpuAmount(*_asked(trial.resources, trial.gpu_resource, "trial.resources"))


def _amounts(pod: Mapping[str, Any], resource: str, path: str) -> Iterator[GpuAmount]:
    for kind in CONTAINER_LISTS:
        for i, container in enumerate(pod.get(kind) or ()):
            is_sidecar = kind == INIT_CONTAINERS and container.get("restartPolicy") == "Always"
            asked = _asked(container.get("resources"), resource, f"{path}{kind}[{i}].resources")
            yield GpuAmount(*asked, kind, is_sidecar)


def _asked(resources: Any, resource: str, path: str) -> tuple[str, Any]:
    """Where a resource is asked for, and how much of it; 0 where it is not.

    Its limit counts; requests stand in for it, as the API server has them equal.
    """
    for kind in ("limits", "requests"):
        amount = ((resources or {}).get(kind) or {}).get(resource)
        if amount is not None:
            return f"{path}.{kind}.{resource}", amount
    return path, 0


def _held(amounts: Iterable[GpuAmount]) -> int:
    """What a pod holds at its peak, as the scheduler counts it (KEP-753).

    Init containers run one after another before the others; a sidecar stays from its start on.
    """
    together = sidecars = peak = 0
    for asked in amounts:
        if asked.kind == CONTAINERS:
            together += asked.whole
        else:
            peak = max(peak, sidecars + asked.whole)
            sidecars += asked.whole if asked.is_sidecar else 0
    return max(peak, sidecars + together)
