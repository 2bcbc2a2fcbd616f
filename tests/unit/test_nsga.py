"""NSGA-II and NSGA-III: who survives, and that children come nearer to the front."""

from __future__ import annotations

import numpy as np
import pytest

from kubestudy.algorithms.base import Observed, SearchAlgorithm
from kubestudy.algorithms.nsga2 import NSGAII
from kubestudy.algorithms.nsga3 import NSGAIII
from kubestudy.algorithms.numeric.selection import (
    best_spread,
    crowding,
    directions,
    fronts,
    least_crowded,
    most_directions,
)
from kubestudy.algorithms.random import Random
from kubestudy.algorithms.space import SearchSpace
from kubestudy.api.objectives import Direction, Objective
from kubestudy.api.parameters import Parameter

FEASIBLE = np.zeros(5)
PLANE = np.array([[0.0, 4.0], [1.0, 1.0], [4.0, 0.0], [2.0, 2.0], [5.0, 5.0]])


def test_fronts_are_peeled_one_by_one() -> None:
    assert fronts(PLANE, FEASIBLE) == [[0, 1, 2], [3], [4]]


def test_the_infeasible_come_after_all_feasible_by_how_far_they_are_off() -> None:
    violations = np.array([0.5, 0.0, 0.1, 0.0, 0.0])
    assert fronts(PLANE, violations) == [[1], [3], [4], [2], [0]]


def test_equal_points_share_a_front() -> None:
    assert fronts(np.ones((3, 2)), np.zeros(3)) == [[0, 1, 2]]


def test_the_crowded_one_goes_first_and_the_ends_stay() -> None:
    line = np.array([[0.0, 10.0], [1.0, 9.0], [1.5, 8.5], [6.0, 4.0], [10.0, 0.0]])
    assert list(crowding(line)[[0, 4]]) == [np.inf, np.inf]
    assert set(least_crowded(line, FEASIBLE, 4)) == {0, 2, 3, 4}


def test_the_directions_are_those_of_das_and_dennis() -> None:
    assert len(directions(3, 12)) == 91
    assert len(most_directions(2, 50)) == 50
    assert len(most_directions(3, 100)) == 91
    assert np.allclose(directions(3, 4).sum(axis=1), 1)
    assert directions(1, 1).tolist() == [[1.0]]


def test_of_equals_each_direction_gets_its_own() -> None:
    angles = np.concatenate([np.linspace(0, 0.05, 20), [np.pi / 4, np.pi / 2]])
    costs = 1 - np.stack([np.cos(angles), np.sin(angles)], axis=1)
    kept = best_spread(costs, np.zeros(22), 3, directions(2, 2), np.random.default_rng(1))
    assert {20, 21} <= set(kept)


def front_distance(kind: type[SearchAlgorithm], seed: int) -> float:
    """How far the better half of the last trials is from the front of a problem like DTLZ2."""
    objectives = [Objective(metric=m, direction=Direction.MINIMIZE) for m in "ab"]
    space = SearchSpace([Parameter(name=f"x{i}", min=0, max=1) for i in range(6)])
    algorithm = kind(space, seed, None, objectives)
    history: list[Observed] = []
    for index in range(250):
        point = algorithm.suggest(index, history)
        x = [float(v) for v in point.values()]
        away = sum((v - 0.5) ** 2 for v in x[1:])
        angle = x[0] * np.pi / 2
        values = ((1 + away) * np.cos(angle), (1 + away) * np.sin(angle))
        history.append(Observed(index, point, values))
    off = sorted(np.hypot(*o.values) - 1 for o in history[-100:] if o.values)
    return float(np.mean(off[:50]))


@pytest.mark.parametrize("kind", [NSGAII, NSGAIII])
def test_children_come_nearer_to_the_front_than_random_points(kind: type[SearchAlgorithm]) -> None:
    assert front_distance(kind, 1) < 0.5 * front_distance(Random, 1)
