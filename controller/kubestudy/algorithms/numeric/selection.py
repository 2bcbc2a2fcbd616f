"""Which of a population survive, with several objectives; less is better in each.

Infeasible points come after all feasible ones, by how much they violate (constraint domination;
Deb et al., IEEE TEVC 6(2), 2002).
"""

from __future__ import annotations

import math
from functools import cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def fronts(costs: Array, violations: Array) -> list[list[int]]:
    """Sorts points by domination.

    Args:
        costs: A row for each point.
        violations: By how much each point violates the constraints in all.

    Returns:
        Places of the points: those that none dominates, those that only the former dominate, ...
    """
    no_worse = (costs[:, None] <= costs[None]).all(axis=2)
    better = (costs[:, None] < costs[None]).any(axis=2)
    less, as_much = (
        violations[:, None] < violations[None],
        violations[:, None] == violations[None],
    )
    dominates = less | as_much & no_worse & better
    count = dominates.sum(axis=0)
    found, left = [], np.ones(len(costs), dtype=bool)
    while left.any():
        front = np.flatnonzero(left & (count == 0))
        found.append([int(i) for i in front])
        left[front] = False
        count = count - dominates[front].sum(axis=0)
    return found


def crowding(costs: Array) -> Array:
    """The crowding distance of each point of a front: more is lonelier, the ends are infinite."""
    distance = np.zeros(len(costs))
    for column in costs.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if spread > 0 and len(order) > 2:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return distance


def least_crowded(costs: Array, violations: Array, count: int) -> list[int]:
    """The survivors of NSGA-II: the first fronts, in each the loneliest points first."""
    chosen: list[int] = []
    for front in fronts(costs, violations):
        distance = crowding(costs[front])
        chosen += [front[k] for k in sorted(range(len(front)), key=lambda k: -distance[k])]
        if len(chosen) >= count:
            break
    return chosen[:count]


def most_directions(objectives: int, count: int) -> Array:
    """As many evenly spread directions as there may be at most."""
    divisions = 1
    while objectives > 1 and math.comb(divisions + objectives, objectives - 1) <= count:
        divisions += 1
    return directions(objectives, divisions)


@cache
def directions(objectives: int, divisions: int) -> Array:
    """Evenly spread reference directions (Das and Dennis, SIAM J. Optim. 8(3), 1998)."""
    rows = [
        np.diff([-1, *bars, divisions + objectives - 1]) - 1
        for bars in combinations(range(divisions + objectives - 1), objectives - 1)
    ]
    return np.array(rows, dtype=float) / divisions


def best_spread(
    costs: Array, violations: Array, count: int, references: Array, rng: np.random.Generator
) -> list[int]:
    """The survivors of NSGA-III: whole fronts, and of the last one points of rare directions.

    Deb and Jain, IEEE TEVC 18(4), 2014: objectives are normalised by the ideal point and the
    intercepts of the plane through the extreme points, each point belongs to its nearest
    reference line, and lines with the fewest points are served first.
    """
    whole: list[int] = []
    last: list[int] = []
    for front in fronts(costs, violations):
        if len(whole) + len(front) > count:
            last = front
            break
        whole += front
    line, distance = _nearest(_normalised(costs[whole + last]), references)
    niche = np.bincount(line[: len(whole)], minlength=len(references))
    waiting = {len(whole) + k: i for k, i in enumerate(last)}
    chosen = list(whole)
    while waiting and len(chosen) < count:
        lines = sorted({int(line[k]) for k in waiting})
        fewest = min(niche[j] for j in lines)
        at = int(rng.choice([j for j in lines if niche[j] == fewest]))
        here = [k for k in waiting if line[k] == at]
        k = (
            min(here, key=lambda k: (distance[k], k))
            if niche[at] == 0
            else here[int(rng.integers(len(here)))]
        )
        chosen.append(waiting.pop(k))
        niche[at] += 1
    return chosen


def _normalised(costs: Array) -> Array:
    moved = costs - costs.min(axis=0)
    n = moved.shape[1]
    weights = np.where(np.eye(n) == 1, 1.0, 1e6)
    extremes = moved[[int((moved * w).max(axis=1).argmin()) for w in weights]]
    try:
        intercepts = 1 / np.linalg.solve(extremes, np.ones(n))
    except np.linalg.LinAlgError:
        intercepts = np.zeros(n)
    if not (np.isfinite(intercepts).all() and (intercepts > 1e-12).all()):
        intercepts = moved.max(axis=0)
    return np.asarray(moved / np.maximum(intercepts, 1e-12))


def _nearest(points: Array, references: Array) -> tuple[NDArray[np.int64], Array]:
    """The reference line nearest to each point, and how far it is."""
    lines = references / np.linalg.norm(references, axis=1, keepdims=True)
    along = points @ lines.T
    squares = (points**2).sum(axis=1)[:, None] - along**2
    nearest = squares.argmin(axis=1)
    return nearest, np.sqrt(np.maximum(squares[np.arange(len(points)), nearest], 0))
