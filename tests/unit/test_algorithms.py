"""What every search algorithm promises; a new one is tested here without being named."""

from __future__ import annotations

import json
import math
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubestudy.algorithms import available
from kubestudy.algorithms.base import Observed, SearchAlgorithm
from kubestudy.algorithms.grid import Grid
from kubestudy.algorithms.random import Random, permuted
from kubestudy.algorithms.space import Dimension, SearchSpace
from kubestudy.api.algorithm import Resource
from kubestudy.api.parameters import Parameter

SPACES: dict[str, list[dict[str, Any]]] = {
    "values": [{"name": "a", "values": [1, 2.5, 1e-5]}, {"name": "b", "choices": ["no", "1", ""]}],
    "int": [{"name": "a", "min": -3, "max": 4, "type": "Int"}],
    "int step": [{"name": "a", "min": 8, "max": 64, "type": "Int", "step": 8}],
    "int log": [{"name": "a", "min": 1, "max": 1000, "type": "Int", "scale": "Log"}],
    "step": [{"name": "a", "min": 0, "max": 0.3, "step": 0.1}],
    "step that misses max": [{"name": "a", "min": 0.1, "max": 1, "step": 0.4}],
    "double": [{"name": "a", "min": -1, "max": 1}],
    "log": [{"name": "a", "min": 1e-6, "max": 0.1, "scale": "Log"}],
    "mixed": [
        {"name": "lr", "min": 1e-6, "max": 1e-2, "scale": "Log"},
        {"name": "layers", "min": 1, "max": 4, "type": "Int"},
        {"name": "activation", "choices": ["relu", "gelu"]},
    ],
    "one point": [{"name": "a", "values": [7]}],
    "conditional": [
        {
            "name": "momentum",
            "values": [0, 0.9],
            "when": {"parameter": "optim", "choices": ["sgd"]},
        },
        {"name": "optim", "choices": ["sgd", "adam", "lion"]},
        {"name": "layers", "min": 1, "max": 3, "type": "Int"},
        {"name": "width", "values": [8, 16], "when": {"parameter": "layers", "values": [2, 3]}},
    ],
    "conditional range": [
        {"name": "optim", "choices": ["sgd", "adam"]},
        {
            "name": "momentum",
            "min": 0.5,
            "max": 0.99,
            "when": {"parameter": "optim", "choices": ["sgd"]},
        },
    ],
}

CASES = [
    pytest.param(kind, space, id=f"{name}-{title}")
    for name, kind in available().items()
    for title, parameters in SPACES.items()
    if not kind.check(space := SearchSpace([Parameter.model_validate(p) for p in parameters]))
]


def make(kind: type[SearchAlgorithm], space: SearchSpace, seed: int = 1) -> SearchAlgorithm:
    return kind(space, seed, resource=Resource(name="epochs", max=9))


def each_where(wanted: Callable[[type[SearchAlgorithm], SearchSpace], bool]) -> Any:
    chosen = [case for case in CASES if wanted(*case.values)]  # type: ignore[arg-type]
    return pytest.mark.parametrize(("kind", "space"), chosen)


each = each_where(lambda kind, space: True)


def suggestions(algorithm: SearchAlgorithm, number: int) -> list[dict[str, Any]]:
    """The first suggestions, each told the history before it."""
    if algorithm.adaptive:
        number = min(number, 12 if algorithm.name == "GP" else 25)  # It models from 10 on.
    number = min(number, algorithm.size if algorithm.size is not None else number)
    history: list[Observed] = []
    for index in range(number):
        point = algorithm.suggest(index, list(history) if algorithm.adaptive else ())
        history.append(Observed(index, point, values=(float(index % 7),)))
    return [o.assignment for o in history]


def test_grid_and_random_are_found() -> None:
    assert {"Grid", "Random"} <= set(available())


@each
def test_a_suggestion_is_a_point_of_the_space(kind: Any, space: SearchSpace) -> None:
    for point in suggestions(make(kind, space), 1000):
        active = [d for d in space.dimensions if space.is_active(d.name, point)]
        assert list(point) == [d.name for d in active]
        for dimension in active:
            assert_allowed(dimension.parameter, point[dimension.name])


def assert_allowed(p: Parameter, value: Any) -> None:
    if p.choices is not None:
        assert type(value) is str
        assert value in p.choices
        return
    assert type(value) is (int if p.is_int else float)
    if p.values is not None:
        assert value in p.values
        return
    assert p.min <= value <= p.max
    if p.step is not None:
        steps = (value - p.min) / p.step
        assert steps == pytest.approx(round(steps), abs=1e-9)
        assert len(repr(value)) <= 5, "0.30000000000000004 is no step of 0.1"


@each_where(lambda kind, space: (a := make(kind, space)).size is not None and not a.multi_fidelity)
def test_a_known_size_is_the_number_of_distinct_suggestions(kind: Any, space: SearchSpace) -> None:
    algorithm = make(kind, space)
    assert algorithm.size == space.size
    points = [tuple(p.items()) for p in suggestions(algorithm, 10_000)]
    assert len(points) == len(set(points)) == algorithm.size


@each
def test_the_same_history_leads_to_the_same_suggestion(kind: Any, space: SearchSpace) -> None:
    algorithm = make(kind, space)
    points = suggestions(algorithm, 12)
    history = [Observed(i, p, values=(float(i % 7),)) for i, p in enumerate(points)]
    for index in (0, len(points) - 1):
        assert make(kind, space).suggest(index, history[:index]) == points[index]
    assert suggestions(algorithm, 12) == points


@each_where(lambda kind, space: not make(kind, space).adaptive)
def test_a_suggestion_depends_on_seed_and_index_alone(kind: Any, space: SearchSpace) -> None:
    expected = suggestions(make(kind, space), 50)
    again = make(kind, space)
    backwards = [again.suggest(i) for i in reversed(range(len(expected)))]
    assert backwards[::-1] == expected
    assert make(kind, space).suggest(len(expected) - 1) == expected[-1]


@each
def test_the_global_random_state_is_neither_used_nor_moved(kind: Any, space: SearchSpace) -> None:
    random.seed(1)
    first = suggestions(make(kind, space), 5)
    random.seed(2)
    np.random.seed(2)
    before = random.getstate(), repr(np.random.get_state())
    assert suggestions(make(kind, space), 5) == first
    assert (random.getstate(), repr(np.random.get_state())) == before


@each_where(lambda kind, space: kind is not Grid and (space.size or 9) >= 3)
def test_seeds_differ(kind: Any, space: SearchSpace) -> None:
    of_seeds = {json.dumps(suggestions(make(kind, space, seed), 10)) for seed in range(5)}
    assert len(of_seeds) > 1


@pytest.mark.parametrize("name", available())
def test_another_process_suggests_the_same(name: str) -> None:
    script = (
        "import json, sys; from kubestudy.algorithms import available;"
        "from kubestudy.algorithms.space import SearchSpace;"
        "from kubestudy.api.parameters import Parameter;"
        "name, parameters = json.loads(sys.argv[1]);"
        "a = available()[name](SearchSpace([Parameter(**p) for p in parameters]), 1);"
        "print(json.dumps([a.suggest(i) for i in range(3)]))"
    )
    parameters = SPACES["values"]
    out = subprocess.run(
        [sys.executable, "-c", script, json.dumps([name, parameters])],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(p for p in sys.path if p), "PYTHONHASHSEED": "77"},
    )
    space = SearchSpace([Parameter.model_validate(p) for p in parameters])
    assert json.loads(out.stdout) == suggestions(make(available()[name], space), 3)


def test_grid_goes_through_the_last_parameter_first() -> None:
    space = SearchSpace([Parameter(name="a", values=[1, 2]), Parameter(name="b", choices=["x"])])
    assert suggestions(Grid(space, 0), 9) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


def test_grid_names_the_range_that_it_cannot_list() -> None:
    (error,) = Grid.check(SearchSpace([Parameter(name="lr", min=0, max=1)]))
    assert error.field == "parameters[0]"
    assert "'lr'" in error.message


# Distributions, with a fixed seed: what is asserted is five standard deviations wide.


def drawn(number: int = 4000, **parameter: Any) -> list[Any]:
    space = SearchSpace([Parameter(name="a", **parameter)])
    return [Random(space, 3).suggest(i)["a"] for i in range(number)]


def assert_uniform(units: list[float]) -> None:
    spread = 1 / math.sqrt(12 * len(units))
    assert statistics.mean(units) == pytest.approx(0.5, abs=5 * spread)
    bins = Counter(min(9, int(u * 10)) for u in units)
    expected = len(units) / 10
    assert sum((bins[b] - expected) ** 2 / expected for b in range(10)) < 30  # chi², 9 degrees


def test_random_is_uniform_on_a_linear_range() -> None:
    assert_uniform([(v + 2) / 5 for v in drawn(min=-2, max=3)])


def test_random_is_uniform_in_the_logarithm_on_a_log_range() -> None:
    values = drawn(min=1e-6, max=1e-1, scale="Log")
    assert_uniform([(math.log10(v) + 6) / 5 for v in values])


def test_random_gives_each_integer_of_a_log_range_its_share() -> None:
    counts = Counter(drawn(min=1, max=4, type="Int", scale="Log"))
    whole = math.log(4.5) - math.log(0.5)
    for n in range(1, 5):
        share = (math.log(n + 0.5) - math.log(n - 0.5)) / whole
        spread = math.sqrt(share * (1 - share) / 4000)
        assert counts[n] / 4000 == pytest.approx(share, abs=5 * spread)


def test_the_parameters_of_random_are_independent() -> None:
    space = SearchSpace([Parameter(name=n, min=0, max=1) for n in "ab"])
    points = [Random(space, 3).suggest(i) for i in range(2000)]
    correlation = statistics.correlation([p["a"] for p in points], [p["b"] for p in points])
    assert abs(correlation) < 5 / math.sqrt(2000)


@given(size=st.integers(1, 300), seed=st.integers(0, 2**53))
@settings(max_examples=40, deadline=None)
def test_permuted_is_a_permutation(size: int, seed: int) -> None:
    assert sorted(permuted(i, size, seed) for i in range(size)) == list(range(size))


@pytest.mark.parametrize(
    ("parameter", "size", "last"),
    [
        ({"min": 0, "max": 10**13, "type": "Int"}, 10**13 + 1, 10**13),
        ({"min": 0, "max": 10**15, "type": "Int", "step": 3}, 333333333333334, 999999999999999),
        ({"min": 0, "max": 0.3, "step": 0.1}, 4, 0.3),
        ({"min": 0.1, "max": 0.7, "step": 0.2}, 4, 0.7),
        ({"min": 0, "max": 1, "step": 1e-13}, 10**13 + 1, 1.0),
        ({"min": 1e-10, "max": 3000, "step": 1000}, 3, 2000.0000000001),
        ({"min": 1, "max": 2, "step": 1}, 2, 2.0),
    ],
)
def test_a_stepped_axis_ends_at_max_and_not_beyond(
    parameter: dict[str, Any], size: int, last: float
) -> None:
    axis = Dimension(Parameter(name="a", **parameter))
    assert axis.size == size
    assert axis.at(size - 1) == last
    assert axis.at(0) == parameter["min"]


number = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6, allow_subnormal=False))


@given(low=number, high=number, unit=st.floats(0, 1, exclude_max=True), log=st.booleans())
@settings(max_examples=200, deadline=None)
def test_no_unit_leaves_its_range(low: float, high: float, unit: float, log: bool) -> None:
    low, high = sorted((low, high))
    if low == high or (log and low <= 0):
        return
    p = Parameter(name="a", min=low, max=high, scale="Log" if log else None)
    value = Dimension(p).from_unit(unit)
    assert low <= value <= high
    assert type(value) is float
