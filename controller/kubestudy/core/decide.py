"""The decision: what is seen of a Study in, what should be done out.

The whole product in one page. Follow each trial; see whether the Study is over; stop, hold back
or let go on what runs; start what should run; tell how it goes. Everything else in this package
is a detail of one of these steps, and everything outside it only carries the plan out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kubestudy.algorithms.base import SearchAlgorithm
from kubestudy.algorithms.multi_fidelity import MultiFidelity
from kubestudy.api.study import Study
from kubestudy.api.study_status import StudyStatus
from kubestudy.core.acceptance import algorithm_for, problems
from kubestudy.core.accounts import gpus_of
from kubestudy.core.confirming import (
    Confirmation,
    due,
    first_index,
    searching,
    unconfirmed,
)
from kubestudy.core.early_stopping import end_early
from kubestudy.core.ending import Ending, ending, next_deadline, spent_budget
from kubestudy.core.folds import hopeless
from kubestudy.core.history import earlier
from kubestudy.core.plan import (
    Plan,
    Snapshot,
    StopRun,
    SuspendRun,
    WriteTrialStatus,
)
from kubestudy.core.rungs import judge, levels_of
from kubestudy.core.starting import fill_slots
from kubestudy.core.status import count, study_status
from kubestudy.core.suggesting import NothingLeft, Suggestions, seed_of
from kubestudy.core.telling import refuse, tell
from kubestudy.core.trials import Progress, follow, stop
from kubestudy.core.warm_start import settles, warm_start_problems


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
        return refuse(study, wrong, now)

    spec, gpus = study.spec, gpus_of(study.spec)
    before = study.status or StudyStatus()
    started = before.start_time or now.replace(microsecond=0)
    seed = seed_of(study)
    algorithm = algorithm_for(study, seed)
    suggestions = Suggestions(spec, algorithm, earlier(snapshot, started))
    runs = {facts.key: facts for facts in snapshot.runs}
    trials = [
        follow(trial, runs, snapshot.reports, spec, gpus, now, levels_of(trial, algorithm))
        for trial in snapshot.trials
        if trial.metadata.deletion_timestamp is None
    ]

    end = _end(study, trials, suggestions, spent_budget(study, trials, started, gpus, now))
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
    tell(plan, study, status)
    return plan


def _end(
    study: Study, trials: Sequence[Progress], suggestions: Suggestions, spent: Ending | None
) -> Ending | None:
    """Why there are no more trials of the search; None while there are."""
    search, first = searching(trials), first_index(trials)
    size, exhausted = suggestions.size, suggestions.exhausted
    end = ending(study, search, count(search), size, exhausted, spent)
    if end is None and first is not None and len(search) >= first:
        return Ending("Confirmed", "the search had ended when its best trials were run again")
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
        fill_slots(plan, trials, promoted, snapshot, algorithm, suggestions, more, again)
    return plan


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


def _tidy(snapshot: Snapshot) -> Plan:
    """A Study that has ended leaves nothing running."""
    return Plan([StopRun(f.key, f.job) for f in snapshot.runs if not f.at_rest])
