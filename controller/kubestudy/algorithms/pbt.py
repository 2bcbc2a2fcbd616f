"""Population based training (Jaderberg et al., 2017, arXiv:1711.09846)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from kubestudy.algorithms.base import Observed, Settings
from kubestudy.algorithms.encoding import cost, violation
from kubestudy.algorithms.generations import Generations, GenerationSettings
from kubestudy.algorithms.random import Random, generator
from kubestudy.algorithms.space import Dimension
from kubestudy.api.parameters import Assignment, Value

DRAWS = 100
"""How often changes are drawn that keep the constraints and are new, before others will do."""


class PBTSettings(GenerationSettings):
    """Settings of population based training."""

    truncation: float = Field(
        default=0.25,
        gt=0,
        le=0.5,
        description="Which part of the members, the worst of a generation, goes on from"
        " checkpoints of as many best.",
    )
    resample_probability: float = Field(
        default=0.25,
        ge=0,
        le=1,
        alias="resampleProbability",
        description="How often a parameter that may change is drawn anew instead of perturbed.",
    )
    perturbation_factors: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(
        default=(0.8, 1.2),
        min_length=1,
        max_length=16,
        alias="perturbationFactors",
        description="A perturbed number is multiplied by one of them; of listed values, the next or"
        " the one before is taken.",
    )


class PBT(Generations):
    """Population based training: the worst go on from checkpoints of the best.

    They take over the parameters as well, and change them a little; all others go on as they are.
    So parameters change in the course of training, and no member starts again.
    """

    name: ClassVar[str] = "PBT"
    settings_model: ClassVar[type[Settings]] = PBTSettings

    def parent(self, index: int, history: Sequence[Observed]) -> int | None:
        """The member's own trial of the generation before, or one of the best of it."""
        model = self._model(index, history, generator(self.seed, index))
        return None if model is None else model.index

    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """The parameters of the trial that is gone on from, changed if it is another member's."""
        rng = generator(self.seed, index)
        model = self._model(index, history, rng)
        if model is None:
            return self._drawn(index)
        known = {n: self.space.dimension[n].parameter.typed(v) for n, v in model.assignment.items()}
        known = self.space.ordered(known)
        if model.index == index - self.population:
            return known
        siblings = self.of(index // self.population, history)
        return self._explored(known, [o.assignment for o in siblings if o.index < index], rng)

    def _drawn(self, index: int) -> Assignment:
        """A random point: of the first generation, or where none was of any use."""
        draws = Random(self.space, self.seed)
        return draws.suggest(index if draws.size is None else index % draws.size)

    def _model(
        self, index: int, history: Sequence[Observed], rng: random.Random
    ) -> Observed | None:
        """The trial that a trial goes on from; None where it starts afresh."""
        generation, member = divmod(index, self.population)
        if generation == 0 or (self.trials is not None and index >= self.trials):
            return None
        before = self._ranked(generation - 1, history)
        own = next((o for o in before if o.index % self.population == member), None)
        many = max(1, int(len(before) * self._settings.truncation))
        if own is not None and (own in before[:many] or own not in before[-many:]):
            return own
        for earlier in range(generation - 1, -1, -1):
            if best := self._ranked(earlier, history)[:many]:
                return rng.choice(best)
        return None

    def _ranked(self, generation: int, history: Sequence[Observed]) -> list[Observed]:
        """The trials of a generation that gave a value, the best first."""
        ended = [o for o in self.of(generation, history) if o.values is not None]
        return sorted(ended, key=lambda o: (violation(o), cost(o, self.objectives), o.index))

    @property
    def _settings(self) -> PBTSettings:
        assert isinstance(self.settings, PBTSettings)
        return self.settings

    def _explored(
        self, known: Assignment, taken: Sequence[Assignment], rng: random.Random
    ) -> Assignment:
        """A point near another one, if possible none that is taken."""
        found = known
        for _ in range(DRAWS):
            point = self.space.assign(lambda d: self._changed(d, known, rng))
            if self.space.broken_by(point) is None:
                found = point
                if found not in taken:
                    break
        return found

    def _changed(self, d: Dimension, known: Assignment, rng: random.Random) -> Value:
        settings = self._settings
        if d.name in known and d.name in self.fixed:
            return known[d.name]
        if d.name not in known or rng.random() < settings.resample_probability:
            return d.from_unit(rng.random())
        return perturbed(d, known[d.name], rng.choice(settings.perturbation_factors))


def perturbed(d: Dimension, value: Value, factor: float) -> Value:
    """A number multiplied by a factor, or the neighbour of a listed value; never out of bounds.

    Where there are steps, a value moves by one of them at least.
    """
    p = d.parameter
    if p.choices is not None:
        return _neighbour(p.choices, value, factor)
    if p.values is not None:
        return p.typed(_neighbour(sorted(p.values), value, factor))
    assert p.min is not None and p.max is not None
    before, after = float(value), float(value) * factor
    if d.size is None:
        return max(float(p.min), min(float(p.max), after))
    place, towards = d.place(value) or 0, round((after - p.min) / (p.step or 1))
    if towards == place:
        towards += 1 if after > before or (after == before and factor > 1) else -1
    return d.at(max(0, min(d.size - 1, towards)))


def _neighbour(listed: Sequence[Value], value: Value, factor: float) -> Value:
    place = listed.index(value) + (1 if factor > 1 else -1)
    return listed[max(0, min(len(listed) - 1, place))]
