"""Which trials are better: feasible ones first, then by the objectives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any, Protocol, TypeVar

from kubestudy.api.objectives import Direction
from kubestudy.api.study import StudySpec
from kubestudy.api.trial import SUCCEEDED, TrialStatus
from kubestudy.core.pareto import Point, front, hypervolume

BEYOND_WORST = 0.1
"""How far beyond the worst cost the reference point lies, in ranges of the costs."""


class Judged(Protocol):
    """Whatever has the status of a trial."""

    @property
    def status(self) -> TrialStatus | None:
        """How the trial stands."""


T = TypeVar("T", bound=Judged)


def costs(status: TrialStatus | None, spec: StudySpec) -> Point | None:
    """The objectives of a trial that succeeded, with their signs turned so that less is better."""
    if status is None or status.state != SUCCEEDED:
        return None
    found = []
    for objective in spec.objectives:
        value = status.value(objective.metric)
        if value is None:
            return None
        found.append(-value if objective.direction == Direction.MAXIMIZE else value)
    return tuple(found)


def violations(status: TrialStatus | None, spec: StudySpec) -> tuple[float, ...]:
    """By how much a trial breaks each constraint of its Study, in their order.

    Returns:
        Positive numbers are violations, in the unit of the metric; the others tell how much room
        there is. Empty where the trial has not measured all constrained metrics.
    """
    measured = {m.metric: m.value for m in (status.constraints if status else None) or ()}
    found = []
    for c in spec.constraints or ():
        if c.metric not in measured:
            return ()
        value = measured[c.metric]
        beyond = c.min - value if c.min is not None else -math.inf
        found.append(max(beyond, value - c.max if c.max is not None else -math.inf))
    return tuple(found)


def excess(status: TrialStatus | None, spec: StudySpec) -> float:
    """The sum of all violations; 0 for a trial that is feasible."""
    return math.fsum(max(0.0, v) for v in violations(status, spec))


def is_feasible(status: TrialStatus | None, spec: StudySpec) -> bool:
    """Whether a trial keeps to all constraints, or there are none."""
    if not spec.constraints:
        return True
    known = violations(status, spec)
    return bool(known) and max(known) <= 0


def contenders(trials: Sequence[T], spec: StudySpec) -> tuple[list[T], list[Point]]:
    """The trials that may be the best: those that succeeded and are feasible, with their costs."""
    found, points = [], []
    for t in trials:
        point = costs(t.status, spec)
        if point is not None and is_feasible(t.status, spec):
            found.append(t)
            points.append(point)
    return found, points


def leaders(trials: Sequence[T], spec: StudySpec) -> list[T]:
    """The best trials that are feasible: with several objectives, the Pareto front.

    Returns:
        By the first objective, the best first; of equals, the earliest. With one objective, at
        most one trial.
    """
    found, points = contenders(trials, spec)
    best = [found[place] for place in front(points)]
    return best if len(spec.objectives) > 1 else best[:1]


def leader(trials: Sequence[T], spec: StudySpec) -> T | None:
    """The first of the leaders: the best one by the first objective."""
    return next(iter(leaders(trials, spec)), None)


def nearest(trials: Sequence[T], spec: StudySpec) -> T | None:
    """The trial that comes closest to being feasible, of those that succeeded."""
    found = [t for t in trials if costs(t.status, spec) is not None and violations(t.status, spec)]
    return min(found, key=lambda t: excess(t.status, spec), default=None)


def reference_point(points: Sequence[Point]) -> Point:
    """Where the hypervolume is measured from.

    The worst cost seen in each objective, and a tenth of the range of all beyond it, so that the
    ends of the front count as well (Ishibuchi et al., Evol. Comput. 26(3), 2018).
    """
    columns = list(zip(*points, strict=True))
    return tuple(max(c) + BEYOND_WORST * (max(c) - min(c)) for c in columns)


def volumes(trials: Sequence[T], spec: StudySpec) -> list[float]:
    """The course of the hypervolume: after each trial, all measured from one reference point.

    Args:
        trials: In the order in which they ended.
        spec: The Study's spec.
    """
    _, points = contenders(trials, spec)
    if not points:
        return [0.0] * len(trials)
    reference = reference_point(points)
    course: list[float] = []
    held: list[Point] = []
    volume = 0.0
    for t in trials:
        (_, new) = contenders([t], spec)
        if new and not any(_covers(h, new[0]) for h in held):
            held = [h for h in held if not _covers(new[0], h)] + new
            volume = hypervolume(held, reference)
        course.append(volume)
    return course


def ranks(trials: Sequence[T], spec: StudySpec) -> list[int | None]:
    """The rank of each trial that succeeded, from 1; None for the others.

    Equal trials share a rank, and the next one counts them all, as in scikit-learn's
    ``rank_test_score``. With several objectives, those on the Pareto front are the first, then
    those that are on it once they are taken away, and so on. Trials that are not feasible come
    after all others, the least violating first.
    """
    points = {i: p for i, t in enumerate(trials) if (p := costs(t.status, spec)) is not None}
    out = {i: excess(trials[i].status, spec) for i in points}
    feasible = [i for i in points if is_feasible(trials[i].status, spec)]
    if len(spec.objectives) > 1:
        groups = _fronts({i: points[i] for i in feasible})
    else:
        groups = _ties(feasible, points.__getitem__)
    groups += _ties(points.keys() - set(feasible), out.__getitem__)
    found: list[int | None] = [None] * len(trials)
    before = 0
    for group in groups:
        for i in group:
            found[i] = before + 1
        before += len(group)
    return found


def _ties(places: Iterable[int], key: Callable[[int], Any]) -> list[list[int]]:
    return [list(group) for _, group in groupby(sorted(places, key=key), key)]


def _fronts(points: dict[int, Point]) -> list[list[int]]:
    groups, rest = [], list(points)
    while rest:
        best = {rest[place] for place in front([points[i] for i in rest])}
        groups.append(sorted(best))
        rest = [i for i in rest if i not in best]
    return groups


def _covers(a: Point, b: Point) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True))
