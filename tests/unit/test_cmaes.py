"""CMA-ES adapts to where good points are."""

from __future__ import annotations

import math

import numpy as np

from kubestudy.algorithms.base import Observed
from kubestudy.algorithms.cmaes import CMAES, CMAESSettings
from kubestudy.algorithms.encoding import Coordinate
from kubestudy.algorithms.numeric.cma import Distribution
from kubestudy.algorithms.random import Random
from kubestudy.algorithms.space import SearchSpace
from kubestudy.api.objectives import Direction, Objective
from kubestudy.api.parameters import Parameter

LOSS = [Objective(metric="loss", direction=Direction.MINIMIZE)]


def ellipsoid(x: list[float]) -> float:
    """Badly scaled and turned: what the covariance is for."""
    a, b, *rest = x
    return 100 * (a - b) ** 2 + (a + b - 1) ** 2 + sum((v - 0.3) ** 2 for v in rest)


def best(kind: type[CMAES] | type[Random], pending: int, seed: int) -> float:
    space = SearchSpace([Parameter(name=f"x{i}", min=-5, max=5) for i in range(4)])
    algorithm = kind(space, seed, None, LOSS)
    history: list[Observed] = []
    for index in range(200):
        history.append(Observed(index, algorithm.suggest(index, history)))
        if index >= pending:
            done = history[index - pending]
            value = ellipsoid([float(v) for v in done.assignment.values()])
            history[done.index] = Observed(done.index, done.assignment, (value,))
    return min(o.values[0] for o in history if o.values)


def test_it_is_far_better_than_random_with_pending_trials_as_well() -> None:
    for pending in (0, 8):
        assert best(CMAES, pending, 1) < 0.1 * best(Random, pending, 1)


def test_it_learns_which_coordinates_go_together() -> None:
    distribution = Distribution(2, 8, 0.2, np.zeros(2))
    rng = np.random.default_rng(1)
    for _ in range(20):
        points = [distribution.sample(rng) for _ in range(8)]
        points.sort(key=lambda p: 100 * (p[0] - p[1]) ** 2 + (p[0] + p[1] - 1) ** 2)
        distribution.update(points)
    drawn = np.array([distribution.sample(rng) for _ in range(200)])
    assert np.corrcoef(drawn.T)[0, 1] > 0.8
    assert np.allclose(distribution.mean, 0.5, atol=0.05)


def test_integers_do_not_get_stuck() -> None:
    space = SearchSpace([Parameter(name="n", min=0, max=20, type="Int")])
    algorithm = CMAES(space, 1, CMAESSettings(sigma=0.01), LOSS)
    history: list[Observed] = []
    for index in range(120):
        point = algorithm.suggest(index, history)
        history.append(Observed(index, point, (abs(float(point["n"]) - 17),)))
    assert {o.assignment["n"] for o in history[-20:]} & {16, 17, 18}


def test_it_begins_again_with_a_larger_population_once_it_has_shrunk_to_a_point() -> None:
    space = SearchSpace([Parameter(name=n, min=0, max=1) for n in "ab"])
    algorithm = CMAES(space, 1, None, LOSS)
    same = {"a": 0.25, "b": 0.75}
    history = [Observed(i, same, (1.0,)) for i in range(600)]
    coordinates = [Coordinate(d) for d in space.dimensions]
    states = [algorithm._distribution(coordinates, history[:n]) for n in range(0, 600, 30)]
    sigmas = [state.sigma for state in states]
    assert min(sigmas) < 1e-4
    assert max(sigmas[sigmas.index(min(sigmas)) :]) > 0.1


def test_failed_and_infeasible_trials_are_the_worst_of_their_generation() -> None:
    space = SearchSpace([Parameter(name="a", min=0, max=1)])
    algorithm = CMAES(space, 1, None, LOSS)
    history = []
    for i in range(80):
        a = float(algorithm.suggest(i, history)["a"])
        # The best values are where trials fail, and the next best where they are infeasible.
        seen = Observed(i, {"a": a}, (a,), violations=(0.2 - a,))
        history.append(Observed(i, {"a": a}, failed=True) if a < 0.1 else seen)
    last = [float(o.assignment["a"]) for o in history[-12:]]
    assert math.isclose(float(np.median(last)), 0.2, abs_tol=0.1)
