"""The decision: what is seen of a Study in, what should be done out.

The whole product in one page. Follow each trial; see whether the Study is over; stop, hold back
or let go on what runs; start what should run; tell how it goes. Everything else in this package
is a detail of one of these steps, and everything outside it only carries the plan out.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count as count_from
from itertools import islice

from kubestudy.algorithms.base import Observed, SearchAlgorithm
from kubestudy.algorithms.multi_fidelity import MultiFidelity
from kubestudy.api.base import API_VERSION, LABEL_MANAGED_BY, LABEL_STUDY, MANAGER
from kubestudy.api.meta import ObjectMeta, OwnerReference, condition
from kubestudy.api.study import Study, StudySpec, StudyStatus
from kubestudy.api.trial import FAILED, STOPPED, Trial, TrialSpec, TrialStatus
from kubestudy.api.validation import FieldError
from kubestudy.core.acceptance import algorithm_for, problems
from kubestudy.core.conditions import said
from kubestudy.core.confirming import (
    Confirmation,
    due,
    first_index,
    free_indexes,
    searching,
    unconfirmed,
)
from kubestudy.core.early_stopping import end_early, where_stopped
from kubestudy.core.ending import Ending, ending, next_deadline, spent_budget
from kubestudy.core.facts import RunKey
from kubestudy.core.folds import hopeless
from kubestudy.core.names import label_value, trial_name
from kubestudy.core.plan import (
    CreateTrial,
    Event,
    Plan,
    Snapshot,
    StartRun,
    StopRun,
    SuspendRun,
    WriteTrialStatus,
)
from kubestudy.core.ranking import violations
from kubestudy.core.results import new_best
from kubestudy.core.rungs import judge
from kubestudy.core.status import count, study_status, wanted_trials
from kubestudy.core.suggesting import NothingLeft, Suggestions
from kubestudy.core.trials import Progress, follow, stop
from kubestudy.core.warm_start import LOOK_AGAIN, earlier_trials, settles, warm_start_problems

# More than this many new trials are made in several rounds, so that the status keeps up.
MOST_NEW_TRIALS = 32


def decide(snapshot: Snapshot) -> Plan:
    """Says what should be done about a Study.

    Args:
        snapshot: What is seen of it. It is not changed.

    Returns:
        The plan; empty where everything is as it should be.
    """
    study, now = snapshot.study, snapshot.now
    if study.metadata.deletion_timestamp is not None:
        return Plan()  # its trials, their Jobs and pods go with it, by their owner references
    if (
        study.ended
        and study.status
        and study.status.observed_generation == study.metadata.generation
    ):
        return _tidy(snapshot)
    wrong = problems(study, snapshot.allowed, snapshot.sources) or warm_start_problems(snapshot)
    if wrong:
        return _refuse(study, wrong, now)

    spec, gpus = study.spec, gpus_of(study.spec)
    before = study.status or StudyStatus()
    started = before.start_time or now.replace(microsecond=0)
    seed = seed_of(study)
    algorithm = algorithm_for(study, seed)
    suggestions = Suggestions(spec, algorithm, _earlier(snapshot, started))
    runs = {facts.key: facts for facts in snapshot.runs}
    trials = [
        follow(trial, runs, snapshot.reports, spec, gpus, now, levels_of(trial, algorithm))
        for trial in snapshot.trials
        if trial.metadata.deletion_timestamp is None
    ]

    end = _end(study, trials, suggestions.size, spent_budget(study, trials, started, gpus, now))
    if end is not None and end.at_once:
        for t in searching(trials) if end.good and not end.spent else trials:
            if not t.finished:
                stop(t, end.reason, end.message, gpus, now)
    for t in hopeless(searching(trials), spec):
        stop(
            t,
            "Discarded",
            "its folds so far are worse than the best trial's by more than a standard error",
            gpus,
            now,
        )

    end_early(trials, spec, gpus, now)
    try:
        again = due(trials, spec, end)
        plan = _act(snapshot, trials, algorithm, suggestions, started, end is None, again)
    except NothingLeft as nothing_left:
        end = nothing_left.ending
        again = due(trials, spec, end)
        plan = _act(snapshot, trials, algorithm, suggestions, started, False, again)
    stopping = end is not None and end.at_once and all(t.finished for t in trials) and not again
    if not stopping and (wait := next_deadline(study, trials, started, gpus, now)) is not None:
        plan.within(wait)
    busy = any(facts.active for facts in snapshot.runs)
    status = study_status(
        study, trials, suggestions.size, seed, started, end, busy, len(again), now
    )
    _tell(plan, study, status)
    return plan


def _end(
    study: Study, trials: Sequence[Progress], size: int | None, spent: Ending | None
) -> Ending | None:
    """Why there are no more trials of the search; None while there are."""
    search, first = searching(trials), first_index(trials)
    end = ending(study, search, count(search), size, spent)
    if end is None and first is not None and len(search) >= first:
        return Ending("MaxTrialsReached", "the search had ended, and was confirmed")
    if end is not None and end.good and spent is not None and unconfirmed(trials, study.spec):
        return spent
    return end


def _act(
    snapshot: Snapshot,
    trials: Sequence[Progress],
    algorithm: SearchAlgorithm,
    suggestions: Suggestions,
    started: datetime,
    more: bool,
    again: Sequence[Confirmation],
) -> Plan:
    """What to store, to stop and to start.

    Args:
        snapshot: What is seen.
        trials: Where the trials stand.
        algorithm: The Study's.
        suggestions: Its suggestions.
        started: When it was accepted.
        more: Whether there are to be more trials of the search.
        again: What is to be run again with another seed.

    Raises:
        NothingLeft: There is nothing left to suggest.
    """
    spec, now, plan = snapshot.study.spec, snapshot.now, Plan()
    promoted: list[Progress] = []
    if isinstance(algorithm, MultiFidelity):
        promoted = judge(searching(trials), algorithm, spec, more, gpus_of(spec), now)
    _store(plan, trials, now)
    _stop_or_hold(plan, trials, snapshot)
    if not spec.suspend:
        settled = settles(snapshot.study, started)
        if now < settled:
            plan.within((settled - now).total_seconds())
        more &= now >= settled
        _start(plan, trials, promoted, snapshot, algorithm, suggestions, more, again)
    return plan


def seed_of(study: Study) -> int:
    """The seed of a Study: the one it names, the one it was told before, or one from its UID."""
    if study.spec.algorithm.seed is not None:
        return study.spec.algorithm.seed
    if study.status and study.status.seed is not None:
        return study.status.seed
    digest = hashlib.sha256((study.metadata.uid or study.key).encode()).digest()
    return int.from_bytes(digest[:4])


def levels_of(trial: Trial, algorithm: SearchAlgorithm) -> tuple[int, ...]:
    """The resource at each rung of a trial's bracket; empty where there are none."""
    if trial.spec.bracket is None or not isinstance(algorithm, MultiFidelity):
        return ()
    return algorithm.brackets[trial.spec.bracket].resources


def gpus_of(spec: StudySpec) -> int:
    """How many GPUs each run holds."""
    if spec.trial.template is None:
        return spec.trial.gpus
    total = 0
    for container in spec.trial.template.get("spec", {}).get("containers", []):
        limits = (container.get("resources") or {}).get("limits") or {}
        amount = str(limits.get(spec.trial.gpu_resource, 0))
        total += int(amount) if amount.isdigit() else 0
    return total


def _store(plan: Plan, trials: Sequence[Progress], now: datetime) -> None:
    """What became of the trials is stored before anything new is started."""
    for t in trials:
        if t.changed:
            plan.actions.append(
                WriteTrialStatus(t.trial.metadata.name, t.status, urgent=t.changed_state)
            )
            plan.events += t.events
        if t.settles is not None:
            plan.within((t.settles - now).total_seconds())


def _stop_or_hold(plan: Plan, trials: Sequence[Progress], snapshot: Snapshot) -> None:
    """No run goes on for a trial that is finished or gone, nor in a Study that is suspended."""
    current = {r.key for t in trials if not t.finished for r in t.runs if not r.succeeded}
    for facts in snapshot.runs:
        if facts.gives_up is not None:
            plan.within((facts.gives_up - snapshot.now).total_seconds())
        if facts.at_rest:
            continue
        if facts.key not in current:
            plan.actions.append(StopRun(facts.key, facts.job))
        elif snapshot.study.spec.suspend and not (facts.suspended or facts.ended_by_itself):
            plan.actions.append(SuspendRun(facts.key, facts.job, suspend=True))


def _start(
    plan: Plan,
    trials: Sequence[Progress],
    promoted: Sequence[Progress],
    snapshot: Snapshot,
    algorithm: SearchAlgorithm,
    suggestions: Suggestions,
    more: bool,
    again: Sequence[Confirmation],
) -> None:
    """Fills the free slots.

    First with trials that wait for their run, then with new ones, then with those that are
    promoted from their rung; once the search has ended, with those that confirm its best.
    """
    study = snapshot.study
    unfinished = [t for t in trials if not t.finished]
    # A run of a trial that is finished or gone holds its slot until its pod has ended.
    free = study.spec.budget.parallelism - sum(facts.active for facts in snapshot.runs)
    waiting = [run for t in unfinished for run in t.waiting]
    for run in waiting[: max(0, free)]:
        if run.facts is None:
            plan.actions.append(StartRun(run.key))
        else:
            plan.actions.append(SuspendRun(run.key, run.facts.job, suspend=False))
    free -= len(waiting)
    if suggestions.adaptive:
        # What has ended and is not read to its end has something to teach: worth the wait.
        free -= sum(run.unread for t in unfinished for run in t.runs)
    if more and free > 0:
        free -= _start_new(plan, trials, snapshot, algorithm, suggestions, free)
    if again and free > 0:
        _confirm(plan, trials, snapshot, again, free)
    # A trial is gone on with once nothing writes to its checkpoints any more.
    at_work = {facts.key.trial for facts in snapshot.runs if facts.active}
    rested = [t for t in promoted if t.trial.metadata.name not in at_work]
    runs = [run for t in rested for run in t.runs]
    plan.actions += [StartRun(run.key) for run in runs[: max(0, free)]]


def _start_new(
    plan: Plan,
    trials: Sequence[Progress],
    snapshot: Snapshot,
    algorithm: SearchAlgorithm,
    suggestions: Suggestions,
    free: int,
) -> int:
    """Makes trials for the free slots; returns how many slots they take, now or soon."""
    study = snapshot.study
    search = searching(trials)
    history = [_observed(t, study) for t in search] if suggestions.needs_history else []
    ends = (wanted_trials(study, suggestions.size), first_index(trials))
    total = min((n for n in ends if n is not None), default=None)
    indexes = list(islice(_free_indexes(snapshot, total), free))
    for index in indexes[:MOST_NEW_TRIALS]:
        assignment = suggestions.suggest(index, history)
        bracket = algorithm.bracket(index) if isinstance(algorithm, MultiFidelity) else None
        name = study.metadata.name
        spec = TrialSpec(study=name, index=index, bracket=bracket, parameters=assignment)
        trial = _new_trial(study, spec)
        plan.actions += [CreateTrial(trial), StartRun(RunKey(trial.metadata.name))]
        if suggestions.needs_history:
            insort(history, Observed(index, assignment), key=lambda o: o.index)
    if suggestions.earlier and not trials:
        number = len(suggestions.earlier)
        plan.events.append(Event("WarmStarted", f"{number} trials are known from the start"))
    if len(indexes) > MOST_NEW_TRIALS:
        plan.within(0)
    return len(indexes)


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


def _observed(t: Progress, study: Study) -> Observed:
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


def _earlier(snapshot: Snapshot, started: datetime) -> list[Observed]:
    """The trials of other Studies that a Study starts from: they come before its own."""
    trials = earlier_trials(snapshot, started)
    return [
        replace(_observed(Progress(t, t.status or TrialStatus()), snapshot.study), index=index)
        for index, t in enumerate(trials, start=-len(trials))
    ]


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


def _tell(plan: Plan, study: Study, status: StudyStatus) -> None:
    """The Study's status, and events about what is new in it."""
    before = study.status or StudyStatus()
    if status == before:
        return
    plan.status = status
    old = {c.type: c for c in before.conditions or ()}
    for c in status.conditions or ():
        known = old.get(c.type)
        if known is not None and known.status == c.status:
            continue
        if c.type == "Accepted":
            plan.events.append(Event("Accepted", c.message))
        elif c.type in ("Complete", "Failed") and c.status == "True":
            plan.events.append(Event(c.reason, c.message, warning=c.type == "Failed"))
        elif c.type == "Suspended":
            plan.events.append(Event(c.reason, f"the Study is {c.reason.lower()}"))
    if (news := new_best(before, status)) is not None:
        plan.events.append(news)


def _tidy(snapshot: Snapshot) -> Plan:
    """A Study that has ended leaves nothing running."""
    return Plan([StopRun(f.key, f.job) for f in snapshot.runs if not f.at_rest])


def _refuse(study: Study, wrong: list[FieldError], now: datetime) -> Plan:
    """A Study that cannot be run starts nothing, and says why; what runs already goes on."""
    plan = Plan()
    before = study.status or StudyStatus()
    message = "; ".join(map(str, wrong))
    generation = study.metadata.generation
    conditions = before.conditions or []
    for type_ in ("Accepted", "Progressing"):
        conditions = said(conditions, type_, False, "Invalid", message, now, generation)
    status = before.model_copy(update={"observed_generation": generation, "conditions": conditions})
    if study.spec.warm_start is not None:
        plan.within(LOOK_AGAIN)
    if status != before:
        plan.status = status
        known = condition(before.conditions, "Accepted")
        if known is None or known.status == "True" or known.message != message[:4096]:
            plan.events.append(Event("Invalid", message, warning=True))
    return plan
