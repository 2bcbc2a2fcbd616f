"""What a Study knows from the start: the trials of other Studies.

Which ones is settled when the Study starts, so that a restart finds the same: those that had
succeeded by then. What another Study stored at that very moment may be seen a little late, so the
first suggestion waits for it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from kubestudy.api.meta import condition
from kubestudy.api.study import Study
from kubestudy.api.trial import SUCCEEDED, Trial
from kubestudy.api.validation import FieldError
from kubestudy.core.plan import Snapshot
from kubestudy.core.suggesting import search_space

LOOK_AGAIN = 10.0
"""Seconds after which a Study that is not there is looked for again."""

SETTLES = timedelta(seconds=5)


def warm_start_problems(snapshot: Snapshot) -> list[FieldError]:
    """Lists the Studies to start from that are missing, or measure something else.

    A Study that has started goes on, whatever becomes of the others.
    """
    study = snapshot.study
    if study.spec.warm_start is None or (study.status and study.status.start_time):
        return []
    wrong = []
    for i, name in enumerate(study.spec.warm_start.studies):
        field = f"spec.warmStart.studies[{i}]"
        earlier = snapshot.earlier.get(name)
        if earlier is None:
            wrong.append(FieldError(field, f"there is no Study {name!r} here (yet)"))
        elif why := _differs(study, earlier.study):
            wrong.append(FieldError(field, why))
    return wrong


def settles(study: Study, started: datetime) -> datetime:
    """From when on a Study may make suggestions."""
    return started + SETTLES if study.spec.warm_start else started


def earlier_trials(snapshot: Snapshot, started: datetime) -> list[Trial]:
    """The trials that a Study starts from, those of each other Study in their order.

    Taken are those that had succeeded by the second in which it started, and whose parameters are
    a point of its own search space.
    """
    spec = snapshot.study.spec
    if spec.warm_start is None:
        return []
    space = search_space(spec)
    found = [snapshot.earlier[n] for n in spec.warm_start.studies if n in snapshot.earlier]
    return [
        trial
        for earlier in found
        for trial in earlier.trials
        if trial.spec.confirms is None
        and _succeeded_by(trial, started)
        and space.contains(trial.spec.parameters)
    ]


def _succeeded_by(trial: Trial, moment: datetime) -> bool:
    succeeded = condition(trial.status.conditions if trial.status else None, SUCCEEDED)
    return (
        succeeded is not None
        and succeeded.status == "True"
        and succeeded.last_transition_time <= moment
    )


def _differs(study: Study, other: Study) -> str:
    """Why the values of another Study say nothing about this one; empty where they do."""
    theirs = {o.metric: o.direction for o in other.spec.objectives}
    for objective in study.spec.objectives:
        if objective.metric not in theirs:
            return f"it does not measure {objective.metric}, but {', '.join(theirs)}"
        if theirs[objective.metric] != objective.direction:
            return f"it wants to {theirs[objective.metric].lower()} {objective.metric}"
    return ""
