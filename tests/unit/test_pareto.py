"""Pareto fronts and hypervolumes, against their definitions."""

from __future__ import annotations

import itertools
import random

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from kubestudy.core.pareto import Point, front, hypervolume, spread

# Few different numbers, so that ties and equal points are common.
POINTS = st.integers(1, 3).flatmap(
    lambda size: st.lists(st.tuples(*[st.integers(0, 5)] * size), min_size=1, max_size=12)
)


def dominates(a: Point, b: Point) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))


@given(POINTS)
def test_the_front_is_what_no_point_dominates(points: list[Point]) -> None:
    wanted = {i for i, p in enumerate(points) if not any(dominates(q, p) for q in points)}
    found = front(points)
    assert set(found) == wanted and len(found) == len(wanted)
    assert [(points[i], i) for i in found] == sorted((points[i], i) for i in found)


@given(POINTS)
def test_the_hypervolume_is_the_number_of_unit_boxes_that_are_dominated(
    points: list[Point],
) -> None:
    size = len(points[0])
    boxes = itertools.product(range(5), repeat=size)
    dominated = sum(
        any(all(x <= b for x, b in zip(p, box, strict=True)) for p in points) for box in boxes
    )
    assert hypervolume(points, (5,) * size) == dominated


@pytest.mark.parametrize("size", [2, 3])
def test_the_hypervolume_agrees_with_optuna(size: int) -> None:
    chance = random.Random(size)
    points = [tuple(chance.gauss(0, 1) for _ in range(size)) for _ in range(200)]
    reference = (1.5, 0.5, 0.8)[:size]
    theirs = compute_hypervolume(
        numpy.array([p for p in points if all(x < r for x, r in zip(p, reference, strict=True))]),
        numpy.array(reference),
    )
    assert hypervolume(points, reference) == pytest.approx(theirs, rel=1e-12)


def test_a_point_that_is_not_better_than_the_reference_adds_nothing() -> None:
    assert hypervolume([(5, 0), (0, 5), (6, 6)], (5, 5)) == 0
    assert hypervolume([(4, 4), (5, 0)], (5, 5)) == 1


@given(POINTS, st.integers(1, 12))
def test_a_choice_has_the_best_of_each_cost_and_nothing_twice(
    points: list[Point], most: int
) -> None:
    chosen = spread(points, most)
    assert len(set(chosen)) == len(chosen) == min(most, len(points)) or len(chosen) <= 3
    for cost in range(min(len(points[0]), most)):
        assert min(points[i][cost] for i in chosen) == min(p[cost] for p in points)


def test_a_choice_leaves_no_large_gap() -> None:
    line = [(i / 999, 1 - i / 999) for i in range(1000)]
    chosen = sorted(spread(line, 50))
    assert len(chosen) == 50
    assert max(b - a for a, b in itertools.pairwise(chosen)) <= 2 * 999 / 49
