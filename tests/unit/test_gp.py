"""The Gaussian process: its calculus, and that it finds smooth minima quickly."""

from __future__ import annotations

import numpy as np
import pytest

from kubestudy.algorithms.asha import ASHA, ASHASettings
from kubestudy.algorithms.base import Observed, SearchAlgorithm
from kubestudy.algorithms.gp import GP, GPSettings
from kubestudy.algorithms.numeric.gaussian import (
    GaussianProcess,
    _loss,
    fitted,
    log_expected_improvement,
)
from kubestudy.algorithms.random import Random
from kubestudy.algorithms.space import SearchSpace
from kubestudy.algorithms.tpe import TPE
from kubestudy.api.algorithm import Resource
from kubestudy.api.objectives import Direction, Objective
from kubestudy.api.parameters import Parameter, When

rng = np.random.default_rng(3)
X = rng.random((30, 2))
Y = np.sin(6 * X[:, 0]) - np.sin(6 * X[:, 0]).mean()


def test_the_gradient_is_that_of_the_loss() -> None:
    theta = np.array([-0.3, 0.4, 0.2, -3.0])
    _, gradient = _loss(X, Y, theta)
    for j in range(4):
        step = np.eye(4)[j] * 1e-5
        slope = (_loss(X, Y, theta + step)[0] - _loss(X, Y, theta - step)[0]) / 2e-5
        assert gradient[j] == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_it_predicts_a_smooth_function_and_knows_which_parameter_does_not_matter() -> None:
    theta = fitted(X, Y)
    assert theta[1] > theta[0] + 1, "the second one's length scale is much longer"
    mean, deviation = GaussianProcess(X, Y, theta).predict(np.array([[0.25, 0.5], [5.0, 0.5]]))
    offset = np.sin(6 * X[:, 0]).mean()
    assert mean[0] + offset == pytest.approx(np.sin(1.5), abs=0.02)
    assert deviation[0] < 0.1 < deviation[1]


def test_the_expected_improvement_is_right_near_and_far() -> None:
    drawn = rng.standard_normal(400_000)
    for best in (-1.0, 0.5):
        expected = np.log(np.maximum(best - drawn, 0).mean())
        found = log_expected_improvement(np.zeros(1), np.ones(1), best)[0]
        assert found == pytest.approx(expected, abs=0.05)
    far = (
        log_expected_improvement(np.zeros(3), np.ones(3), -5.999),
        log_expected_improvement(np.zeros(3), np.ones(3), -6.001),
    )
    assert far[0][0] == pytest.approx(far[1][0], abs=0.1), "where the formula changes, too"


def regret(kind: type[SearchAlgorithm], seed: int) -> float:
    """After 30 trials, 4 at once, on a smooth function with a log scale and an integer."""
    space = SearchSpace(
        [
            Parameter(name="lr", min=1e-5, max=1e-1, scale="Log"),
            Parameter(name="layers", min=1, max=8, type="Int"),
            Parameter(name="dropout", min=0, max=0.5),
        ]
    )
    algorithm = kind(space, seed, None, [Objective(metric="a", direction=Direction.MAXIMIZE)])
    history: list[Observed] = []
    for index in range(30):
        history.append(Observed(index, algorithm.suggest(index, history)))
        if index >= 4:
            point = history[index - 4].assignment
            off = np.log10(float(point["lr"])) + 3, float(point["dropout"]) - 0.2
            value = -(off[0] ** 2) - 4 * off[1] ** 2 - (float(point["layers"]) - 5) ** 2 / 10
            history[index - 4] = Observed(index - 4, point, (float(value),))
    return -max(o.values[0] for o in history if o.values)


def test_it_is_far_better_than_random_on_a_smooth_function() -> None:
    of_gp = np.mean([regret(GP, seed) for seed in range(2)])
    of_random = np.mean([regret(Random, seed) for seed in range(20)])
    assert of_gp < 0.35 * of_random


# At rungs.

LINE = SearchSpace([Parameter(name="x", min=0, max=1)])
MINIMIZE = [Objective(metric="loss", direction=Direction.MINIMIZE)]
EPOCHS = Resource(name="epochs", max=27)
CONDITIONAL = SearchSpace(
    [
        Parameter(name="optim", choices=["sgd", "adam"]),
        Parameter(name="momentum", values=[0, 0.9], when=When(parameter="optim", choices=["sgd"])),
    ]
)


def test_it_learns_from_trials_that_ended_at_their_first_rung() -> None:
    points = [Random(LINE, 1).suggest(i) for i in range(16)]
    history = [Observed(i, p, rungs=((1, abs(float(p["x"]) - 0.3)),)) for i, p in enumerate(points)]
    asha = ASHA(LINE, 1, None, MINIMIZE, EPOCHS)
    assert asha.suggest(16, history)["x"] == pytest.approx(0.3, abs=0.1)


def test_a_trial_that_came_further_is_not_better_for_that() -> None:
    """The best x is 0.3, but the least losses are above 0.5, where trials had more epochs."""

    def loss(x: float, epoch: int) -> float:
        return (x - 0.3) ** 2 + 2 / epoch

    history = []
    for i, x in enumerate(np.linspace(0.02, 0.98, 17)):
        rungs = tuple((epoch, loss(x, epoch)) for epoch in ((1, 3, 9) if x > 0.5 else (1,)))
        history.append(Observed(i, {"x": float(x)}, rungs=rungs))
    for index in range(17, 20):
        point = ASHA(LINE, 1, None, MINIMIZE, EPOCHS).suggest(index, history)
        assert float(point["x"]) < 0.5
        history.append(Observed(index, point))


def test_every_point_of_a_finite_space_is_suggested_once() -> None:
    grid = SearchSpace([Parameter(name=n, values=[1, 2, 3, 4]) for n in "ab"])
    algorithm = GP(grid, 1, GPSettings(startupTrials=2), MINIMIZE)
    history = [Observed(i, grid.point(i), (float(i),)) for i in range(3)]
    for index in range(3, 16):
        history.append(Observed(index, algorithm.suggest(index, history), (float(index),)))
    assert len({tuple(o.assignment.values()) for o in history}) == 16


@pytest.mark.parametrize(
    ("sampler", "parameters", "objectives", "taken"),
    [
        ({}, LINE, 1, GP),
        ({"sampler": "TPE"}, LINE, 1, TPE),
        ({"sampler": "Random"}, LINE, 1, Random),
        ({}, LINE, 2, TPE),
        ({}, CONDITIONAL, 1, TPE),
    ],
    ids=["default", "TPE", "Random", "several objectives", "conditional"],
)
def test_what_suggests_the_points_of_asha(
    sampler: dict[str, str], parameters: SearchSpace, objectives: int, taken: type[SearchAlgorithm]
) -> None:
    settings = ASHASettings.model_validate(sampler)
    asha = ASHA(parameters, 1, settings, MINIMIZE * objectives, EPOCHS)
    assert type(asha.sampler) is taken
    assert asha.adaptive is taken.adaptive
