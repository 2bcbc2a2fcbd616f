"""Pareto fronts and their hypervolume, for one to three costs.

A point is a tuple of costs: the smaller, the better. One point dominates another if it is nowhere
worse and somewhere better. Equal points do not dominate each other.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

Point = tuple[float, ...]


class Staircase:
    """The points of a plane that no other dominates, and the area that they dominate together.

    Args:
        reference: The corner that bounds the area; what lies beyond it adds nothing.
    """

    def __init__(self, reference: tuple[float, float] = (math.inf, math.inf)):
        self._limit = reference
        self._xs: list[float] = []  # rising
        self._ys: list[float] = []  # falling
        self.area = 0.0

    def covers(self, x: float, y: float) -> bool:
        """Whether some point is at most ``x`` and at most ``y``."""
        at = bisect_right(self._xs, x)
        return at > 0 and self._ys[at - 1] <= y

    def add(self, x: float, y: float) -> None:
        """Takes a point; those that it dominates go."""
        limit_x, limit_y = self._limit
        if x >= limit_x or y >= limit_y or self.covers(x, y):
            return
        start = end = bisect_left(self._xs, x)
        left, top = x, self._ys[start - 1] if start else limit_y
        while end < len(self._xs) and self._ys[end] >= y:
            self._gain(left, self._xs[end], y, top)
            left, top = self._xs[end], self._ys[end]
            end += 1
        self._gain(left, self._xs[end] if end < len(self._xs) else limit_x, y, top)
        self._xs[start:end] = [x]
        self._ys[start:end] = [y]

    def _gain(self, left: float, right: float, bottom: float, top: float) -> None:
        if right > left and top > bottom:
            self.area += (right - left) * (top - bottom)


def front(points: Sequence[Point]) -> list[int]:
    """Finds the points that no other dominates.

    In lexicographic order a point is dominated by earlier ones alone, so that only its last two
    costs have to be compared (Kung, Luccio and Preparata, J. ACM 22(4), 1975).

    Args:
        points: Of one to three costs each.

    Returns:
        Their places in ``points``, by rising first cost; of equal points, the earlier first.
    """
    found: list[int] = []
    seen, last = Staircase(), None
    for place in sorted(range(len(points)), key=points.__getitem__):
        point = points[place]
        if point == last:
            found.append(place)
            continue
        _, y, z = _padded(point)
        if not seen.covers(y, z):
            seen.add(y, z)
            found.append(place)
            last = point
    return found


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """The volume that a set of points dominates up to a reference point.

    Exact, by sweeping along the first cost and keeping the area that is dominated in the other
    two (Fonseca, Paquete and López-Ibáñez, CEC 2006, for three costs).

    Args:
        points: Of one to three costs each.
        reference: Costs no better than which count for nothing.
    """
    limit, *rest = _padded(reference, 1.0)
    section = Staircase((rest[0], rest[1]))
    volume, before = 0.0, 0.0
    for x, y, z in sorted(map(_padded, points)):
        if x >= limit:
            break
        volume += section.area * (x - before)
        before = x
        section.add(y, z)
    return volume + section.area * (limit - before)


def spread(points: Sequence[Point], most: int) -> list[int]:
    """Chooses points that stand for all, in an order in which the first ones do so as well.

    First those that are best in one cost each, then always the point that is farthest from those
    chosen so far (Gonzalez, Theor. Comput. Sci. 38, 1985), with each cost scaled to its range.
    Of several, the earliest.

    Args:
        points: To choose from.
        most: How many to choose at most.
    """
    if not points:
        return []
    columns = list(zip(*points, strict=True))
    lows = [min(c) for c in columns]
    widths = [max(c) - low or 1.0 for c, low in zip(columns, lows, strict=True)]
    scaled = [
        [(v - low) / width for v, low, width in zip(p, lows, widths, strict=True)] for p in points
    ]
    chosen = list(dict.fromkeys(min(range(len(points)), key=c.__getitem__) for c in columns))
    gaps = [min(math.dist(s, scaled[c]) for c in chosen) for s in scaled]
    left = [i for i in range(len(points)) if i not in chosen]
    while left and len(chosen) < most:
        farthest = max(left, key=gaps.__getitem__)
        chosen.append(farthest)
        left.remove(farthest)
        for i in left:
            gaps[i] = min(gaps[i], math.dist(scaled[i], scaled[farthest]))
    return chosen


def _padded(point: Point, fill: float = 0.0) -> tuple[float, float, float]:
    x, y, z = (*point, fill, fill)[:3]
    return x, y, z
