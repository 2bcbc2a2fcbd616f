"""What becomes of one trial, from what is stored of it and what is seen of its runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from kubestudy.api.meta import condition
from kubestudy.api.study import Direction, MetricValue, Objective, Strategy, StudySpec
from kubestudy.api.trial import (
    FAILED,
    MAX_METRICS,
    MAX_RUNS,
    PENDING,
    RUNNING,
    STOPPED,
    SUCCEEDED,
    CurvePoint,
    MetricSummary,
    Run,
    Trial,
    TrialStatus,
)
from kubestudy.core.conditions import said
from kubestudy.core.facts import RunFacts, RunKey, RunReport, RunState
from kubestudy.core.failures import Remedy, Verdict, judge
from kubestudy.core.names import job_name
from kubestudy.core.plan import Event

STATES = (PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED)

# A state that passes within this time is not worth a write.
SETTLED = timedelta(seconds=1)
WAITING_IS_NEWS = timedelta(seconds=5)


@dataclass
class Progress:
    """Where a trial stands.

    Attributes:
        trial: The trial as it is stored.
        status: What its status should be.
        run: Its current run; for a finished trial, its last.
        facts: What is seen of that run; None where it has no Job.
        settles: When what is seen now will be worth a write.
        events: What to tell once the status is stored.
    """

    trial: Trial
    status: TrialStatus
    run: RunKey
    facts: RunFacts | None
    settles: datetime | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def state(self) -> str:
        """Pending, Running, Succeeded, Failed or Stopped."""
        return self.status.state

    @property
    def finished(self) -> bool:
        """Whether the trial will not run any more."""
        return self.status.finished

    @property
    def holds_slot(self) -> bool:
        """Whether a run of it is, or may be, at work."""
        return self.facts is not None and self.facts.active

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
    runs: Mapping[RunKey, RunFacts],
    reports: Mapping[str, RunReport],
    spec: StudySpec,
    gpus: int,
    now: datetime,
) -> Progress:
    """Says where a trial stands now.

    Args:
        trial: As it is stored.
        runs: What is seen of the runs of the Study.
        reports: What their pods reported, by pod UID.
        spec: The Study's spec.
        gpus: GPUs that each run holds.
        now: The time.
    """
    status = trial.status or TrialStatus()
    run = _current_run(trial)
    facts = runs.get(run)
    progress = Progress(trial, status, run, facts)
    if trial.finished:
        return progress
    if facts is None:
        last = status.runs[-1] if status.runs else None
        if last is not None and last.outcome in (PENDING, RUNNING):
            gone = Verdict("Deleted", f"Job {last.job} was deleted", Remedy.RETRY)
            lost = RunFacts(run, last.job, RunState.FAILED, started=last.start_time, ended=now)
            _close(progress, lost, gone, RunReport(complete=True), spec, gpus, now)
        return progress
    report = reports.get(facts.pod_uid or "")
    if facts.ended_by_itself:
        if facts.pod_uid is None:
            report = RunReport(complete=True, problem="its pod is gone, and its log with it")
        if report is not None and report.complete:
            verdict = judge(facts, report, [o.metric for o in spec.objectives])
            _close(progress, facts, verdict, report, spec, gpus, now)
        return progress
    _keep_up(progress, facts, report, spec, gpus, now)
    return progress


def stop(progress: Progress, reason: str, message: str, gpus: int, now: datetime) -> None:
    """Ends an unfinished trial before its time."""
    if progress.facts is not None:
        ended = progress.facts.ended or now
        _record(progress, replace(progress.facts, ended=ended), STOPPED, reason, gpus)
    _become(progress, STOPPED, reason, message, now)
    progress.status = progress.status.model_copy(
        update={"completion_time": now.replace(microsecond=0)}
    )


def _current_run(trial: Trial) -> RunKey:
    """The run that is at work or comes next: one after each that ended and was to be retried."""
    runs = (trial.status.runs if trial.status else None) or []
    if not runs:
        return RunKey(trial.metadata.name)
    last = runs[-1]
    over = last.outcome not in (PENDING, RUNNING)
    attempt = last.attempt + (1 if over and not trial.finished else 0)
    return RunKey(trial.metadata.name, last.rung, last.fold, attempt)


def _keep_up(
    progress: Progress,
    facts: RunFacts,
    report: RunReport | None,
    spec: StudySpec,
    gpus: int,
    now: datetime,
) -> None:
    """Follows a run that has not ended; what lasts but a moment is left out."""
    if facts.suspended:
        _record(progress, facts, PENDING, "Suspended", gpus)
        _become(progress, PENDING, "Suspended", "held back while the Study is suspended", now)
        return
    running = facts.state == RunState.RUNNING
    since = (facts.started if running else facts.created) or now
    settles = since + (SETTLED if running else WAITING_IS_NEWS)
    if now < settles:
        progress.settles = settles
        return
    if running:
        _record(progress, facts, RUNNING, None, gpus)
        _become(progress, RUNNING, "Running", "", now)
        _measure(progress, report, spec)
        if progress.status.start_time is None and facts.started is not None:
            progress.status = progress.status.model_copy(update={"start_time": facts.started})
    else:
        _record(progress, facts, PENDING, facts.reason, gpus)
        _become(progress, PENDING, facts.reason or "Waiting", facts.message, now)


def _close(
    progress: Progress,
    facts: RunFacts,
    verdict: Verdict,
    report: RunReport,
    spec: StudySpec,
    gpus: int,
    now: datetime,
) -> None:
    """Settles a run that has ended: the trial succeeds, fails, or will be run again."""
    ok = verdict.remedy is None
    _measure(progress, report, spec)
    _record(progress, facts, SUCCEEDED if ok else FAILED, verdict.reason, gpus)
    name = progress.trial.metadata.name
    if verdict.remedy == Remedy.RETRY and progress.run.attempt < spec.trial.max_retries:
        message = f"{verdict.reason}: {verdict.message or 'the run was cut off'}; it is run again"
        _become(progress, PENDING, "Retrying", message, now)
        progress.events.append(Event("TrialRetried", f"{name}: {message}", True, name))
        progress.run = replace(progress.run, attempt=progress.run.attempt + 1)
        progress.facts = None
        return
    ended = facts.ended or now
    progress.status = progress.status.model_copy(
        update={
            "objectives": [
                MetricValue(metric=o.metric, value=objective_value(o, report))
                for o in spec.objectives
            ]
            if ok
            else None,
            "start_time": progress.status.start_time or facts.started,
            "completion_time": ended.replace(microsecond=0),
        }
    )
    _become(progress, SUCCEEDED if ok else FAILED, verdict.reason, verdict.message, now)
    if not ok:
        text = f"{name}: {verdict.reason}: {verdict.message}"
        progress.events.append(Event("TrialFailed", text, True, name))


def objective_value(objective: Objective, report: RunReport) -> float:
    """The value of an objective, by its strategy."""
    track = report.metrics[objective.metric]
    if objective.strategy == Strategy.LAST:
        return track.latest
    return track.max if objective.direction == Direction.MAXIMIZE else track.min


def _become(progress: Progress, state: str, reason: str, message: str, now: datetime) -> None:
    """Makes one state true, and every other that was ever said false."""
    before = list(progress.status.conditions or [])
    current = condition(before, state)
    if (
        current
        and current.status == "True"
        and (current.reason, current.message)
        == (
            reason,
            message,
        )
    ):
        return
    conditions = before
    for other in STATES:
        known = condition(before, other)
        if other != state and known is not None and known.status == "True":
            conditions = said(conditions, other, False, known.reason, known.message, now)
    conditions = said(conditions, state, True, reason, message, now)
    progress.status = progress.status.model_copy(update={"conditions": conditions})


def _record(
    progress: Progress, facts: RunFacts, outcome: str, reason: str | None, gpus: int
) -> None:
    """Writes down the run."""
    seconds = 0
    if facts.started and facts.ended:
        # Rounded up: a budget that was spent while the run was at work stays spent.
        seconds = math.ceil(gpus * (facts.ended - facts.started).total_seconds())
    run = Run(
        job=job_name(facts.key),
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
        gpu_seconds=max(0, seconds),
    )
    others = [r for r in progress.status.runs or [] if r.job != run.job]
    progress.status = progress.status.model_copy(update={"runs": [*others, run][-MAX_RUNS:]})


def _measure(progress: Progress, report: RunReport | None, spec: StudySpec) -> None:
    """Writes down what was reported, the objectives first."""
    if report is None or not report.metrics:
        return
    first = [o.metric for o in spec.objectives if o.metric in report.metrics]
    rest = sorted(set(report.metrics) - set(first))
    metrics = []
    for name in [*first, *rest][:MAX_METRICS]:
        t = report.metrics[name]
        metrics.append(
            MetricSummary(
                metric=name, latest=t.latest, min=t.min, max=t.max, step=t.step, count=t.count
            )
        )
    progress.status = progress.status.model_copy(
        update={
            "metrics": metrics,
            "curve": [CurvePoint(step=s, value=v) for s, v in report.curve] or None,
        }
    )
