"""The covariance matrix adaptation evolution strategy (Hansen, arXiv 1604.00772)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Distribution:
    """The normal distribution that is adapted to where good points were found.

    Args:
        dimensions: Of the unit cube that is searched.
        population: How many points make a generation.
        sigma: Standard deviation at the start.
        least: Standard deviations that are kept at least, one for each coordinate, so that integers
            do not get stuck; 0 for none.
    """

    def __init__(self, dimensions: int, population: int, sigma: float, least: Array):
        n, self._least = dimensions, least
        weights = math.log((population + 1) / 2) - np.log(np.arange(1, population + 1))
        positive, negative = np.clip(weights, 0, None), np.clip(weights, None, 0)
        self._mu = positive.sum() ** 2 / (positive**2).sum()
        mu_negative = negative.sum() ** 2 / max((negative**2).sum(), 1e-300)
        self._c_path = (4 + self._mu / n) / (n + 4 + 2 * self._mu / n)
        self._c_sigma = (self._mu + 2) / (n + self._mu + 5)
        self._c_one = 2 / ((n + 1.3) ** 2 + self._mu)
        self._c_mu = min(
            1 - self._c_one, 2 * (self._mu - 2 + 1 / self._mu) / ((n + 2) ** 2 + self._mu)
        )
        self._damping = 1 + 2 * max(0.0, math.sqrt((self._mu - 1) / (n + 1)) - 1) + self._c_sigma
        # The sum of the negative weights (there, equations 50 to 53).
        share = min(
            1 + self._c_one / self._c_mu,
            1 + 2 * mu_negative / (self._mu + 2),
            (1 - self._c_one - self._c_mu) / (n * self._c_mu),
        )
        self._weights = positive / positive.sum() + share * negative / max(-negative.sum(), 1e-300)
        self._expected = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n))
        self.mean: Array = np.full(n, 0.5)
        self.sigma = sigma
        self._covariance: Array = np.eye(n)
        self._path: Array = np.zeros(n)
        self._sigma_path: Array = np.zeros(n)
        self.generation = 0
        self._decompose()

    def sample(self, rng: np.random.Generator) -> Array:
        """Draws a point of the unit cube: again where it lies outside, and at last its border."""
        for _ in range(20):
            z = rng.standard_normal(len(self.mean))
            point = self.mean + self.sigma * self._axes @ (self._scales * z)
            if ((point >= 0) & (point <= 1)).all():
                break
        return np.asarray(np.clip(point, 0, 1))

    def update(self, points: Sequence[Sequence[float]]) -> None:
        """Learns from a generation of points, the best first.

        A point that is not drawn from this very distribution, as it was suggested before the
        last update, is taken as an injected one (Hansen, arXiv 1110.4181): its step is
        shortened to what is usual here.
        """
        n = len(self.mean)
        steps = (np.array(points) - self.mean) / self.sigma
        lengths = np.linalg.norm(self._whitened(steps), axis=1)
        usual = math.sqrt(n) + 2 * n / (n + 2)
        steps *= np.minimum(1, usual / np.maximum(lengths, 1e-12))[:, None]
        lengths = np.minimum(lengths, usual)

        step = np.clip(self._weights, 0, None) @ steps
        self.mean = np.clip(self.mean + self.sigma * step, 0, 1)
        self._sigma_path = (1 - self._c_sigma) * self._sigma_path + math.sqrt(
            self._c_sigma * (2 - self._c_sigma) * self._mu
        ) * self._whitened(step[None])[0]
        length = float(np.linalg.norm(self._sigma_path))
        self.generation += 1
        remembered = math.sqrt(1 - (1 - self._c_sigma) ** (2 * self.generation))
        steady = length / remembered < (1.4 + 2 / (n + 1)) * self._expected
        self._path = (1 - self._c_path) * self._path + steady * math.sqrt(
            self._c_path * (2 - self._c_path) * self._mu
        ) * step
        weights = np.where(
            self._weights >= 0, self._weights, self._weights * n / np.maximum(lengths, 1e-12) ** 2
        )
        lost = (not steady) * self._c_one * self._c_path * (2 - self._c_path)
        self._covariance = (
            (1 + lost - self._c_one - self._c_mu * self._weights.sum()) * self._covariance
            + self._c_one * np.outer(self._path, self._path)
            + self._c_mu * (steps.T * weights) @ steps
        )
        growth = (self._c_sigma / self._damping) * (length / self._expected - 1)
        self.sigma = min(self.sigma * math.exp(min(growth, 1.0)), 1.0)
        self._decompose()

    @property
    def spent(self) -> bool:
        """Whether all that it still draws is one point, as far as a difference can matter."""
        return bool(self.sigma * self._scales.max() < 1e-6)

    def _whitened(self, steps: Array) -> Array:
        return np.asarray((steps @ self._axes / self._scales) @ self._axes.T)

    def _decompose(self) -> None:
        variances = np.diag(self._covariance)
        short = np.maximum((self._least / self.sigma) ** 2 - variances, 0)
        self._covariance = (self._covariance + self._covariance.T) / 2 + np.diag(short)
        squares, self._axes = np.linalg.eigh(self._covariance)
        self._scales = np.sqrt(np.maximum(squares, 1e-20))
