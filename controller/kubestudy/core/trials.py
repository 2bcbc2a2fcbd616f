"""What becomes of one trial, from what becomes of its runs: one, or one for each fold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from kubestudy.api.meta import condition
from kubestudy.api.study import StudySpec
from kubestudy.api.study_status import MetricValue
from kubestudy.api.trial import (
    FAILED,
    MAX_METRICS,
    MAX_RUNS,
    PAUSED,
    PENDING,
    RUNNING,
    STOPPED,
    SUCCEEDED,
    MetricSummary,
    Run,
    RungValue,
    Trial,
    TrialStatus,
)
from kubestudy.core.accounts import carried, gpus_of
from kubestudy.core.conditions import said
from kubestudy.core.courses import course
from kubestudy.core.facts import RunFacts, RunKey
from kubestudy.core.failures import SUSPENDED, Remedy
from kubestudy.core.names import job_name
from kubestudy.core.plan import Event
from kubestudy.core.ranking import is_feasible
from kubestudy.core.reports import RunReport
from kubestudy.core.retries import back_off, not_before, runs_again
from kubestudy.core.runs import RunProgress, follow_run, recorded, with_values

STATES = (PENDING, RUNNING, PAUSED, SUCCEEDED, FAILED, STOPPED)
OBSERVATIONS_COMPLETE = "ObservationsComplete"
"""Only ever said to be False: the one condition that is True is the state."""


@dataclass
class Progress:
    """Where a trial stands.

    Attributes:
        trial: The trial as it is stored.
        status: What its status should be.
        runs: Where the run of each fold stands; empty for a finished trial.
        events: What to tell once the status is stored.
        gpus: GPUs that each of its runs holds; 0 for a finished trial.
    """

    trial: Trial
    status: TrialStatus
    runs: list[RunProgress] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    gpus: int = 0

    @property
    def state(self) -> str:
        """Pending, Running, Paused, Succeeded, Failed or Stopped."""
        return self.status.state

    @property
    def finished(self) -> bool:
        """Whether the trial will not run any more."""
        return self.status.finished

    @property
    def paused(self) -> bool:
        """Whether the trial waits at a rung, and nothing of it is started."""
        return self.state == PAUSED and all(r.facts is None for r in self.runs)

    @property
    def rungs(self) -> list[RungValue]:
        """What it came to at each rung so far."""
        return self.status.rungs or []

    @property
    def at_new_rung(self) -> bool:
        """Whether it has come to a rung that is not stored yet, and so was not judged there."""
        before = self.trial.status.rungs if self.trial.status else None
        return not self.finished and len(self.rungs) > len(before or ())

    @property
    def at_work(self) -> list[RunFacts]:
        """Its runs that hold a slot; what is stopped with the trial is written down already."""
        if self.finished:
            return []
        facts = [r.facts for r in self.runs if r.facts is not None and not r.succeeded]
        return [f for f in facts if f.active and not f.ended_by_itself]

    @property
    def waiting(self) -> list[RunProgress]:
        """Its runs that could be started.

        The first fold's, and the others' once that is done; in a bracket all folds at once.
        """
        if not self.runs or self.finished or self.paused:
            return []
        first = self.runs[0]
        together = first.succeeded or self.trial.spec.bracket is not None
        return [r for r in (self.runs if together else [first]) if r.waits]

    @property
    def settles(self) -> datetime | None:
        """When what is seen now will be worth a write."""
        return min((r.settles for r in self.runs if r.settles is not None), default=None)

    @property
    def changed(self) -> bool:
        """Whether there is anything to store."""
        return self.status != (self.trial.status or TrialStatus())

    @property
    def changed_state(self) -> bool:
        """Whether more than metrics has changed."""
        before = self.trial.status or TrialStatus()
        return self.status.conditions != before.conditions or self.status.runs != before.runs


def follow(
    trial: Trial,
    seen: Mapping[RunKey, RunFacts],
    reports: Mapping[str, RunReport],
    spec: StudySpec,
    now: datetime,
    levels: Sequence[int] = (),
) -> Progress:
    """Says where a trial stands now.

    Args:
        trial: As it is stored.
        seen: What is seen of the runs of the Study.
        reports: What their pods reported, by pod UID.
        spec: The Study's spec.
        now: The time.
        levels: The resource at each rung of its bracket; empty where there are none.
    """
    progress = Progress(trial, trial.status or TrialStatus())
    if trial.finished:
        return progress
    progress.gpus = gpus = gpus_of(spec, trial)
    stored = progress.status.runs or []
    for fold in range(1 if spec.one_pod else spec.folds):
        of_fold = [r for r in stored if r.fold == fold]
        run = follow_run(trial.metadata.name, fold, of_fold, seen, reports, spec, gpus, now, levels)
        progress.runs.append(run)
        _note(progress, run, spec)
    if progress.paused:
        return progress
    _climb(progress, levels)
    _settle(progress, spec, levels, now)
    return progress


def stop(progress: Progress, reason: str, message: str, now: datetime) -> None:
    """Ends an unfinished trial before its time; what its folds gave so far is kept."""
    progress.status = progress.status.model_copy(update={"objectives": values_so_far(progress)})
    _end_runs(progress, reason, now)
    _finish(progress, STOPPED, reason, message, now)


def pause(progress: Progress, reason: str, message: str, now: datetime) -> None:
    """Lets a trial wait at the rung that it has come to; its runs are ended there."""
    _end_runs(progress, PAUSED, now)
    for run in progress.runs:
        if not run.succeeded:
            run.next_rung()
    _become(progress, PAUSED, reason, message, now)


def _end_runs(progress: Progress, reason: str, now: datetime) -> None:
    for run in progress.runs:
        if run.facts is not None and not run.succeeded:
            ended = _ended(progress, run.facts, STOPPED, reason, now)
            if run.record is not None:
                kept = {"rungs": run.record.rungs, "folds": run.record.folds}
                ended = ended.model_copy(update=kept)
            _record(progress, ended)


def conclude(
    progress: Progress,
    run: RunProgress,
    reason: str,
    message: str,
    spec: StudySpec,
    now: datetime,
) -> None:
    """Takes a run that is at work for done, if it has reported all that it owes."""
    if run.facts is None or run.report is None or not run.report.metrics.keys() >= {*spec.owed}:
        return
    record = _ended(progress, run.facts, SUCCEEDED, reason, now)
    run.record = with_values(record, run.report, spec)
    _record(progress, run.record)
    if all(r.succeeded for r in progress.runs):
        _conclude(progress, spec, reason, message, now)


def values_so_far(progress: Progress) -> list[MetricValue] | None:
    """Mean and standard deviation of each objective over the folds that are done."""
    done = [f.objectives for f in progress.status.folds.values()]
    return over_folds(done) if done else None


def over_folds(of_folds: Sequence[Sequence[MetricValue]]) -> list[MetricValue]:
    """Mean and standard deviation of each metric, from the values of each fold."""
    values = []
    for of_metric in zip(*of_folds, strict=True):
        numbers = [v.value for v in of_metric]
        mean = math.fsum(numbers) / len(numbers)
        std = math.sqrt(math.fsum((n - mean) ** 2 for n in numbers) / len(numbers))
        if len(numbers) == 1:
            values.append(of_metric[0])
        else:
            values.append(MetricValue(metric=of_metric[0].metric, value=mean, std=std))
    return values


def _ended(progress: Progress, facts: RunFacts, outcome: str, reason: str, now: datetime) -> Run:
    """What to store of a run that is ended before its time."""
    gpus = progress.gpus
    ended = recorded(replace(facts, ended=facts.ended or now), outcome, reason, gpus)
    before = [r for r in progress.status.runs or () if r.job == ended.job]
    return carried(before[0], ended, gpus, now) if before else ended


def _note(progress: Progress, run: RunProgress, spec: StudySpec) -> None:
    """Writes down what a run has come to, and what it has measured."""
    if run.record is None:
        return
    if run.verdict is not None or run.record.outcome == RUNNING:
        _measure(progress, run, spec)
    _record(progress, run.record)
    if progress.status.start_time is None and run.record.start_time is not None:
        progress.status = progress.status.model_copy(update={"start_time": run.record.start_time})


def _climb(progress: Progress, levels: Sequence[int]) -> None:
    """Writes down the rungs that all folds have come to, with the mean over them."""
    rungs = []
    for level in levels:
        values = [run.rungs[level] for run in progress.runs if level in run.rungs]
        if len(values) < len(progress.runs):
            break
        rungs.append(RungValue(resource=level, value=math.fsum(values) / len(values)))
    progress.status = progress.status.model_copy(update={"rungs": rungs or None})


def _settle(progress: Progress, spec: StudySpec, levels: Sequence[int], now: datetime) -> None:
    """Says what the trial has come to, from its runs."""
    name = progress.trial.metadata.name
    for run in progress.runs:
        _tell_of_gaps(progress, run, now)
        verdict = run.verdict
        if verdict is None or verdict.remedy is None:
            continue
        if verdict.remedy is Remedy.LATER:
            run.next_attempt()
            continue
        of_fold = [r for r in progress.status.runs or () if r.fold == run.key.fold]
        if runs_again(verdict, of_fold[:-1], spec.trial.max_retries):
            cut_off = verdict.message or "the run was cut off"
            wait = back_off(of_fold).total_seconds()
            after = f" after {wait:g} s" if wait else ""
            message = f"{verdict.reason}: {cut_off}; it is run again{after}"
            _become(progress, PENDING, "Retrying", message, now)
            progress.events.append(Event("TrialRetried", f"{name}: {message}", True, name))
            run.next_attempt()
            run.hold(not_before(of_fold), now)
            continue
        ended = run.facts.ended if run.facts and run.facts.ended else now
        text = f"{name}: {verdict.reason}: {verdict.message}"
        progress.events.append(Event("TrialFailed", text, True, name))
        _finish(progress, FAILED, verdict.reason, verdict.message, now, ended)
        return
    if all(run.succeeded for run in progress.runs):
        _conclude(progress, spec, "Completed", _without_rungs(progress, spec, levels), now)
        return
    open_ = [r for r in progress.runs if r.record and not r.succeeded and r.verdict is None]
    outcomes = [(r.record.outcome, r.record.reason) for r in open_ if r.record]
    held = [r.facts for r in open_ if r.facts is not None and r.facts.held_by]
    suspended = _suspended(progress)
    done = len(progress.status.folds)
    folds = f"{done} of {spec.folds} folds done" if spec.folds > 1 else ""
    if (RUNNING, None) in outcomes:
        _become(progress, RUNNING, "Running", folds, now)
    elif suspended and spec.suspend:
        message = "held back while the Study is suspended"
        _become(progress, PENDING, SUSPENDED, message, now)
    elif held:
        _become(progress, PENDING, held[0].reason or "HeldBack", held[0].message, now)
    elif any(run.succeeded for run in progress.runs):
        _become(progress, RUNNING, "Running", folds, now)
    elif suspended:
        message = "the Study is resumed; it goes on in the next free slot"
        _become(progress, PENDING, "Resuming", message, now)
    elif open_ and open_[0].facts:
        facts = open_[0].facts
        _become(progress, PENDING, facts.reason or "Waiting", facts.message, now)


def _suspended(progress: Progress) -> bool:
    """Whether a run of a trial is held back, or was ended, for its Study's suspension."""
    last = {r.fold: r for r in progress.status.runs or ()}
    waiting = [r.key.fold for r in progress.runs if r.facts is None or r.facts.suspended]
    return any(fold in last and last[fold].reason == SUSPENDED for fold in waiting)


def _without_rungs(progress: Progress, spec: StudySpec, levels: Sequence[int]) -> str:
    """Says so where a trial that should have come to rungs has not told of any."""
    resource = spec.algorithm.resource
    if resource is None or not levels or progress.status.rungs:
        return ""
    where = f"{resource.report} {levels[0]} or more"
    return f"came to no rung: it never reported {spec.objective.metric} together with {where}"


def _tell_of_gaps(progress: Progress, run: RunProgress, now: datetime) -> None:
    """Says so where reports of a run that has ended were never seen."""
    if run.verdict is None or run.report is None:
        return
    if run.report.missing:
        message = (
            f"{run.report.missing} reports of {job_name(run.key)} were not seen: its log was"
            " rotated or cut; the last values and the extremes come from the termination message"
        )
    elif run.report.cut_off:
        message = (
            f"the last push of {job_name(run.key)} was not seen: its values may be older ones; name"
            " Logs as a second source"
        )
    else:
        return
    conditions = progress.status.conditions or ()
    conditions = said(conditions, OBSERVATIONS_COMPLETE, False, "ObservationsMissing", message, now)
    progress.status = progress.status.model_copy(update={"conditions": conditions})


def _conclude(
    progress: Progress, spec: StudySpec, reason: str, message: str, now: datetime
) -> None:
    """Ends a trial whose runs are all done: what they gave together, and whether it is feasible."""
    status = progress.status.model_copy(update={"objectives": values_so_far(progress)})
    bounded = [f.constraints for f in status.folds.values() if f.constraints]
    if spec.constraints and bounded:
        status = status.model_copy(update={"constraints": over_folds(bounded)})
        status = status.model_copy(update={"feasible": is_feasible(status, spec)})
    progress.status = status
    ends = [r.record.completion_time for r in progress.runs if r.record]
    latest = max((e for e in ends if e is not None), default=now)
    _finish(progress, SUCCEEDED, reason, message, now, latest)


def _finish(
    progress: Progress,
    state: str,
    reason: str,
    message: str,
    now: datetime,
    ended: datetime | None = None,
) -> None:
    progress.status = progress.status.model_copy(
        update={"completion_time": (ended or now).replace(microsecond=0)}
    )
    _become(progress, state, reason, message, now)


def _become(progress: Progress, state: str, reason: str, message: str, now: datetime) -> None:
    """Makes one state true, and every other that was ever said false."""
    conditions = list(progress.status.conditions or [])
    current = condition(conditions, state)
    if current and (current.status, current.reason, current.message) == ("True", reason, message):
        return
    for other in STATES:
        known = condition(conditions, other)
        if other != state and known is not None and known.status == "True":
            conditions = said(conditions, other, False, known.reason, known.message, now)
    conditions = said(conditions, state, True, reason, message, now)
    progress.status = progress.status.model_copy(update={"conditions": conditions})


def _record(progress: Progress, run: Run) -> None:
    """Writes down a run in place of what was known of it."""
    runs = list(progress.status.runs or [])
    at = next((i for i, r in enumerate(runs) if r.job == run.job), None)
    if at is None:
        runs.append(run)
    else:
        runs[at] = run
    progress.status = progress.status.model_copy(update={"runs": runs[-MAX_RUNS:]})


def _measure(progress: Progress, run: RunProgress, spec: StudySpec) -> None:
    """Writes down what was reported, first what every trial owes."""
    report = run.report
    if report is None or not report.metrics:
        return
    first = [name for name in spec.owed if name in report.metrics]
    rest = sorted(set(report.metrics) - set(first))
    metrics = []
    for name in [*first, *rest][:MAX_METRICS]:
        t = report.metrics[name]
        metrics.append(
            MetricSummary(
                metric=name, latest=t.latest, min=t.min, max=t.max, step=t.step, count=t.count
            )
        )
    curve = progress.status.curve or []
    for fold, of_fold in (report.folds or {run.key.fold: report}).items():
        curve = course(curve, of_fold, fold, spec)
    progress.status = progress.status.model_copy(
        update={"metrics": metrics, "curve": curve or None}
    )
