"""The decision: what is seen of a Study in, what should be done out.

The whole product in one page. Follow each trial; see whether the Study is over; ask what to try
next; stop, hold back or let go on what runs; start what should run; tell how it goes. Everything
else in this package is a detail of one of these steps, and everything outside it only carries the
plan out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kubestudy.algorithms.base import SearchAlgorithm
from kubestudy.algorithms.multi_fidelity import MultiFidelity
from kubestudy.api.study import Study
from kubestudy.api.study_status import StudyStatus
from kubestudy.core.acceptance import algorithm_for, problems
from kubestudy.core.confirming import (
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
    Event,
    Plan,
    Snapshot,
    StopRun,
    SuspendRun,
    WriteTrialStatus,
)
from kubestudy.core.rungs import judge, levels_of
from kubestudy.core.starting import NewTrials, fill_slots, new_trials
from kubestudy.core.status import Search, count, study_status
from kubestudy.core.suggesting import Suggestions, seed_of
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

    spec = study.spec
    before = study.status or StudyStatus()
    started = before.start_time or now.replace(microsecond=0)
    seed = seed_of(study)
    algorithm = algorithm_for(study, seed)
    suggestions = Suggestions(spec, algorithm, earlier(snapshot, started))
    runs = {facts.key: facts for facts in snapshot.runs}
    trials = [
        follow(trial, runs, snapshot.reports, spec, now, levels_of(trial, algorithm))
        for trial in snapshot.trials
        if trial.metadata.deletion_timestamp is None
    ]

    end = _end(study, trials, suggestions, spent_budget(study, trials, started, now))
    if end is not None and end.at_once:
        for t in searching(trials) if end.good and not end.spent else trials:
            if not t.finished:
                stop(t, end.reason, end.message, now)
    for t in hopeless(searching(trials), spec):
        stop(
            t,
            "Discarded",
            "its folds so far are worse than the best trial's by more than a standard error",
            now,
        )

    end_early(trials, spec, now)

    settled = settles(study, started)
    promoted = _promoted(trials, algorithm, study, end, now)
    new = NewTrials()
    if end is None and not spec.suspend and now >= settled:
        new = new_trials(snapshot, trials, algorithm, suggestions)
    if new.ending is not None and not new.trials:
        end = new.ending
        promoted = _promoted(trials, algorithm, study, end, now)
    again = due(trials, spec, end)

    plan = Plan()
    _store(plan, trials, now)
    _stop_or_hold(plan, trials, snapshot)
    if not spec.suspend:
        fill_slots(plan, snapshot, trials, new, again, promoted)
        if now < settled:
            plan.within((settled - now).total_seconds())
    if new.trials and not trials and suggestions.earlier:
        number = len(suggestions.earlier)
        plan.events.append(Event("WarmStarted", f"{number} trials are known from the start"))
    stopping = end is not None and end.at_once and all(t.finished for t in trials) and not again
    if not stopping and (wait := next_deadline(study, trials, started, now)) is not None:
        plan.within(wait)
    search = Search(seed, started, suggestions.size, end, len(again))
    tell(plan, study, study_status(snapshot, trials, search))
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


def _promoted(
    trials: Sequence[Progress],
    algorithm: SearchAlgorithm,
    study: Study,
    end: Ending | None,
    now: datetime,
) -> list[Progress]:
    """Judges the trials at rungs, if there are any; returns those that wait and may train on."""
    if not isinstance(algorithm, MultiFidelity):
        return []
    return judge(searching(trials), algorithm, study.spec, end is None, now)


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
