"""Early stopping: which of the trials that run are not worth going on with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kubestudy.api.meta import condition
from kubestudy.api.objectives import Strategy
from kubestudy.api.study import StudySpec
from kubestudy.api.study_status import MetricValue
from kubestudy.api.trial import STOPPED, SUCCEEDED, TrialStatus
from kubestudy.core.confirming import searching
from kubestudy.core.trials import Progress, conclude, stop
from kubestudy.stopping import available
from kubestudy.stopping.base import Course, StoppingRule

EARLY_STOPPED = "EarlyStopped"
"""The reason of a trial that a rule has ended."""


def end_early(trials: Sequence[Progress], spec: StudySpec, now: datetime) -> None:
    """Ends the trials that the Study's rule gives up.

    A trial is judged when it has something new to say, by what is stored of the others.

    Args:
        trials: All trials of the Study, sorted by index; those that end are changed.
        spec: The Study's spec.
        now: The time.
    """
    rule = rule_of(spec)
    to_judge = [t for t in trials if rule and not t.finished and _has_news(t)]
    if rule is not None and not rule.keeps_value:
        to_judge = searching(to_judge)  # what confirms another trial is to give its value
    if rule is None or not to_judge:
        return
    completed = [_course(t) for t in searching(trials) if t.state == SUCCEEDED]
    for t in to_judge:
        if len(t.status.folds) == spec.folds:
            continue  # one pod has trained them all, and is about to end
        for run in t.runs:
            if t.finished or run.succeeded or run.unread:
                continue  # what has ended by itself is worth its value
            verdict = rule.judge(_course(t), run.fold, completed)
            if verdict is None:
                continue
            if rule.keeps_value:
                conclude(t, run, EARLY_STOPPED, verdict, spec, now)
            else:
                stop(t, EARLY_STOPPED, verdict, now)


def where_stopped(t: Progress, spec: StudySpec) -> tuple[tuple[int, float], ...]:
    """The step at which a trial was stopped early, and what it had there; empty for all others."""
    if t.state != STOPPED or not _ended_early(t) or not t.status.curve:
        return ()
    last = t.status.curve[-1]
    best = last.best if spec.objective.strategy == Strategy.BEST else None
    return ((int(last.step), last.value if best is None else best),)


def saved_by_early_stopping(trials: Sequence[Progress]) -> int:
    """GPU-seconds that the trials that a rule has ended would have used besides, estimated.

    Each of them is taken to need as much as the mean of the trials that ran to their end, or what
    it has used if that is more; 0 while there are none to compare with.
    """
    whole = [_used(t) for t in trials if t.state == SUCCEEDED and not _ended_early(t)]
    if not whole:
        return 0
    mean = sum(whole) / len(whole)
    return round(sum(max(0.0, mean - _used(t)) for t in trials if t.finished and _ended_early(t)))


def rule_of(spec: StudySpec) -> StoppingRule | None:
    """Builds the rule of a Study that has been accepted; None where it has none."""
    if spec.early_stopping is None:
        return None
    kind = available()[spec.early_stopping.type]
    return kind(kind.settings_model.model_validate(spec.early_stopping.settings or {}), spec)


def _ended_early(t: Progress) -> bool:
    said = condition(t.status.conditions, t.state)
    return said is not None and said.reason == EARLY_STOPPED


def _used(t: Progress) -> int:
    return sum(run.gpu_seconds for run in t.status.runs or ())


def _has_news(t: Progress) -> bool:
    before = t.trial.status or TrialStatus()
    return t.status.curve != before.curve or _given(t.status) != _given(before)


def _given(status: TrialStatus) -> list[list[MetricValue]]:
    """What the folds gave."""
    return [f.objectives for f in status.folds.values()]


def _course(t: Progress) -> Course:
    return Course(t.trial.metadata.name, t.status)
