"""The status of a Study: how it goes, told so that it changes only when something happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubestudy.api.budget import MAX_TRIALS
from kubestudy.api.meta import Condition
from kubestudy.api.repeats import Confirm
from kubestudy.api.study import Study
from kubestudy.api.study_status import GpuSeconds, StudyStatus, TrialCounts
from kubestudy.api.trial import FAILED, PAUSED, RUNNING, STOPPED, SUCCEEDED
from kubestudy.core.acceptance import warnings
from kubestudy.core.conditions import said
from kubestudy.core.confirming import confirming, searching
from kubestudy.core.early_stopping import saved_by_early_stopping
from kubestudy.core.ending import Ending, gpu_seconds
from kubestudy.core.plan import Snapshot
from kubestudy.core.results import results_of
from kubestudy.core.savings import saved_at_rungs
from kubestudy.core.trials import Progress


def count(trials: Sequence[Progress]) -> TrialCounts:
    """Counts the trials by what became of them."""
    states = [t.state for t in trials]
    told = {s: states.count(s) for s in (RUNNING, PAUSED, SUCCEEDED, FAILED, STOPPED)}
    return TrialCounts(
        created=len(states),
        pending=len(states) - sum(told.values()),
        running=told[RUNNING],
        paused=told[PAUSED],
        succeeded=told[SUCCEEDED],
        failed=told[FAILED],
        stopped=told[STOPPED],
    )


def wanted_trials(study: Study, size: int | None) -> int | None:
    """How many trials the Study will run if nothing ends it before; None where it is open."""
    limits = [n for n in (study.spec.budget.max_trials, size) if n is not None]
    return min(limits, default=None)


@dataclass(frozen=True)
class Search:
    """How the search of a Study stands.

    Attributes:
        seed: What the suggestions are made from.
        started: When the Study was accepted.
        size: Number of suggestions there are; None if they never end.
        end: Why it starts no more trials; None while it does.
        left: How many confirming trials are still to be made.
    """

    seed: int
    started: datetime
    size: int | None
    end: Ending | None
    left: int


def study_status(snapshot: Snapshot, trials: Sequence[Progress], search: Search) -> StudyStatus:
    """Makes the status of an accepted Study.

    Args:
        snapshot: What is seen.
        trials: Where its trials stand.
        search: How the search stands.
    """
    study, now, end, left = snapshot.study, snapshot.now, search.end, search.left
    busy = any(facts.active for facts in snapshot.runs)
    counts = count(trials)
    total = wanted_trials(study, search.size)
    if total is not None and total > MAX_TRIALS:
        total = None  # a space so large is as good as endless
    if total is not None:
        total = max(total, len(searching(trials)))  # maxTrials may have been lowered meanwhile
    if total is not None and study.spec.confirm is not None:
        total += _confirming_trials(study.spec.confirm, trials, total, left)
    over = end is not None and counts.finished == counts.created and not busy and not left
    results = results_of(trials, study.spec, over)
    if over and end is not None and end.good and not counts.succeeded:
        end = Ending("TrialsFailed", f"{end.message}, and no trial succeeded", good=False)

    before = study.status or StudyStatus()
    generation = study.metadata.generation
    conditions = _accepted(study, now)
    held = study.spec.suspend and not over
    ending_runs = sum(facts.unended for facts in snapshot.runs) if held else 0
    suspended = held and not ending_runs
    suspension = "Suspended" if suspended else "Suspending"
    if held or (before.conditions and any(c.type == "Suspended" for c in before.conditions)):
        reason = suspension if held else "Resumed"
        message = f"waits for {ending_runs} pods to end" if ending_runs else ""
        conditions = said(conditions, "Suspended", suspended, reason, message, now, generation)
    tally = (
        f"{counts.finished} of {total if total is not None else 'any number of'} trials finished"
    )
    if results.text:
        tally += f"; {results.text}"
    tally += _without_rungs(study, trials)
    if over and end is not None:
        message = f"{end.message}; {tally}"
        conditions = said(conditions, "Progressing", False, end.reason, message, now, generation)
        for type_, holds in (("Complete", end.good), ("Failed", not end.good)):
            if holds or any(c.type == type_ for c in conditions):
                conditions = said(conditions, type_, holds, end.reason, message, now, generation)
    else:
        if held:
            reason = suspension
        elif end is not None and end.good and not end.spent and (left or _is_confirming(trials)):
            reason = "Confirming"
        elif end is not None:
            reason = "Stopping" if end.at_once else "Finishing"
        else:
            reason = "Running"
        conditions = said(conditions, "Progressing", not suspended, reason, tally, now, generation)
        for type_ in ("Complete", "Failed"):
            if any(c.type == type_ for c in conditions):
                conditions = said(
                    conditions, type_, False, "Continued", "its spec was changed", now, generation
                )
    completed = before.completion_time or now.replace(microsecond=0)
    resource = study.spec.algorithm.resource
    return StudyStatus(
        observed_generation=generation,
        conditions=conditions,
        seed=search.seed,
        trials=counts,
        progress=f"{counts.finished}/{total if total is not None else '-'}",
        best=results.best,
        pareto_front=results.front,
        hypervolume=results.hypervolume,
        gpu_seconds=GpuSeconds(
            used=round(gpu_seconds(trials)),
            saved=saved_at_rungs(trials, resource) if resource else saved_by_early_stopping(trials),
        ),
        start_time=search.started,
        completion_time=completed if over else None,
        time_left=None if over or held else _time_left(study, trials, counts, total),
    )


def _without_rungs(study: Study, trials: Sequence[Progress]) -> str:
    """Says so where trials could not be compared at rungs, and so none of them was stopped."""
    resource = study.spec.algorithm.resource
    ended = [t for t in trials if t.state == SUCCEEDED and t.trial.spec.bracket is not None]
    silent = [t for t in ended if not t.rungs]
    if resource is None or not silent:
        return ""
    metric = study.spec.objective.metric
    return (
        f"; {len(silent)} of {len(ended)} trials came to no rung, so that they could not be"
        f" stopped early: they never reported {metric} together with {resource.report}"
    )


def _accepted(study: Study, now: datetime) -> list[Condition]:
    """The conditions of a Study that can be run, with what in it is likely not meant."""
    message = "; ".join(["the Study can be run", *(f"warning: {w}" for w in warnings(study))])
    before = (study.status.conditions if study.status else None) or []
    return said(before, "Accepted", True, "Valid", message, now, study.metadata.generation)


def _confirming_trials(confirm: Confirm, trials: Sequence[Progress], total: int, left: int) -> int:
    """How many trials confirm others: those that there are to be, or at most will be."""
    return len(confirming(trials)) + left or min(confirm.top, total) * confirm.seeds


def _is_confirming(trials: Sequence[Progress]) -> bool:
    return any(not t.finished for t in confirming(trials)) and all(
        t.finished for t in searching(trials)
    )


def blocked(
    study: Study, planned: StudyStatus | None, reason: str, message: str, now: datetime
) -> StudyStatus:
    """Makes the status of an accepted Study that cannot go on.

    Args:
        study: The Study.
        planned: What its status was to be; its counts are true, its conditions are not said.
        reason: Why it cannot go on, in CamelCase.
        message: The same for a person.
        now: The time.
    """
    before = study.status or StudyStatus()
    generation = study.metadata.generation
    conditions = _accepted(study, now)
    conditions = said(conditions, "Progressing", False, reason, message, now, generation)
    counted = planned or before
    return counted.model_copy(
        update={"conditions": conditions, "observed_generation": before.observed_generation}
    )


def _time_left(
    study: Study, trials: Sequence[Progress], counts: TrialCounts, total: int | None
) -> str | None:
    """Estimates the time to the end from the mean time of a run; moves only as trials end."""
    if total is None:
        return None
    ended = (t for t in trials if t.finished and t.state != STOPPED)
    times = [time for t in ended if (time := _slot_time(t)) is not None]
    if not times:
        return None
    runs = 1 if study.spec.one_pod else study.spec.folds
    mean = sum(times, timedelta()) / len(times) / runs
    rounds = -(-(total - counts.finished) * runs // study.spec.budget.parallelism)
    return duration_text(mean * max(0, rounds))


def _slot_time(t: Progress) -> timedelta | None:
    """How long a trial held a slot: its runs at work, and the start of its first pod.

    Not while it waited at a rung or was suspended. With cross-validation that of all folds.
    """
    made, started, time = (
        t.trial.metadata.creation_timestamp,
        t.status.start_time,
        t.status.worked(),
    )
    if time is None or made is None or started is None:
        return None
    return time + max(timedelta(), started - made)


def duration_text(span: timedelta) -> str:
    """Writes a duration as its two largest units: ``1d4h``, ``1h20m``, ``3m5s``, ``12s``."""
    seconds = max(0, round(span.total_seconds()))
    units = [("d", 86400), ("h", 3600), ("m", 60), ("s", 1)]
    parts: list[str] = []
    for unit, size in units:
        amount, seconds = divmod(seconds, size)
        if amount or parts:
            parts.append(f"{amount}{unit}" if amount else "")
    return "".join(parts[:2]) or "0s"
