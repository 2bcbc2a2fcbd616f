"""What the genetic algorithms have in common: a population, and children of it."""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kubestudy.algorithms.base import Observed, SearchAlgorithm, Settings
from kubestudy.algorithms.encoding import Coordinate, cost, needs_numpy, violation
from kubestudy.algorithms.random import generator
from kubestudy.algorithms.space import Dimension, SearchSpace
from kubestudy.api.parameters import Assignment, Value
from kubestudy.api.validation import FieldError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class GeneticSettings(Settings):
    """Settings of NSGA-II and NSGA-III."""

    population_size: int = Field(
        default=50,
        ge=4,
        le=1000,
        alias="populationSize",
        description="How many trials survive; as many random ones come first.",
    )
    crossover_probability: float = Field(
        default=0.9,
        ge=0,
        le=1,
        alias="crossoverProbability",
        description="How often a child has two parents.",
    )
    mutation_probability: float | None = Field(
        default=None,
        ge=0,
        le=1,
        alias="mutationProbability",
        description="How often a parameter mutates; by default 1 / number of parameters.",
    )
    crossover_eta: float = Field(
        default=15,
        gt=0,
        le=1000,
        alias="crossoverEta",
        description="The larger, the nearer a child is to its parents.",
    )
    mutation_eta: float = Field(
        default=20,
        gt=0,
        le=1000,
        alias="mutationEta",
        description="The larger, the smaller mutations are.",
    )


class Genetic(SearchAlgorithm):
    """Suggests children of the trials that survive.

    The completed trials are taken in the order of their indexes, in blocks of the population's
    size. After each block the survivors are chosen anew, as with generations. So the population
    is a function of the history, and no slot waits for a generation to end.
    """

    adaptive = True
    settings_model: ClassVar[type[Settings]] = GeneticSettings

    @classmethod
    def check(cls, space: SearchSpace) -> list[FieldError]:
        """Any space will do."""
        return list(needs_numpy(cls.name))

    @abstractmethod
    def select(
        self,
        costs: NDArray[np.float64],
        violations: NDArray[np.float64],
        count: int,
        seed: int,
    ) -> list[int]:
        """Chooses the places of the survivors, the best first.

        Args:
            costs: A row for each trial; less is better.
            violations: By how much each violates the constraints.
            count: How many may survive.
            seed: For choices at random.
        """

    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """Makes a child of two survivors, or a random point at the beginning."""
        settings, rng = self._own_settings, generator(self.seed, index)
        population = self._population([o for o in history if o.values is not None])
        if index < settings.population_size or len(population) < 2:
            return self.space.assign(lambda d: d.from_unit(rng.random()))
        mother, father = (self.parent(population, rng) for _ in range(2))
        if rng.random() >= settings.crossover_probability:
            father = mother
        return self.space.assign(lambda d: self._gene(d, mother, father, rng))

    @property
    def _own_settings(self) -> GeneticSettings:
        assert isinstance(self.settings, GeneticSettings)
        return self.settings

    def _population(self, completed: Sequence[Observed]) -> list[Observed]:
        import numpy as np

        size = self._own_settings.population_size
        alive: list[Observed] = []
        for start in range(0, len(completed), size):
            pool = [*alive, *completed[start : start + size]]
            costs = np.array([cost(o, self.objectives) for o in pool])
            violations = np.array([violation(o) for o in pool])
            survivors = self.select(costs, violations, size, self.seed + start)
            alive = [pool[place] for place in survivors]
        return alive

    @abstractmethod
    def parent(self, population: Sequence[Observed], rng: random.Random) -> Observed:
        """Chooses a parent from the survivors, the best of which come first."""

    def _gene(self, d: Dimension, mother: Observed, father: Observed, rng: random.Random) -> Value:
        coordinate = Coordinate(d)
        settings = self._own_settings
        genes = [p.assignment[d.name] for p in (mother, father) if d.name in p.assignment]
        mutation = settings.mutation_probability
        if mutation is None:
            mutation = 1 / len(self.space.dimensions)
        if not genes:
            return coordinate.value(rng.random())
        if d.parameter.choices is not None:
            return rng.choice(d.parameter.choices if rng.random() < mutation else genes)
        units = [rng.uniform(*coordinate.cell(gene)) for gene in genes]
        unit = rng.choice(units)
        if len(units) == 2 and rng.random() < 0.5:
            unit = _crossed(units[0], units[1], settings.crossover_eta, rng)
        if rng.random() < mutation:
            unit = _mutated(unit, settings.mutation_eta, rng)
        return coordinate.value(unit)


def _crossed(a: float, b: float, eta: float, rng: random.Random) -> float:
    """Simulated binary crossover (Deb and Agrawal, Complex Systems 9, 1995)."""
    u = rng.random()
    spread = math.pow(2 * u if u < 0.5 else 1 / (2 * (1 - u)), 1 / (eta + 1))
    if rng.random() < 0.5:
        a, b = b, a
    child = ((1 + spread) * a + (1 - spread) * b) / 2
    return min(max(child, 0.0), 1.0)


def _mutated(unit: float, eta: float, rng: random.Random) -> float:
    """Polynomial mutation that keeps to the bounds (Deb and Goyal, 1996)."""
    u = rng.random()
    if u < 0.5:
        inner = 2 * u + (1 - 2 * u) * math.pow(1 - unit, eta + 1)
        return max(unit + math.pow(inner, 1 / (eta + 1)) - 1, 0.0)
    inner = 2 * (1 - u) + (2 * u - 1) * math.pow(unit, eta + 1)
    return min(unit + 1 - math.pow(inner, 1 / (eta + 1)), 1.0)
