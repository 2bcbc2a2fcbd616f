"""NSGA-III (Deb and Jain, IEEE TEVC 18(4), 2014)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from kubestudy.algorithms.base import Observed
from kubestudy.algorithms.genetic import Genetic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class NSGAIII(Genetic):
    """Genetic search for a Pareto front of three objectives, with many trials.

    As NSGA-II, but of equals those survive whose trade-off between the objectives is rare: each
    belongs to one of many reference directions, about as many as the population.
    """

    name: ClassVar[str] = "NSGA-III"

    def select(
        self,
        costs: NDArray[np.float64],
        violations: NDArray[np.float64],
        count: int,
        seed: int,
    ) -> list[int]:
        """By front, then by how few others go in the same direction."""
        import numpy as np

        from kubestudy.algorithms.numeric.selection import best_spread, most_directions

        references = most_directions(costs.shape[1], count)
        return best_spread(costs, violations, count, references, np.random.default_rng(seed))

    def parent(self, population: Sequence[Observed], rng: random.Random) -> Observed:
        """Any survivor."""
        return rng.choice(population)
