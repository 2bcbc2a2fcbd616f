"""Functions: BBOB (Hansen et al., 2009) and the multi-fidelity Hartmann function."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from bench.search.problem import Config, Problem

BBOB = (1, 3, 8, 15, 20)
"""Sphere, Rastrigin (separable), Rosenbrock, Rastrigin (rotated), Schwefel."""
BBOB_DIMENSIONS = (5, 10)


@cache
def bbob(function: int, dimension: int) -> Problem:
    """The first instance of a BBOB function."""
    import cocoex

    problem = cocoex.BareProblem("bbob", function, dimension, 1)
    names = [f"x{i}" for i in range(dimension)]

    def loss(config: Config) -> list[float]:
        return [float(problem([config[n] for n in names]))]

    parameters = [{"name": n, "min": -5.0, "max": 5.0} for n in names]
    return Problem(
        f"BBOB f{function} {dimension}D", parameters, loss, 1, float(problem.best_value())
    )


# Hartmann's constants (Dixon and Szegoe, 1978).
_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
_A = {
    3: np.array([[3, 10, 30], [0.1, 10, 35], [3, 10, 30], [0.1, 10, 35]]),
    6: np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    ),
}
_P = {
    3: np.array([[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381, 5743, 8828]])
    * 1e-4,
    6: np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )
    * 1e-4,
}
_OPTIMUM = {3: -3.86278, 6: -3.32237}
_BIAS = 0.1


def hartmann(dimension: int, epochs: int = 27) -> Problem:
    """Hartmann's function with a fidelity (Kandasamy et al., ICML 2017, section 5).

    At fidelity z of [0, 1] the weights of its four terms are less by 0.1 (1 - z), so that cheap
    values rank points a little wrongly. Epoch e has z = (e - 1) / (``epochs`` - 1), and adds
    1 / e - 1 / ``epochs``, so that values fall as those of training do.
    """
    names = [f"x{i}" for i in range(dimension)]
    a, p = _A[dimension], _P[dimension]
    fidelity = np.arange(epochs) / (epochs - 1)
    weights = _ALPHA[None, :] - _BIAS * (1 - fidelity[:, None])
    decay = 1 / np.arange(1, epochs + 1) - 1 / epochs

    def losses(config: Config) -> Any:
        x = np.array([config[n] for n in names])
        terms = np.exp(-np.sum(a * (x - p) ** 2, axis=1))
        return (decay - weights @ terms).tolist()

    parameters = [{"name": n, "min": 0.0, "max": 1.0} for n in names]
    return Problem(f"Hartmann{dimension}", parameters, losses, epochs, _OPTIMUM[dimension])
