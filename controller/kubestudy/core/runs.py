"""What becomes of one run, from what is stored of it, seen of its Job and read from its pod."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from kubestudy.api.study import Direction, MetricValue, Objective, Strategy, StudySpec
from kubestudy.api.trial import FAILED, PENDING, RUNNING, SUCCEEDED, Run
from kubestudy.core.facts import RunFacts, RunKey, RunReport, RunState
from kubestudy.core.failures import Remedy, Verdict, judge
from kubestudy.core.names import job_name

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
        settles: When what is seen now will be worth a write.
    """

    key: RunKey
    facts: RunFacts | None = None
    record: Run | None = None
    verdict: Verdict | None = None
    report: RunReport | None = None
    settles: datetime | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it gave its values."""
        return self.record is not None and self.record.outcome == SUCCEEDED

    @property
    def waits(self) -> bool:
        """Whether it could be started, or let go on, if there is a slot."""
        if self.succeeded:
            return False
        return self.facts is None or (self.facts.suspended and not self.facts.deleting)

    @property
    def unread(self) -> bool:
        """Whether it has ended, but is not read to its end."""
        return not self.succeeded and self.facts is not None and self.facts.ended_by_itself

    def next_attempt(self) -> None:
        """Makes the run that comes after this one the current one."""
        self.key = replace(self.key, attempt=self.key.attempt + 1)
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
) -> RunProgress:
    """Says where the run of a fold stands now.

    Args:
        trial: Name of the trial, which is not finished.
        fold: Which fold.
        stored: What is stored of its runs so far.
        seen: What is seen of the runs of the Study.
        reports: What their pods reported, by pod UID.
        spec: The Study's spec.
        gpus: GPUs that each run holds.
        now: The time.
    """
    last = stored[-1] if stored else None
    open_ = last is not None and last.outcome in (PENDING, RUNNING)
    attempt = 0 if last is None else last.attempt
    if last is not None and not open_ and last.outcome != SUCCEEDED:
        attempt += 1
    key = RunKey(trial, fold=fold, attempt=attempt)
    progress = RunProgress(key, seen.get(key))
    if last is not None and last.outcome == SUCCEEDED:
        progress.record = last
        return progress
    facts = progress.facts
    if facts is None:
        if last is not None and open_:
            gone = Verdict("Deleted", f"Job {last.job} was deleted", Remedy.RETRY)
            lost = RunFacts(key, last.job, RunState.FAILED, started=last.start_time, ended=now)
            _close(progress, lost, gone, gpus)
        return progress
    progress.report = reports.get(facts.pod_uid or "")
    if not facts.ended_by_itself:
        _keep_up(progress, facts, gpus, now)
        return progress
    if facts.pod_uid is None:
        lost_log = "its pod is gone, and its log with it"
        progress.report = RunReport(complete=True, problem=lost_log)
    report = progress.report
    if report is not None and report.complete:
        verdict = judge(facts, report, spec.owed)
        _close(progress, facts, verdict, gpus)
        if verdict.remedy is None and progress.record is not None:
            values = [
                MetricValue(metric=o.metric, value=objective_value(o, report))
                for o in spec.objectives
            ]
            bounded = [
                MetricValue(metric=c.metric, value=report.metrics[c.metric].latest)
                for c in spec.constraints or ()
            ]
            progress.record = progress.record.model_copy(
                update={"objectives": values, "constraints": bounded or None}
            )
    return progress


def _keep_up(progress: RunProgress, facts: RunFacts, gpus: int, now: datetime) -> None:
    """Follows a run that has not ended; what lasts but a moment is left out."""
    if facts.suspended:
        progress.record = recorded(facts, PENDING, "Suspended", gpus)
        return
    running = facts.state == RunState.RUNNING
    since = (facts.started if running else facts.created) or now
    settles = since + (SETTLED if running else WAITING_IS_NEWS)
    if now < settles:
        progress.settles = settles
    elif running:
        progress.record = recorded(facts, RUNNING, None, gpus)
    else:
        progress.record = recorded(facts, PENDING, facts.reason, gpus)


def _close(progress: RunProgress, facts: RunFacts, verdict: Verdict, gpus: int) -> None:
    outcome = SUCCEEDED if verdict.remedy is None else FAILED
    progress.record = recorded(facts, outcome, verdict.reason, gpus)
    progress.verdict = verdict


def objective_value(objective: Objective, report: RunReport) -> float:
    """The value of an objective, by its strategy."""
    track = report.metrics[objective.metric]
    if objective.strategy == Strategy.LAST:
        return track.latest
    return track.max if objective.direction == Direction.MAXIMIZE else track.min


def recorded(facts: RunFacts, outcome: str, reason: str | None, gpus: int) -> Run:
    """Writes a run down."""
    seconds = 0.0
    if facts.started and facts.ended:
        seconds = gpus * (facts.ended - facts.started).total_seconds()
    return Run(
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
        # Rounded up: a budget that was spent while the run was at work stays spent.
        gpu_seconds=max(0, math.ceil(seconds)),
    )
