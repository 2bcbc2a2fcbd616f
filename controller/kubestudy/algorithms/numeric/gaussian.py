"""An exact Gaussian process and its expected improvement (Rasmussen and Williams, 2006)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STEPS = 40
"""Steps that the search for length scales takes at most."""

NOISE, LENGTH, SIGNAL = math.log(1e-4), math.log(0.5), 0.0
"""Where the priors of the logarithms of noise, length scales and signal have their means."""


class GaussianProcess:
    """A Matérn 5/2 kernel with a length scale for each feature.

    Args:
        x: A row of features for each observation.
        y: The observations, standardised.
        theta: Logarithms of the length scales, of the signal's variance and of the noise's.
    """

    def __init__(self, x: Array, y: Array, theta: Array):
        self._x, self._theta = x, theta
        self._inverse = np.linalg.inv(_covariance(x, theta))
        self._alpha = self._inverse @ y

    def mean(self, x: Array) -> Array:
        """Returns the mean at each row of features."""
        return np.asarray(_kernel(x, self._x, self._theta)[0] @ self._alpha)

    def predict(self, x: Array) -> tuple[Array, Array]:
        """Returns the mean and the standard deviation at each row of features."""
        k, _ = _kernel(x, self._x, self._theta)
        variance = math.exp(self._theta[-2]) - ((k @ self._inverse) * k).sum(axis=1)
        return k @ self._alpha, np.sqrt(np.maximum(variance, 1e-12))


def fitted(x: Array, y: Array) -> Array:
    """The hyperparameters that are most plausible, by BFGS from two starts."""
    features = x.shape[1]
    usual = np.append(np.full(features, LENGTH + 0.5 * math.log(features)), [SIGNAL, NOISE])
    rough = usual - np.append(np.full(features, 1.0), [0.0, -3.0])
    found = [_minimum(x, y, start) for start in (usual, rough)]
    return min(found, key=lambda f: f[0])[1]


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """The logarithm of by how much a point is expected to be below the best."""
    z = (best - mean) / deviation
    density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    below = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in z])
    near = np.log(np.maximum(density + z * below, 1e-300))
    far = -0.5 * z**2 - 0.5 * math.log(2 * math.pi) - 2 * np.log(np.maximum(-z, 1.0))
    return np.asarray(np.where(z > -6, near, far) + np.log(deviation))


def _kernel(a: Array, b: Array, theta: Array) -> tuple[Array, Array]:
    """The covariances, and what their derivatives by the squared distances have in common."""
    lengths = np.exp(theta[:-2])
    a, b = a / lengths, b / lengths
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    r = np.sqrt(5 * np.maximum(squares, 0))
    decay = math.exp(theta[-2]) * np.exp(-r)
    return (1 + r + r**2 / 3) * decay, 5 / 3 * (1 + r) * decay


def _covariance(x: Array, theta: Array) -> Array:
    return _kernel(x, x, theta)[0] + (math.exp(theta[-1]) + 1e-8) * np.eye(len(x))


def _loss(x: Array, y: Array, theta: Array) -> tuple[float, Array]:
    """The negative logarithm of the posterior of the hyperparameters, and its gradient."""
    k, slope = _kernel(x, x, theta)
    noise = math.exp(theta[-1])
    try:
        cholesky = np.linalg.cholesky(k + (noise + 1e-8) * np.eye(len(x)))
    except np.linalg.LinAlgError:
        return math.inf, np.zeros_like(theta)
    inverse = np.linalg.inv(k + (noise + 1e-8) * np.eye(len(x)))
    alpha = inverse @ y
    weight = inverse - np.outer(alpha, alpha)
    means = np.append(
        np.full(len(theta) - 2, LENGTH + 0.5 * math.log(len(theta) - 2)), [SIGNAL, NOISE]
    )
    spreads = np.append(np.ones(len(theta) - 2), [1.0, 2.0])
    off = (theta - means) / spreads
    value = 0.5 * y @ alpha + np.log(np.diag(cholesky)).sum() + 0.5 * off @ off
    gradient = off / spreads
    weighted = weight * slope
    lengths = np.exp(theta[:-2])
    for j, column in enumerate(x.T / lengths[:, None]):
        gradient[j] += 0.5 * (weighted * (column[:, None] - column[None]) ** 2).sum()
    gradient[-2] += 0.5 * (weight * k).sum()
    gradient[-1] += 0.5 * noise * np.trace(weight)
    return float(value), gradient


def _minimum(x: Array, y: Array, theta: Array) -> tuple[float, Array]:
    """BFGS with a backtracking line search (Nocedal and Wright, 2006, chapter 6)."""
    value, gradient = _loss(x, y, theta)
    inverse = np.eye(len(theta))
    for _ in range(STEPS):
        direction = -inverse @ gradient
        slope = float(direction @ gradient)
        if slope >= 0 or not np.isfinite(slope):
            inverse, direction = np.eye(len(theta)), -gradient
            slope = float(direction @ gradient)
        size = min(1.0, 2.0 / max(float(np.abs(direction).max()), 1e-12))
        for _ in range(12):
            moved = theta + size * direction
            new, new_gradient = _loss(x, y, moved)
            if new <= value + 1e-4 * size * slope:
                break
            size /= 2
        else:
            break
        step, change = moved - theta, new_gradient - gradient
        improvement = value - new
        theta, value, gradient = moved, new, new_gradient
        curvature = float(step @ change)
        if curvature > 1e-10:
            left = np.eye(len(theta)) - np.outer(step, change) / curvature
            inverse = left @ inverse @ left.T + np.outer(step, step) / curvature
        if improvement < 1e-4:
            break
    return value, theta
