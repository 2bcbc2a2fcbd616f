"""What the algorithms have in common that train a population generation by generation."""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from kubestudy.algorithms.base import Observed, SearchAlgorithm, Settings


class GenerationSettings(Settings):
    """Settings of every algorithm with generations."""

    population_size: int = Field(
        default=8,
        ge=2,
        le=1000,
        alias="populationSize",
        description="How many members there are; each generation has a trial of each.",
    )
    fixed: tuple[str, ...] = Field(
        default=(),
        description="Parameters that go along with a checkpoint unchanged, since its weights would"
        " not fit others, such as num_hidden_layers.",
    )


class Generations(SearchAlgorithm):
    """Trains the members of a population bit by bit, and lets the weak learn from the strong.

    Trial ``g * population + m`` is what member ``m`` trains in generation ``g``. It goes on from
    the last checkpoint of a trial of an earlier generation, be it the member's own or another's.
    A generation begins once all trials of the one before have ended.
    """

    adaptive = True
    multi_fidelity: ClassVar[bool] = True
    repeats: ClassVar[bool] = True
    all_suggested: ClassVar[tuple[str, str]] = (
        "GenerationsTrained",
        "all {} trials of the generations were started",
    )
    settings_model: ClassVar[type[Settings]] = GenerationSettings

    @property
    def population(self) -> int:
        """How many members there are."""
        return self._settings.population_size

    @property
    def fixed(self) -> tuple[str, ...]:
        """The parameters that go along with a checkpoint unchanged."""
        return self._settings.fixed

    @property
    def _settings(self) -> GenerationSettings:
        assert isinstance(self.settings, GenerationSettings)
        return self.settings

    @property
    def trials(self) -> int | None:
        """The trials of all generations."""
        if self.resource is None:
            return None
        return self.population * -(-self.resource.max // self.resource.min)

    def until(self, index: int) -> int:
        """How much of the resource a trial has spent at its end, what it inherits included."""
        assert self.resource is not None
        return min(self.resource.max, self.resource.min * (index // self.population + 1))

    def is_due(self, index: int, history: Sequence[Observed]) -> bool:
        """Whether all of the generation before have ended."""
        generation = index // self.population
        if generation == 0:
            return True
        ended = [o for o in self.of(generation - 1, history) if o.failed or o.values is not None]
        return len(ended) == self.population

    def of(self, generation: int, history: Sequence[Observed]) -> list[Observed]:
        """The trials of a generation, as far as there are any."""
        first = generation * self.population
        start, end = (
            bisect_left(history, index, key=lambda o: o.index)
            for index in (first, first + self.population)
        )
        return list(history[start:end])

    @abstractmethod
    def parent(self, index: int, history: Sequence[Observed]) -> int | None:
        """The index of the trial whose last checkpoint a trial goes on from; None for none.

        Args:
            index: The trial's place in the sequence.
            history: All trials suggested so far, sorted by index.
        """
