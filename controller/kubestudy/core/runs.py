"""What becomes of one run, from what is stored of it, seen of its Job and read from its pod."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from kubestudy.api.objectives import Direction, Objective, Strategy
from kubestudy.api.study import StudySpec
from kubestudy.api.study_status import MetricValue
from kubestudy.api.trial import (
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    STOPPED,
    SUCCEEDED,
    FoldValues,
    Run,
    RungValue,
)
from kubestudy.core.accounts import carried
from kubestudy.core.facts import RunFacts, RunKey, RunState
from kubestudy.core.failures import SUSPENDED, Remedy, Verdict, bad, judge
from kubestudy.core.names import job_name
from kubestudy.core.reports import MetricTrack, RunReport
from kubestudy.core.retries import not_before

# A state that passes within this time is not worth a write.
SETTLED = timedelta(seconds=1)
WAITING_IS_NEWS = timedelta(seconds=5)


@dataclass
class RunProgress:
    """Where the run of one fold stands.

    Attributes:
        key: The run that is at work, comes next, or was the last.
        facts: What is seen of it; None where it has no Job.
        record: What should be stored of it; None where nothing is worth a write yet.
        verdict: What became of it, if that was found out just now.
        report: What its pod reported, as far as it was read.
        rungs: What the runs of this fold came to at the rungs, by the rung's resource.
        settles: When what is seen now will be worth a write.
        held_until: When it may be run again after it was cut off; None where it may at once.
    """

    key: RunKey
    facts: RunFacts | None = None
    record: Run | None = None
    verdict: Verdict | None = None
    report: RunReport | None = None
    rungs: dict[int, float] = field(default_factory=dict)
    settles: datetime | None = None
    held_until: datetime | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it gave its values."""
        return self.record is not None and self.record.outcome == SUCCEEDED

    @property
    def fold(self) -> int:
        """The fold that it is at."""
        reported = self.report.fold if self.report else None
        return self.key.fold if reported is None else reported

    @property
    def waits(self) -> bool:
        """Whether it could be started, or let go on, if there is a slot."""
        if self.succeeded or self.held_until is not None:
            return False
        return self.facts is None or (self.facts.suspended and not self.facts.deleting)

    @property
    def unread(self) -> bool:
        """Whether it has ended, but is not read to its end."""
        return not self.succeeded and self.facts is not None and self.facts.ended_by_itself

    def hold(self, until: datetime | None, now: datetime) -> None:
        """Lets the next attempt wait."""
        if until is not None and until > now:
            self.held_until = self.settles = until

    def next_attempt(self) -> None:
        """Makes the run that comes after this one the current one."""
        self.key = replace(self.key, attempt=self.key.attempt + 1)
        self.facts = None

    def next_rung(self) -> None:
        """Makes the run that goes on from the last rung the current one."""
        self.key = replace(self.key, rung=len(self.rungs), attempt=0)
        self.facts = None


def follow_run(
    trial: str,
    fold: int,
    stored: Sequence[Run],
    seen: Mapping[RunKey, RunFacts],
    reports: Mapping[str, RunReport],
    spec: StudySpec,
    gpus: int,
    now: datetime,
    levels: Sequence[int] = (),
) -> RunProgress:
    """Says where the run of a fold stands now.

    Args:
        trial: Name of the trial, which is not finished.
        fold: Which fold; 0 where one pod trains all.
        stored: What is stored of its runs so far.
        seen: What is seen of the runs of the Study.
        reports: What their pods reported, by pod UID.
        spec: The Study's spec.
        gpus: GPUs that each run holds.
        now: The time.
        levels: The resource at each rung of the trial's bracket; empty where there are none.
    """
    last = stored[-1] if stored else None
    open_ = last is not None and last.outcome in (PENDING, RUNNING)
    rungs = {r.resource: float(r.value) for run in stored for r in run.rungs or ()}
    progress = RunProgress(RunKey(trial, fold=fold), rungs=rungs)
    if last is not None:
        progress.key = RunKey(trial, last.rung, fold, last.attempt)
        if last.outcome == STOPPED and last.reason == PAUSED:
            progress.next_rung()
        elif not open_ and last.outcome != SUCCEEDED:
            progress.next_attempt()
    key = progress.key
    progress.facts = seen.get(key)
    if last is not None and last.outcome == SUCCEEDED:
        progress.record = last
        return progress
    facts = progress.facts
    if facts is None:
        if last is not None and open_:
            gone = _last_fold_done(
                bad("Deleted", f"Job {last.job} was deleted"), stored, None, spec
            )
            lost = RunFacts(
                key,
                last.job,
                job_uid=last.job_uid,
                state=RunState.FAILED,
                started=last.start_time,
                ended=now,
            )
            _close(progress, lost, gone, last, gpus, now)
        elif last is not None:
            progress.hold(not_before(stored), now)
        return progress
    progress.report = reports.get(facts.pod_uid or "")
    reached = _reached(progress, levels, spec.objective)
    progress.rungs |= {r.resource: float(r.value) for r in reached}
    if facts.suspended and spec.one_pod and last is not None and not folds_left(stored, spec):
        _close(progress, facts, Verdict("Completed"), last, gpus, now)  # nothing is left to train
        return progress
    if not facts.ended_by_itself:
        if spec.suspend and facts.theirs:
            ended = _last_fold_done(bad(SUSPENDED, ""), stored, progress.report, spec)
            _close(progress, facts, ended, last, gpus, now)
        else:
            _keep_up(progress, facts, last, gpus, now, at_once=bool(reached))
        _keep_rungs(progress, reached)
        _keep_folds(progress, spec)
        return progress
    if facts.silent and not (progress.report and progress.report.complete):
        lost_log = "its pod is gone, and its log with it" if facts.pod_uid is None else None
        progress.report = RunReport(complete=True, problem=lost_log)
    report = progress.report
    if report is not None and report.complete:
        verdict = judge(
            facts, report, spec.owed, folds_left(stored, spec) if spec.one_pod else None
        )
        verdict = _last_fold_done(verdict, stored, report, spec)
        _close(progress, facts, verdict, last, gpus, now)
        if verdict.remedy is None and progress.record is not None and not spec.one_pod:
            progress.record = with_values(progress.record, report, spec)
        _keep_rungs(progress, reached)
        _keep_folds(progress, spec)
    return progress


def folds_left(stored: Sequence[Run], spec: StudySpec) -> list[int]:
    """The folds that one pod is to train now: those that no run before it has done."""
    done = {f.fold for run in stored for f in run.folds or ()}
    return [fold for fold in range(spec.folds) if fold not in done]


def _last_fold_done(
    verdict: Verdict, stored: Sequence[Run], report: RunReport | None, spec: StudySpec
) -> Verdict:
    """What is taken away after its last fold was done has nothing left to be run again for."""
    if not spec.one_pod or verdict.remedy in (None, Remedy.FAIL):
        return verdict
    done = report.folds_done if report else {}
    return verdict if set(folds_left(stored, spec)) - done.keys() else Verdict("Completed")


def _keep_folds(progress: RunProgress, spec: StudySpec) -> None:
    """Writes down what the folds gave that a pod which trains all of them is done with."""
    if progress.record is None or progress.report is None or not progress.report.fold_count:
        return
    report = progress.report
    done = report.folds if progress.succeeded else report.folds_done
    known = {f.fold: f for f in progress.record.folds or ()}
    for fold in sorted(done):
        if done[fold].metrics.keys() >= {*spec.owed}:
            objectives, constraints = _values_of(done[fold], spec)
            known[fold] = FoldValues(fold=fold, objectives=objectives, constraints=constraints)
    folds = [known[fold] for fold in sorted(known)]
    progress.record = progress.record.model_copy(update={"folds": folds or None})


def lacks_pod(facts: RunFacts, now: datetime) -> bool:
    """Whether a run should have a pod by now, and has none."""
    wanted = facts.state == RunState.PENDING and not facts.held and not facts.deleting
    since = facts.created or now
    return wanted and facts.pod is None and now >= since + WAITING_IS_NEWS


def _reached(progress: RunProgress, levels: Sequence[int], objective: Objective) -> list[RungValue]:
    """What the pod of this run reports at rungs that no run before it came to."""
    seen = progress.report.rungs if progress.report else {}
    return [
        RungValue(resource=level, value=_value(objective, seen[level]))
        for level in levels
        if level in seen and level not in progress.rungs
    ]


def _keep_rungs(progress: RunProgress, reached: list[RungValue]) -> None:
    """Writes the rungs of this run down beside those that are stored of it."""
    if progress.record is None:
        return
    rungs = [*(progress.record.rungs or ()), *reached]
    progress.record = progress.record.model_copy(update={"rungs": rungs or None})


def _keep_up(
    progress: RunProgress,
    facts: RunFacts,
    last: Run | None,
    gpus: int,
    now: datetime,
    at_once: bool,
) -> None:
    """Follows a run that has not ended; what lasts but a moment is left out."""
    if facts.suspended:
        _write_down(
            progress, recorded(replace(facts, ended=now), PENDING, SUSPENDED, gpus), last, gpus, now
        )
        return
    running = facts.state == RunState.RUNNING
    since = (facts.started if running else facts.created) or now
    settles = since + (SETTLED if running else WAITING_IS_NEWS)
    if now < settles and not at_once:
        progress.settles = settles
    elif running:
        _write_down(progress, recorded(facts, RUNNING, None, gpus), last, gpus, now)
    else:
        if facts.held and last is not None and last.outcome == RUNNING:
            facts = replace(facts, ended=now)  # so is the pod that it had
        _write_down(progress, recorded(facts, PENDING, facts.reason, gpus), last, gpus, now)


def _write_down(
    progress: RunProgress, record: Run, last: Run | None, gpus: int, now: datetime
) -> None:
    """Says what should be stored; what is stored of the same run is taken into account."""
    if last is not None and last.job == record.job:
        kept = {"rungs": last.rungs, "folds": last.folds}
        record = carried(last, record, gpus, now).model_copy(update=kept)
    progress.record = record


def _close(
    progress: RunProgress,
    facts: RunFacts,
    verdict: Verdict,
    last: Run | None,
    gpus: int,
    now: datetime,
) -> None:
    outcome = {None: SUCCEEDED, Remedy.LATER: STOPPED}.get(verdict.remedy, FAILED)
    ended = replace(facts, ended=facts.ended or now)
    _write_down(progress, recorded(ended, outcome, verdict.reason, gpus), last, gpus, now)
    progress.verdict = verdict


def with_values(record: Run, report: RunReport, spec: StudySpec) -> Run:
    """Puts the values that a run gave into what is stored of it."""
    objectives, constraints = _values_of(report, spec)
    return record.model_copy(update={"objectives": objectives, "constraints": constraints})


def _values_of(
    report: RunReport, spec: StudySpec
) -> tuple[list[MetricValue], list[MetricValue] | None]:
    """The values of the objectives and of the constrained metrics."""
    values = [
        MetricValue(metric=o.metric, value=objective_value(o, report)) for o in spec.objectives
    ]
    bounded = [
        MetricValue(metric=c.metric, value=report.metrics[c.metric].latest)
        for c in spec.constraints or ()
    ]
    return values, bounded or None


def objective_value(objective: Objective, report: RunReport) -> float:
    """The value of an objective, by its strategy."""
    return _value(objective, report.metrics[objective.metric])


def _value(objective: Objective, track: MetricTrack) -> float:
    if objective.strategy == Strategy.LAST:
        return track.latest
    return track.max if objective.direction == Direction.MAXIMIZE else track.min


def recorded(facts: RunFacts, outcome: str, reason: str | None, gpus: int) -> Run:
    """Writes a run down."""
    seconds = 0.0
    if facts.started and facts.ended:
        seconds = max(0.0, (facts.ended - facts.started).total_seconds())
    return Run(
        job=job_name(facts.key),
        job_uid=facts.job_uid,
        rung=facts.key.rung,
        fold=facts.key.fold,
        attempt=facts.key.attempt,
        outcome=outcome,
        reason=reason,
        pod=facts.pod,
        pod_uid=facts.pod_uid,
        node=facts.node,
        start_time=facts.started and facts.started.replace(microsecond=0),
        completion_time=facts.ended and facts.ended.replace(microsecond=0),
        duration_seconds=math.ceil(seconds),
        # Rounded up: a budget that was spent while the run was at work stays spent.
        gpu_seconds=math.ceil(gpus * seconds),
    )
