"""CMA-ES, replayed from the history (Hansen, arXiv 1604.00772)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kubestudy.algorithms.base import Observed, SearchAlgorithm, Settings
from kubestudy.algorithms.encoding import (
    Coordinate,
    cost,
    needs_no_conditions,
    needs_numpy,
    violation,
)
from kubestudy.algorithms.optuna_history import seed_of_suggestion
from kubestudy.algorithms.space import SearchSpace
from kubestudy.api.parameters import Assignment
from kubestudy.api.validation import FieldError

if TYPE_CHECKING:
    from kubestudy.algorithms.numeric.cma import Distribution


class CMAESSettings(Settings):
    """Settings of CMA-ES."""

    population_size: int | None = Field(
        default=None,
        ge=4,
        le=1000,
        alias="populationSize",
        description="Trials of a generation; by default 4 + 3 ln(parameters).",
    )
    sigma: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Standard deviation at the start, as a share of each range.",
    )


class CMAES(SearchAlgorithm):
    """Evolution strategy for numbers that depend on each other: many trials, smooth objectives.

    What has ended is cut into generations in the order of the trials' indexes, and the
    distribution is adapted to them one after the other, anew for each suggestion. So slots never
    wait for a generation: a trial is drawn from the newest distribution there is. A failed trial
    counts as the worst of its generation. Once the distribution has shrunk to a point, the next
    one begins with twice the population (IPOP; Auger and Hansen, CEC 2005).
    """

    name: ClassVar[str] = "CMA-ES"
    adaptive = True
    settings_model: ClassVar[type[Settings]] = CMAESSettings
    one_objective: ClassVar[bool] = True

    @classmethod
    def check(cls, space: SearchSpace) -> list[FieldError]:
        """A normal distribution is over numbers, and over all of them."""
        return [
            *needs_numpy(cls.name),
            *needs_no_conditions(cls.name, space),
            *(
                FieldError(
                    f"parameters[{i}].choices",
                    f"CMA-ES is for numbers; {d.name!r} is a choice of strings: use TPE or Random",
                )
                for i, d in enumerate(space.dimensions)
                if d.parameter.choices is not None
            ),
        ]

    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """Draws a point from the distribution that the history leads to."""
        import numpy as np

        coordinates = [Coordinate(d) for d in self.space.dimensions]
        rng = np.random.default_rng(seed_of_suggestion(self.seed, index))
        drawn = self._distribution(coordinates, history).sample(rng)
        return {
            c.dimension.name: c.value(float(u)) for c, u in zip(coordinates, drawn, strict=True)
        }

    def _distribution(
        self, coordinates: Sequence[Coordinate], history: Sequence[Observed]
    ) -> Distribution:
        import numpy as np

        from kubestudy.algorithms.numeric.cma import Distribution

        assert isinstance(self.settings, CMAESSettings)
        n = len(coordinates)
        population = self.settings.population_size or 4 + math.floor(3 * math.log(n))
        sigma = self.settings.sigma
        least = np.array([c.width / 4 for c in coordinates])
        distribution = Distribution(n, population, sigma, least)
        ended = [o for o in history if o.values is not None or o.failed]
        while len(ended) >= population:
            generation = sorted(ended[:population], key=self._rank)
            distribution.update(
                [[c.unit(o.assignment[c.dimension.name]) for c in coordinates] for o in generation]
            )
            ended = ended[population:]
            if distribution.spent:
                population *= 2
                distribution = Distribution(n, population, sigma, least)
        return distribution

    def _rank(self, o: Observed) -> tuple[bool, float, float]:
        """Completed before failed, feasible before others, then by value."""
        return o.failed, violation(o), 0.0 if o.failed else cost(o, self.objectives[:1])[0]
