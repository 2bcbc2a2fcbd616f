"""What every search algorithm promises about a history; a new one is tested without being named."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from kubestudy.algorithms import available
from kubestudy.algorithms.base import Observed, SearchAlgorithm
from kubestudy.algorithms.optuna_history import OptunaHistory
from kubestudy.algorithms.random import Random
from kubestudy.algorithms.space import SearchSpace
from kubestudy.api.algorithm import Resource
from kubestudy.api.objectives import Direction, Objective
from kubestudy.api.parameters import Parameter
from tests.unit.test_algorithms import SPACES

NUMBERS = [
    {"name": "lr", "min": 1e-6, "max": 1e-2, "scale": "Log"},
    {"name": "layers", "min": 1, "max": 40, "type": "Int"},
    {"name": "batch", "values": [64, 16, 32, 256, 128]},
    {"name": "dropout", "min": 0, "max": 0.5, "step": 0.01},
]
LISTED = [{"name": n, "values": list(range(10))} for n in "abc"]

ADAPTIVE = {n: kind for n, kind in available().items() if kind.adaptive}
each = pytest.mark.parametrize("kind", available().values(), ids=available())
each_adaptive = pytest.mark.parametrize("kind", ADAPTIVE.values(), ids=ADAPTIVE)


def space_for(kind: type[SearchAlgorithm]) -> SearchSpace:
    """The hardest space that the algorithm takes."""
    for parameters in (SPACES["conditional range"] + NUMBERS, NUMBERS, LISTED):
        space = SearchSpace([Parameter.model_validate(p) for p in parameters])
        if not kind.check(space):
            return space
    raise AssertionError(f"{kind.name} takes none of the spaces")


def make(kind: Any, objectives: int = 1) -> SearchAlgorithm:
    wanted = [Objective(metric=f"m{i}", direction=Direction.MINIMIZE) for i in range(objectives)]
    more = {"resource": Resource(name="epochs", max=9)} if is_multi_fidelity(kind) else {}
    made: SearchAlgorithm = kind(space_for(kind), 7, None, wanted, **more)
    return made


def is_multi_fidelity(kind: type[SearchAlgorithm]) -> bool:
    return bool(getattr(kind, "multi_fidelity", False))


def steps_of(kind: type[SearchAlgorithm], number: int) -> int:
    """As many trials as that, or fewer where a suggestion takes long or where they end."""
    size = make(kind).size
    return min(number, 25 if kind.name == "GP" else number, number if size is None else size)


Forget = Callable[[], None]


def run(kind: type[SearchAlgorithm], number: int, killed_at: Sequence[int], forget: Forget) -> str:
    """A Study of 8 slots whose trials end in a random order; all suggestions, byte for byte."""
    algorithm, rng = make(kind), random.Random(3)
    history: list[Observed] = []
    for index in range(number):
        if index in killed_at:
            forget()
            algorithm = make(kind)
        history.append(Observed(index, algorithm.suggest(index, list(history))))
        pending = [o for o in history if o.values is None and not o.failed]
        while len(pending) > 7:
            o = pending.pop(rng.randrange(len(pending)))
            rungs = (*o.rungs, (3 ** len(o.rungs), rng.random()))
            ends = replace(o, values=(rng.random(),)) if rng.random() < 0.9 else None
            goes_on = is_multi_fidelity(kind) and len(o.rungs) < 2
            history[o.index] = (
                replace(o, rungs=rungs) if goes_on else ends or replace(o, failed=True)
            )
    return json.dumps([o.assignment for o in history])


@each
def test_a_controller_that_is_killed_20_times_suggests_the_same(kind: Any) -> None:
    number = steps_of(kind, 200)
    kills = random.Random(5).sample(range(number), min(20, number // 2))
    undisturbed = run(kind, number, (), lambda: None)
    assert run(kind, number, kills, OptunaHistory._kept.clear) == undisturbed


@each_adaptive
def test_the_order_in_which_results_arrived_does_not_matter(kind: Any) -> None:
    algorithm, rng = make(kind), random.Random(1)
    points = [Random(algorithm.space, 2).suggest(i) for i in range(24)]
    final = [Observed(i, p, (rng.random(),)) for i, p in enumerate(points)]
    suggested = set()
    for order in (1, 2):
        OptunaHistory._kept.clear()
        known = [Observed(i, p) for i, p in enumerate(points)]
        arrivals = random.Random(order).sample(range(24), 24)
        for count, i in enumerate(arrivals):
            known[i] = final[i]
            if count % 6 == 0:
                algorithm.suggest(24, list(known))
        suggested.add(json.dumps(algorithm.suggest(24, known)))
    assert len(suggested) == 1


@each
@pytest.mark.parametrize(
    "known",
    [
        {},
        {"failed": True},
        {"values": (0.0,)},
        {"values": (1e300,)},
        {"values": (0.5,), "violations": (0.1, -3.0)},
        {"rungs": ((1, 0.5), (3, 0.25))},
    ],
    ids=["pending", "failed", "equal", "huge", "infeasible", "at a rung"],
)
def test_a_point_is_suggested_whatever_became_of_the_others(kind: Any, known: Any) -> None:
    algorithm = make(kind)
    history = [Observed(i, Random(algorithm.space, 2).suggest(i), **known) for i in range(-5, 20)]
    assert algorithm.space.contains(algorithm.suggest(20, history))


@each
@pytest.mark.parametrize("objectives", [2, 3])
def test_several_objectives_with_bounds_on_metrics(kind: Any, objectives: int) -> None:
    if kind.one_objective:
        return
    algorithm, rng = make(kind, objectives), random.Random(1)
    history = [
        Observed(
            i,
            Random(algorithm.space, 2).suggest(i),
            tuple(rng.random() for _ in range(objectives)),
            violations=(rng.random() - 0.5,),
        )
        for i in range(60)
    ]
    points = [algorithm.suggest(60, history) for _ in range(2)]
    assert points[0] == points[1]
    assert algorithm.space.contains(points[0])


@each
def test_a_thousand_trials_are_no_obstacle(kind: Any) -> None:
    algorithm, rng = make(kind), random.Random(1)
    history = [
        Observed(i, Random(algorithm.space, 2).suggest(i), (rng.random(),)) for i in range(999)
    ]
    index = 999 if algorithm.size is None else min(999, algorithm.size - 1)
    assert algorithm.space.contains(algorithm.suggest(index, history))


@each_adaptive
def test_a_suggestion_depends_on_the_results(kind: Any) -> None:
    algorithm = make(kind)
    points = [Random(algorithm.space, 2).suggest(i) for i in range(60)]
    of_results = {
        json.dumps(
            [
                algorithm.suggest(
                    60 + k,
                    [
                        Observed(i, p, (random.Random(i + seed).random(),))
                        for i, p in enumerate(points)
                    ],
                )
                for k in range(3)
            ]
        )
        for seed in (0, 1000)
    }
    assert len(of_results) == 2
