"""What is started in the free slots: waiting runs, new trials, promoted ones, confirming ones."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count as count_from
from itertools import islice, takewhile

from kubestudy.algorithms.base import Observed, SearchAlgorithm
from kubestudy.algorithms.generations import Generations
from kubestudy.algorithms.multi_fidelity import MultiFidelity
from kubestudy.api.base import API_VERSION, LABEL_MANAGED_BY, LABEL_STUDY, MANAGER
from kubestudy.api.meta import ObjectMeta, OwnerReference
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial, TrialSpec
from kubestudy.core.confirming import Confirmation, first_index, free_indexes, searching
from kubestudy.core.ending import Ending
from kubestudy.core.facts import RunKey
from kubestudy.core.history import observed
from kubestudy.core.names import label_value, trial_name
from kubestudy.core.plan import CreateTrial, Plan, Snapshot, StartRun, SuspendRun
from kubestudy.core.runs import RunProgress
from kubestudy.core.status import wanted_trials
from kubestudy.core.suggesting import Suggestions
from kubestudy.core.trials import Progress

# More than this many new trials are made in several rounds, so that the status keeps up.
MOST_NEW_TRIALS = 32

MOST_STEPS = 4_000_000
"""Nor do constraints take more steps than this to evaluate in one round: about a second."""


@dataclass(frozen=True)
class NewTrials:
    """What the search tries next.

    Attributes:
        trials: The Trials to make now.
        slots: How many slots they take, and those that are made in the next rounds.
        ending: Why the search ends with them; None if it goes on.
    """

    trials: tuple[Trial, ...] = ()
    slots: int = 0
    ending: Ending | None = None


def new_trials(
    snapshot: Snapshot,
    trials: Sequence[Progress],
    algorithm: SearchAlgorithm,
    suggestions: Suggestions,
) -> NewTrials:
    """Asks for trials for the slots that no waiting run takes.

    Args:
        snapshot: What is seen.
        trials: Where the trials stand.
        algorithm: The Study's.
        suggestions: Its suggestions.
    """
    free = _free_slots(snapshot) - len(_waiting(trials, snapshot))
    if suggestions.adaptive:
        # What has ended and is not read to its end has something to teach: worth the wait.
        free -= sum(run.unread for t in trials if not t.finished for run in t.runs)
    if free <= 0:
        return NewTrials()
    study = snapshot.study
    search = searching(trials)
    history = [observed(t, study) for t in search] if suggestions.needs_history else []
    ends = (wanted_trials(study, suggestions.size), first_index(trials))
    total = min((n for n in ends if n is not None), default=None)
    due = takewhile(lambda i: algorithm.is_due(i, history), _free_indexes(snapshot, total))
    indexes = list(islice(due, free))
    made: list[Trial] = []
    for index in indexes[:MOST_NEW_TRIALS]:
        if made and suggestions.steps > MOST_STEPS:
            break
        found = suggestions.suggest(index, history)
        if isinstance(found, Ending):
            return NewTrials(tuple(made), len(made), found)
        spec = TrialSpec(study=study.metadata.name, index=index, parameters=found)
        part = _part(study, index, algorithm, history)
        made.append(_new_trial(study, spec.model_copy(update=part)))
        if suggestions.needs_history:
            insort(history, Observed(index, found), key=lambda o: o.index)
    return NewTrials(tuple(made), len(indexes))


def fill_slots(
    plan: Plan,
    snapshot: Snapshot,
    trials: Sequence[Progress],
    new: NewTrials,
    again: Sequence[Confirmation],
    promoted: Sequence[Progress],
) -> None:
    """Fills the free slots.

    First with trials that wait for their run, then with new ones, then with those that confirm the
    best once the search has ended, then with those that are promoted from their rung.
    """
    free = _free_slots(snapshot)
    waiting = _waiting(trials, snapshot)
    for run in waiting[: max(0, free)]:
        if run.facts is None:
            plan.actions.append(StartRun(run.key))
        else:
            plan.actions.append(SuspendRun(run.key, run.facts.job, suspend=False))
    for trial in new.trials:
        plan.actions += [CreateTrial(trial), StartRun(RunKey(trial.metadata.name))]
    if new.slots > len(new.trials):
        plan.within(0)
    free -= len(waiting) + new.slots
    if again and free > 0:
        _confirm(plan, trials, snapshot, again, free)
    # A trial is gone on with once nothing writes to its checkpoints any more.
    busy = {facts.key.trial for facts in snapshot.runs if facts.active}
    rested = [t for t in promoted if t.trial.metadata.name not in busy]
    runs = [run for t in rested for run in t.runs]
    plan.actions += [StartRun(run.key) for run in runs[: max(0, free)]]


def _free_slots(snapshot: Snapshot) -> int:
    """The slots that nothing holds; a run of a trial that has ended does until its pod is gone."""
    return snapshot.study.spec.budget.parallelism - sum(facts.active for facts in snapshot.runs)


def _waiting(trials: Sequence[Progress], snapshot: Snapshot) -> list[RunProgress]:
    """The runs that could be started, or let go on.

    What was ended with its Study's suspension is run again once nothing of it is at work.
    """
    unended = (f.key for f in snapshot.runs if f.active and not f.ended_by_itself)
    at_work = {(key.trial, key.fold) for key in unended}
    return [
        run
        for t in trials
        if not t.finished
        for run in t.waiting
        if run.facts is not None or (run.key.trial, run.key.fold) not in at_work
    ]


def _part(
    study: Study, index: int, algorithm: SearchAlgorithm, history: Sequence[Observed]
) -> dict[str, int | str | None]:
    """Which part of training a trial is for, where that is not all of it for every trial."""
    if isinstance(algorithm, MultiFidelity):
        return {"bracket": algorithm.bracket(index)}
    if isinstance(algorithm, Generations):
        parent = algorithm.parent(index, history)
        inherits = None if parent is None else trial_name(study.metadata.name, parent)
        return {"inherits": inherits, "until": algorithm.until(index)}
    return {}


def _confirm(
    plan: Plan,
    trials: Sequence[Progress],
    snapshot: Snapshot,
    again: Sequence[Confirmation],
    free: int,
) -> None:
    """Makes trials that run others again, with another seed."""
    study = snapshot.study
    left_over = {facts.key.trial for facts in snapshot.runs}
    places = list(zip(again, free_indexes(trials), strict=False))[:free]
    for confirmation, index in places[:MOST_NEW_TRIALS]:
        trial = _new_trial(
            study,
            TrialSpec(
                study=study.metadata.name,
                index=index,
                confirms=confirmation.of.trial.metadata.name,
                seed=confirmation.seed,
                parameters=confirmation.of.trial.spec.parameters,
            ),
        )
        if trial.metadata.name not in left_over:
            plan.actions += [CreateTrial(trial), StartRun(RunKey(trial.metadata.name))]
    if len(places) > MOST_NEW_TRIALS:
        plan.within(0)


def _free_indexes(snapshot: Snapshot, total: int | None) -> Iterator[int]:
    """The indexes that have no trial yet, lowest first: one that was deleted is made again.

    But not while a Job of the deleted one is there, which would be taken for its successor's.
    """
    name = snapshot.study.metadata.name
    taken = {t.spec.index for t in snapshot.trials}
    left_over = {facts.key.trial for facts in snapshot.runs}
    indexes = count_from() if total is None else range(total)
    return (
        index
        for index in indexes
        if index not in taken and trial_name(name, index) not in left_over
    )


def _new_trial(study: Study, spec: TrialSpec) -> Trial:
    name = study.metadata.name
    return Trial(
        metadata=ObjectMeta(
            name=trial_name(name, spec.index),
            namespace=study.metadata.namespace,
            labels={LABEL_STUDY: label_value(name), LABEL_MANAGED_BY: MANAGER},
            owner_references=[
                OwnerReference(
                    api_version=API_VERSION,
                    kind="Study",
                    name=name,
                    uid=study.metadata.uid or "",
                    controller=True,
                    block_owner_deletion=True,
                )
            ],
        ),
        spec=spec,
    )
