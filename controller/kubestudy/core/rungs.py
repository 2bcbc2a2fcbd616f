"""Multi-fidelity: which trials go on from a rung, which wait there, and which are gone on with.

Asynchronous (the default): a trial trains towards all of the resource. At each rung it goes on if
it is among the best 1/eta of those that have come there, else it is stopped there and its place
is given to another; should it come to be among the best 1/eta later, it is gone on with from its
checkpoint (after Li et al., MLSys 2020, whose trials are paused at every rung). Without a volume
for checkpoints it stays stopped.

Synchronous: all trials of a bracket wait at a rung for each other, and the best of them go on
(Li et al., JMLR 2018, Algorithm 1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime

from kubestudy.algorithms.base import SearchAlgorithm
from kubestudy.algorithms.multi_fidelity import MultiFidelity
from kubestudy.api.objectives import Direction, Objective
from kubestudy.api.study import StudySpec
from kubestudy.api.trial import Trial
from kubestudy.core.trials import Progress, pause, stop

PRUNED = "Pruned"


def judge(
    trials: Sequence[Progress],
    algorithm: MultiFidelity,
    spec: StudySpec,
    more: bool,
    now: datetime,
) -> list[Progress]:
    """Judges the trials that have come to a rung.

    Args:
        trials: All trials; those that do not go on are paused or stopped.
        algorithm: The Study's.
        spec: The Study's spec.
        more: Whether there will be more trials.
        now: The time.

    Returns:
        The paused trials that are worth going on with, the most advanced first.
    """
    if algorithm.synchronous:
        return _synchronous(trials, algorithm, spec, more, now)
    return _asynchronous(trials, algorithm, spec, more, now)


def _asynchronous(
    trials: Sequence[Progress],
    algorithm: MultiFidelity,
    spec: StudySpec,
    more: bool,
    now: datetime,
) -> list[Progress]:
    eta = algorithm.resource.eta if algorithm.resource else 1
    order = best_first(spec.objective)
    places: dict[tuple[int, int], list[Progress]] = defaultdict(list)
    for t in trials:
        for rung in range(len(t.rungs)):
            places[t.trial.spec.bracket or 0, rung].append(t)
    promotable: list[tuple[int, int, Progress]] = []
    for (bracket, rung), there in places.items():
        if rung + 1 == len(algorithm.brackets[bracket].resources):
            continue
        there.sort(key=lambda t, rung=rung: order(t, rung))  # type: ignore[misc]
        best = max(1, len(there) // eta)
        for rank, t in enumerate(there):
            if len(t.rungs) != rung + 1 or t.finished:
                continue
            if t.paused and rank < len(there) // eta:
                promotable.append((-rung, rank, t))
            elif rank >= best and _stands_at_new_rung(t):
                _hold(t, rank, len(there), spec, now)
    promotable.sort(key=lambda p: (p[0], p[1], p[2].trial.spec.index))
    chosen = [t for *_, t in promotable]
    if not more and not chosen and not any(t.runs and not t.paused for t in trials):
        for (_, rung), there in places.items():
            for rank, t in enumerate(there):
                if t.paused and len(t.rungs) == rung + 1:
                    stop(t, PRUNED, _standing(t, rank, len(there), spec), now)
    return chosen


def _stands_at_new_rung(t: Progress) -> bool:
    """Whether a trial was not judged at its rung yet; what has ended meanwhile need not be."""
    return t.at_new_rung and not any(run.unread for run in t.runs)


def _hold(t: Progress, rank: int, among: int, spec: StudySpec, now: datetime) -> None:
    """Stops a trial at its rung: for now where it has a checkpoint, else for good."""
    message = _standing(t, rank, among, spec)
    if spec.trial.checkpoints is not None:
        pause(t, "NotAmongBest", message, now)
    else:
        stop(t, PRUNED, message, now)


def _standing(t: Progress, rank: int, among: int, spec: StudySpec) -> str:
    here = t.rungs[-1]
    metric, unit = spec.objective.metric, spec.algorithm.resource
    at = f"{unit.report if unit else 'resource'} {here.resource}"
    return f"{metric} {here.value:g} at {at} is number {rank + 1} of {among}"


def _synchronous(
    trials: Sequence[Progress],
    algorithm: MultiFidelity,
    spec: StudySpec,
    more: bool,
    now: datetime,
) -> list[Progress]:
    order = best_first(spec.objective)
    groups: dict[tuple[int, int], list[Progress]] = defaultdict(list)
    for t in trials:
        index, number = t.trial.spec.index, t.trial.spec.bracket or 0
        groups[algorithm.iteration(index), number].append(t)
    promotable: list[tuple[int, int, Progress]] = []
    for (_, number), entrants in groups.items():
        bracket = algorithm.brackets[number]
        for t in entrants:
            if _stands_at_new_rung(t) and len(t.rungs) < len(bracket.resources):
                pause(t, "AtRung", "waits for the other trials of its bracket", now)
        if more and len(entrants) < bracket.sizes[0]:
            continue
        for rung, size in enumerate(bracket.sizes[1:]):
            if any(not t.finished and len(t.rungs) <= rung for t in entrants):
                break  # the rung is not complete
            ranked = sorted(
                (t for t in entrants if len(t.rungs) > rung),
                key=lambda t: order(t, rung),
            )
            for rank, t in enumerate(ranked[size:], start=size):
                if t.paused and len(t.rungs) == rung + 1:
                    stop(t, PRUNED, _standing(t, rank, len(ranked), spec), now)
            entrants = ranked[:size]
            promotable += [
                (-rung, rank, t)
                for rank, t in enumerate(entrants)
                if t.paused and len(t.rungs) == rung + 1
            ]
    promotable.sort(key=lambda p: (p[0], p[1], p[2].trial.spec.index))
    return [t for *_, t in promotable]


def best_first(objective: Objective) -> Callable[[Progress, int], tuple[float, int]]:
    """The order of the trials of a rung; of equals, the earlier trial comes first."""
    sign = -1.0 if objective.direction == Direction.MAXIMIZE else 1.0
    return lambda t, rung: (sign * t.rungs[rung].value, t.trial.spec.index)


def levels_of(trial: Trial, algorithm: SearchAlgorithm) -> tuple[int, ...]:
    """The resource at each rung of a trial's bracket; empty where there are none."""
    if trial.spec.bracket is None or not isinstance(algorithm, MultiFidelity):
        return ()
    return algorithm.brackets[trial.spec.bracket].resources
