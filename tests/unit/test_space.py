"""The search space with parameters that depend on others."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubestudy.algorithms.random import Random
from kubestudy.algorithms.space import Dimension, SearchSpace
from kubestudy.api.parameters import Parameter, ParameterConstraint, Value
from kubestudy.core.acceptance import problems
from tests.unit.build import study

CHAIN: list[dict[str, Any]] = [
    {
        "name": "nesterov",
        "choices": ["yes", "no"],
        "when": {"parameter": "momentum", "values": [0.9]},
    },
    {"name": "optim", "choices": ["sgd", "adam"]},
    {"name": "momentum", "values": [0, 0.9], "when": {"parameter": "optim", "choices": ["sgd"]}},
    {"name": "layers", "min": 1, "max": 2, "type": "Int"},
]


def space_of(parameters: list[dict[str, Any]]) -> SearchSpace:
    return SearchSpace([Parameter.model_validate(p) for p in parameters])


@st.composite
def spaces(draw: st.DrawFn, finite: bool = True) -> SearchSpace:
    """Up to six parameters, most of them depending on an earlier or a later one."""
    number = draw(st.integers(1, 6))
    order = draw(st.permutations(range(number)))
    parameters: list[dict[str, Any]] = []
    for i in range(number):
        kinds = ["values", "choices", "int", "log"] + ["double"] * (not finite)
        p: dict[str, Any] = {"name": f"p{i}"}
        match draw(st.sampled_from(kinds)):
            case "values":
                p["values"] = [0.5, 2, 1][: draw(st.integers(1, 3))]
            case "choices":
                p["choices"] = ["a", "b", "c"][: draw(st.integers(1, 3))]
            case "int":
                p |= {"min": -1, "max": 3, "type": "Int", "step": draw(st.integers(1, 4))}
            case "log":
                p |= {"min": 2, "max": 4, "type": "Int", "scale": "Log"}
            case _:
                p |= {"min": 0, "max": 1}
        earlier = [q for q in parameters if "min" not in q or "type" in q]
        if earlier and draw(st.integers(0, 3)):
            other = draw(st.sampled_from(earlier))
            axis = Dimension(Parameter.model_validate(other))
            all_values = [axis.at(j) for j in range(axis.size or 0)]
            some = draw(st.lists(st.sampled_from(all_values), min_size=1, unique=True))
            key = "choices" if "choices" in other else "values"
            p["when"] = {"parameter": other["name"], key: some}
        parameters.append(p)
    return space_of([parameters[i] for i in order])


def listed(space: SearchSpace) -> set[frozenset[tuple[str, Value]]]:
    """All points, the slow and plain way."""
    points: list[dict[str, Value]] = [{}]
    for d in space.parents_first:
        grown = []
        for p in points:
            if space.is_active(d.name, p):
                grown += [p | {d.name: d.at(i)} for i in range(d.size or 0)]
            else:
                grown.append(p)
        points = grown
    return {frozenset(p.items()) for p in points}


@given(space=spaces())
@settings(max_examples=150, deadline=None)
def test_the_grid_is_every_point_once(space: SearchSpace) -> None:
    assert space.size is not None
    points = [space.point(i) for i in range(space.size)]
    assert {frozenset(p.items()) for p in points} == listed(space)
    assert len(points) == len(listed(space))
    assert all(space.contains(p) and p == space.ordered(p) for p in points)
    assert all(list(p) == list(space.ordered(p)) for p in points)


@given(space=spaces(finite=False), data=st.data())
@settings(max_examples=100, deadline=None)
def test_every_place_of_the_cube_is_a_point(space: SearchSpace, data: st.DataObject) -> None:
    unit = st.floats(0, 1, exclude_max=True)
    units = data.draw(st.lists(unit, min_size=6, max_size=6))
    point = space.from_units(units)
    assert space.contains(point)
    assert list(point) == [d.name for d in space.dimensions if d.name in point]


def test_a_chain_of_conditions_in_the_order_of_the_grid() -> None:
    space = space_of(CHAIN)
    assert space.size == 2 * (1 + 2 + 1)
    assert [tuple(space.point(i).values()) for i in range(8)] == [
        ("sgd", 0.0, 1),
        ("sgd", 0.0, 2),
        ("yes", "sgd", 0.9, 1),
        ("yes", "sgd", 0.9, 2),
        ("no", "sgd", 0.9, 1),
        ("no", "sgd", 0.9, 2),
        ("adam", 1),
        ("adam", 2),
    ]


def test_a_huge_space_is_counted_without_being_listed() -> None:
    space = space_of(
        [
            {"name": "n", "min": 0, "max": 10**12, "type": "Int"},
            {"name": "m", "values": [1, 2, 3], "when": {"parameter": "n", "values": [5, 7]}},
        ]
    )
    assert space.size == 10**12 + 1 + 4
    assert [space.point(i) for i in (4, 5, 7, 8, 9, 11, 12)] == [
        {"n": 4},
        {"n": 5, "m": 1},
        {"n": 5, "m": 3},
        {"n": 6},
        {"n": 7, "m": 1},
        {"n": 7, "m": 3},
        {"n": 8},
    ]
    assert space.point(space.size - 1) == {"n": 10**12}


def test_random_gives_each_choice_its_share_however_much_depends_on_it() -> None:
    space = space_of(
        [
            {"name": "optim", "choices": ["sgd", "adam"]},
            {
                "name": "momentum",
                "min": 0,
                "max": 99,
                "type": "Int",
                "when": {"parameter": "optim", "choices": ["sgd"]},
            },
        ]
    )
    drawn = [Random(space, 1).suggest(i)["optim"] for i in range(2000)]
    assert drawn.count("adam") / 2000 == pytest.approx(0.5, abs=5 * math.sqrt(0.25 / 2000))


@pytest.mark.parametrize(
    ("parameter", "value", "place"),
    [
        ({"values": [3, 1]}, 1.0, 1),
        ({"values": [3, 1]}, 2, None),
        ({"values": [1]}, "1", None),
        ({"choices": ["1"]}, 1, None),
        ({"min": 0, "max": 0.3, "step": 0.1}, 0.3, 3),
        ({"min": 0, "max": 0.3, "step": 0.1}, 0.30000000000000004, None),
        ({"min": 0, "max": 1, "step": 0.4}, 1, None),
        ({"min": 1, "max": 9, "type": "Int", "scale": "Log"}, 9, 8),
        ({"min": 1, "max": 9, "type": "Int"}, 2.5, None),
        ({"min": 1, "max": 9}, 2.5, 0),
        ({"min": 1, "max": 9}, 9.5, None),
        ({"min": 1, "max": 9}, "2", None),
    ],
)
def test_place(parameter: dict[str, Any], value: Value, place: int | None) -> None:
    assert Dimension(Parameter(name="a", **parameter)).place(value) == place


def test_a_chain_is_accepted() -> None:
    assert problems(study(parameters=CHAIN)) == []


LONG = " && ".join(["p0 + p1 + p2 + p3 >= 0"] * 18)


def test_a_space_is_counted_only_as_far_as_that_takes_a_moment() -> None:
    """16 constraints of 512 characters over 100,000 points once took six minutes, each time."""
    parameters = [Parameter(name=f"p{i}", values=list(range(10))) for i in range(5)]
    short = ParameterConstraint(expression="p0 + p1 <= 9")
    assert SearchSpace(parameters, [short]).size == 55_000
    long = ParameterConstraint(expression=LONG)
    space = SearchSpace(parameters, [long] * 16)
    assert space.grid_size == 100_000
    assert not space.is_countable
    assert space.size is None, "as for a space of too many points"
