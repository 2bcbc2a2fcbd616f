"""NSGA-II (Deb et al., IEEE TEVC 6(2), 2002)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from kubestudy.algorithms.base import Observed
from kubestudy.algorithms.genetic import Genetic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class NSGAII(Genetic):
    """Genetic search for a Pareto front of two objectives, with many trials.

    Those survive that few others dominate, and of equals the lonely ones. Feasible trials come
    before others.
    """

    name: ClassVar[str] = "NSGA-II"

    def select(
        self,
        costs: NDArray[np.float64],
        violations: NDArray[np.float64],
        count: int,
        seed: int,
    ) -> list[int]:
        """By front, then by crowding distance."""
        from kubestudy.algorithms.numeric.selection import least_crowded

        return least_crowded(costs, violations, count)

    def parent(self, population: Sequence[Observed], rng: random.Random) -> Observed:
        """The better of two: the crowded-comparison operator."""
        return population[min(rng.sample(range(len(population)), 2))]
