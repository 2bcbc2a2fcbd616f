"""What a search learns from: its own trials, and those of the Studies that it starts from."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from kubestudy.algorithms.base import Observed
from kubestudy.api.study import Study
from kubestudy.api.trial import FAILED, STOPPED, TrialStatus
from kubestudy.core.early_stopping import where_stopped
from kubestudy.core.plan import Snapshot
from kubestudy.core.ranking import violations
from kubestudy.core.trials import Progress
from kubestudy.core.warm_start import earlier_trials


def observed(t: Progress, study: Study) -> Observed:
    """What a trial has shown so far, as an algorithm is told it."""
    values = [t.status.value(o.metric) for o in study.spec.objectives]
    known = tuple(v for v in values if v is not None)
    rungs = tuple((r.resource, float(r.value)) for r in t.rungs) or where_stopped(t, study.spec)
    return Observed(
        t.trial.spec.index,
        t.trial.spec.parameters,
        known if len(known) == len(values) else None,
        t.state == FAILED or (t.state == STOPPED and not known and not rungs),
        rungs,
        violations(t.status, study.spec),
    )


def earlier(snapshot: Snapshot, started: datetime) -> list[Observed]:
    """The trials of other Studies that a Study starts from: they come before its own."""
    trials = earlier_trials(snapshot, started)
    return [
        replace(observed(Progress(t, t.status or TrialStatus()), snapshot.study), index=index)
        for index, t in enumerate(trials, start=-len(trials))
    ]
