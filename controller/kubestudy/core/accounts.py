"""What a run costs: the GPUs it holds, and the time of its pods, kept where another replaces it."""

from __future__ import annotations

import math

from kubestudy.api.study import StudySpec
from kubestudy.api.trial import PENDING, RUNNING, Run


def carried(before: Run, after: Run, gpus: int) -> Run:
    """Takes over what the earlier pods of a run have used; a suspended Job makes another pod.

    Args:
        before: What is stored of the run.
        after: What is to be stored in its place; it counts its own pod, if that has ended.
        gpus: GPUs that each pod holds.
    """
    if before.outcome not in (RUNNING, PENDING):
        return after
    if before.outcome == after.outcome == PENDING and before.reason == after.reason:
        paid = {"gpu_seconds": before.gpu_seconds, "completion_time": before.completion_time}
        return after.model_copy(update=paid)
    used = before.gpu_seconds
    until = after.start_time or after.completion_time
    replaced = before.outcome == RUNNING and before.pod_uid != after.pod_uid
    if replaced and before.start_time and until:
        used += math.ceil(gpus * max(0.0, (until - before.start_time).total_seconds()))
    return after.model_copy(update={"gpu_seconds": used + after.gpu_seconds})


def gpus_of(spec: StudySpec) -> int:
    """How many GPUs each run holds."""
    if spec.trial.template is None:
        return spec.trial.gpus
    total = 0
    for container in spec.trial.template.get("spec", {}).get("containers", []):
        limits = (container.get("resources") or {}).get("limits") or {}
        amount = str(limits.get(spec.trial.gpu_resource, 0))
        total += int(amount) if amount.isdigit() else 0
    return total
