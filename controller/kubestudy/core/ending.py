"""When a Study is over, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubestudy.api.durations import parse_duration
from kubestudy.api.meta import condition
from kubestudy.api.study import Study
from kubestudy.api.study_status import TrialCounts
from kubestudy.api.trial import FAILED, SUCCEEDED
from kubestudy.core.failures import USER_ERRORS, without_values
from kubestudy.core.ranking import is_feasible
from kubestudy.core.stagnation import without_improvement
from kubestudy.core.trials import Progress

FIRST_FAILURES = 5
"""A Study fails when its first trials have all failed, this many, unless maxFailedTrials is set."""

FIRST_ERRORS = 3
"""As many are enough where they all failed by the same error of the user's, without a report."""


@dataclass(frozen=True)
class Ending:
    """Why the search of a Study starts no more trials.

    Attributes:
        reason: ``GoalReached``, ``MaxTrialsReached``, ``SearchSpaceExhausted``,
            ``BracketsFilled``, ``GenerationsTrained``, ``TimeoutReached``, ``GPUHoursSpent``,
            ``Stagnated``, ``NoFeasiblePoint``, ``SamplerFailed``, ``Confirmed`` or
            ``TrialsFailed``.
        message: For a person.
        good: Whether the Study completes rather than fails.
        at_once: Whether trials that still run are stopped rather than finished.
        spent: Whether time or GPUs are used up, so that nothing at all may be run any more.
    """

    reason: str
    message: str
    good: bool = True
    at_once: bool = False
    spent: bool = False


def ending(
    study: Study,
    trials: Sequence[Progress],
    counts: TrialCounts,
    size: int | None,
    exhausted: Ending,
    spent: Ending | None,
) -> Ending | None:
    """Says why the Study's search starts no more trials, None where it goes on.

    Args:
        study: The Study.
        trials: The trials of the search.
        counts: Their counts.
        size: Number of suggestions there are; None where they never end.
        exhausted: What is said once all of them have their trials.
        spent: What :func:`spent_budget` says.
    """
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
    if limit is None and not counts.succeeded and (why := _common_error(trials)):
        return Ending(
            "TrialsFailed",
            f"the first {FIRST_ERRORS} trials all failed for the same reason: {why}",
            good=False,
            at_once=True,
        )
    if (reached := _goal(study, trials)) is not None:
        return Ending("GoalReached", reached, at_once=True)
    if spent is not None:
        return spent
    idle = budget.max_trials_without_improvement
    if idle is not None and (since := without_improvement(trials, study.spec)) >= idle:
        return Ending("Stagnated", f"no improvement in the last {since} trials")
    if size is not None and counts.created >= size:
        return exhausted
    if budget.max_trials is not None and counts.created >= budget.max_trials:
        return Ending("MaxTrialsReached", f"budget.maxTrials of {budget.max_trials} is reached")
    return None


def spent_budget(
    study: Study, trials: Sequence[Progress], started: datetime, now: datetime
) -> Ending | None:
    """Says whether the time or the GPU-hours of a Study are used up, by all of its trials."""
    budget = study.spec.budget
    if budget.timeout and now >= started + parse_duration(budget.timeout):
        message = f"budget.timeout of {budget.timeout} is over"
        return Ending("TimeoutReached", message, at_once=True, spent=True)
    if budget.max_gpu_hours is not None:
        used = gpu_seconds(trials, now)
        if used >= budget.max_gpu_hours * 3600:
            return Ending(
                "GPUHoursSpent",
                f"{used / 3600:.2f} GPU-hours used of budget.maxGPUHours {budget.max_gpu_hours:g}",
                at_once=True,
                spent=True,
            )
    return None


def next_deadline(
    study: Study, trials: Sequence[Progress], started: datetime, now: datetime
) -> float | None:
    """Seconds until time alone may end the Study; None where it cannot."""
    budget = study.spec.budget
    waits = []
    if budget.timeout:
        waits.append((started + parse_duration(budget.timeout) - now).total_seconds())
    holding = sum(t.gpus for t in trials for facts in t.at_work if facts.started is not None)
    if budget.max_gpu_hours is not None and holding:
        left = budget.max_gpu_hours * 3600 - gpu_seconds(trials, now)
        waits.append(left / holding)
    return min(waits, default=None)


def gpu_seconds(trials: Sequence[Progress], now: datetime | None = None) -> float:
    """GPU-seconds of all runs that have ended and, where the time is given, of those at work."""
    used = 0.0
    for t in trials:
        used += sum(r.gpu_seconds for r in t.status.runs or ())
        for facts in t.at_work if now else ():
            if now and facts.started:
                used += t.gpus * max(timedelta(), now - facts.started).total_seconds()
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


def _common_error(trials: Sequence[Progress]) -> str | None:
    """The error by which the first trials failed, where it is one that all will fail by."""
    first = sorted(trials, key=lambda t: t.trial.spec.index)[:FIRST_ERRORS]
    failures = [condition(t.status.conditions, FAILED) for t in first if t.state == FAILED]
    kinds = {(c.reason, without_values(c.message)) for c in failures if c is not None}
    if len(failures) < FIRST_ERRORS or len(kinds) > 1 or any(t.status.metrics for t in trials):
        return None
    known = failures[0]
    if known is None or known.reason not in USER_ERRORS:
        return None
    return f"{known.reason}: {known.message}"


def _last_failure(trials: Sequence[Progress]) -> str:
    for t in reversed(trials):
        if t.state == "Failed":
            c = next(c for c in t.status.conditions or () if c.type == "Failed")
            return f"; the last, {t.trial.metadata.name}: {c.reason}: {c.message}"
    return ""
