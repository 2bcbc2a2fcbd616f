"""When a Study is over, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubestudy.api.study import Study, TrialCounts, parse_duration
from kubestudy.api.trial import SUCCEEDED
from kubestudy.core.ranking import is_feasible
from kubestudy.core.trials import Progress

FIRST_FAILURES = 5
"""A Study fails when its first trials have all failed, this many, unless maxFailedTrials is set."""


@dataclass(frozen=True)
class Ending:
    """Why a Study starts no more trials.

    Attributes:
        reason: ``GoalReached``, ``MaxTrialsReached``, ``SearchSpaceExhausted``,
            ``TimeoutReached``, ``GPUHoursSpent`` or ``TrialsFailed``.
        message: For a person.
        good: Whether the Study completes rather than fails.
        at_once: Whether trials that still run are stopped rather than finished.
    """

    reason: str
    message: str
    good: bool = True
    at_once: bool = False


def ending(
    study: Study,
    trials: Sequence[Progress],
    counts: TrialCounts,
    size: int | None,
    started: datetime,
    gpus: int,
    now: datetime,
) -> Ending | None:
    """Says why the Study starts no more trials, None where it goes on."""
    budget = study.spec.budget
    limit = budget.max_failed_trials
    if limit is not None and counts.failed > limit:
        return Ending(
            "TrialsFailed",
            f"{counts.failed} trials failed, and budget.maxFailedTrials is {limit}"
            + _last_failure(trials),
            good=False,
            at_once=True,
        )
    # Those stopped for it do not count against it, or the Study would go on once they are.
    if limit is None and counts.failed >= FIRST_FAILURES and not counts.succeeded:
        return Ending(
            "TrialsFailed",
            f"the first {counts.failed} trials all failed" + _last_failure(trials),
            good=False,
            at_once=True,
        )
    if (reached := _goal(study, trials)) is not None:
        return Ending("GoalReached", reached, at_once=True)
    if budget.timeout and now >= started + parse_duration(budget.timeout):
        return Ending("TimeoutReached", f"budget.timeout of {budget.timeout} is over", at_once=True)
    if budget.max_gpu_hours is not None and gpus:
        used = gpu_seconds(trials, gpus, now)
        if used >= budget.max_gpu_hours * 3600:
            return Ending(
                "GPUHoursSpent",
                f"{used / 3600:.2f} GPU-hours used of budget.maxGPUHours {budget.max_gpu_hours:g}",
                at_once=True,
            )
    if size is not None and counts.created >= size:
        return Ending("SearchSpaceExhausted", f"all {size} points of the search space were tried")
    if budget.max_trials is not None and counts.created >= budget.max_trials:
        return Ending("MaxTrialsReached", f"budget.maxTrials of {budget.max_trials} is reached")
    return None


def next_deadline(
    study: Study, trials: Sequence[Progress], started: datetime, gpus: int, now: datetime
) -> float | None:
    """Seconds until time alone may end the Study; None where it cannot."""
    budget = study.spec.budget
    waits = []
    if budget.timeout:
        waits.append((started + parse_duration(budget.timeout) - now).total_seconds())
    holding = gpus * sum(len(t.at_work) for t in trials)
    if budget.max_gpu_hours is not None and holding:
        left = budget.max_gpu_hours * 3600 - gpu_seconds(trials, gpus, now)
        waits.append(left / holding)
    return min(waits, default=None)


def gpu_seconds(trials: Sequence[Progress], gpus: int, now: datetime | None = None) -> float:
    """GPU-seconds of all runs that have ended and, where the time is given, of those at work."""
    used = 0.0
    for t in trials:
        used += sum(r.gpu_seconds for r in t.status.runs or ())
        for facts in t.at_work if now else ():
            if now and facts.started:
                used += gpus * max(timedelta(), now - facts.started).total_seconds()
    return used


def _goal(study: Study, trials: Sequence[Progress]) -> str | None:
    """Which trial reached all targets that are set; None where none has, or there are none."""
    aims = [o for o in study.spec.objectives if o.target is not None]
    if not aims:
        return None
    for t in trials:
        if t.state != SUCCEEDED or not is_feasible(t.status, study.spec):
            continue
        values = [(o, t.status.value(o.metric)) for o in aims]
        if all(v is not None and o.reached(v) for o, v in values):
            told = [f"{o.metric} = {v:g} (target {o.target:g})" for o, v in values]
            return f"trial {t.trial.metadata.name} reached {' and '.join(told)}"
    return None


def _last_failure(trials: Sequence[Progress]) -> str:
    for t in reversed(trials):
        if t.state == "Failed":
            c = next(c for c in t.status.conditions or () if c.type == "Failed")
            return f"; the last, {t.trial.metadata.name}: {c.reason}: {c.message}"
    return ""
