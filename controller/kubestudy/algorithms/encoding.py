"""Points as numbers, for algorithms that calculate with them."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from kubestudy.algorithms.base import Observed
from kubestudy.algorithms.space import Dimension, SearchSpace
from kubestudy.api.objectives import Direction, Objective
from kubestudy.api.parameters import Value
from kubestudy.api.validation import FieldError


@dataclass(frozen=True)
class Coordinate:
    """A parameter as a number from 0 to 1; listed numbers in rising order, so that it has a sense.

    Attributes:
        dimension: The parameter.
    """

    dimension: Dimension

    @cached_property
    def _listed(self) -> list[Value] | None:
        p = self.dimension.parameter
        return sorted(p.values, key=float) if p.values is not None else None

    def value(self, unit: float) -> Value:
        """The value at a number from 0 to 1, both included."""
        unit = min(max(unit, 0.0), 1 - 2**-53)
        if self._listed is not None:
            listed = self._listed[math.floor(unit * len(self._listed))]
            return self.dimension.parameter.typed(listed)
        return self.dimension.from_unit(unit)

    def cell(self, value: Value) -> tuple[float, float]:
        """The numbers that stand for a value, from and to; the same twice on a continuous axis."""
        p, size = self.dimension.parameter, self.dimension.size
        listed = self._listed if self._listed is not None else p.choices
        if listed is not None:
            place = listed.index(value)  # type: ignore[arg-type]
            return place / len(listed), (place + 1) / len(listed)
        number, low, high = float(value), float(p.min or 0), float(p.max or 0)
        if self.dimension.is_log and p.is_int:
            start, end = math.log(low - 0.5), math.log(high + 0.5)
            ends = (number - 0.5, number + 0.5)
            below, above = ((math.log(x) - start) / (end - start) for x in ends)
            return below, above
        if self.dimension.is_log:
            number, low, high = math.log(number), math.log(low), math.log(high)
        if size is not None:
            place = round((number - low) / float(p.step or 1))
            return place / size, (place + 1) / size
        unit = (number - low) / (high - low)
        return unit, unit

    def unit(self, value: Value) -> float:
        """The number in the middle of those that stand for a value."""
        low, high = self.cell(value)
        return (low + high) / 2

    @cached_property
    def width(self) -> float:
        """How wide a cell is; 0 on a continuous axis, and on a log axis of integers the widest."""
        p = self.dimension.parameter
        if self.dimension.size is None:
            return 0.0
        if self.dimension.is_log and p.min is not None:
            low, high = self.cell(p.min)
            return high - low
        return 1 / self.dimension.size


def cost(observed: Observed, objectives: Sequence[Objective]) -> tuple[float, ...]:
    """The values of a completed trial, each turned so that less is better."""
    signs = [-1.0 if o.direction == Direction.MAXIMIZE else 1.0 for o in objectives] or [1.0]
    return tuple(s * v for s, v in zip(signs, observed.values or (), strict=True))


def violation(observed: Observed) -> float:
    """By how much a trial violates the Study's constraints in all; 0 where it keeps to them."""
    return sum(v for v in observed.violations if v > 0)


def needs_numpy(name: str) -> Iterator[FieldError]:
    """What to tell where numpy is missing, which comes with Optuna."""
    if importlib.util.find_spec("numpy") is None:
        yield FieldError(
            "algorithm.type", f"{name} needs numpy here: install kubestudy with its extra [optuna]"
        )


def needs_no_conditions(name: str, space: SearchSpace) -> Iterator[FieldError]:
    """What to tell of parameters that are not always there."""
    for i, d in enumerate(space.dimensions):
        if d.condition is not None:
            yield FieldError(
                f"parameters[{i}].when",
                f"{name} takes no conditional parameters such as {d.name!r}; use TPE or Random",
            )
