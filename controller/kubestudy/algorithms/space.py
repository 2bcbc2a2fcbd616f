"""The search space as algorithms see it: the points of a grid, and the unit cube."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from kubestudy.api.parameters import Assignment, Parameter, Scale, Value


def _exact(number: float) -> Fraction:
    """A number as it is written: 0.1 is a tenth, and three steps of it are 0.3."""
    return Fraction(repr(number))


@dataclass(frozen=True)
class Dimension:
    """One parameter of the search space, seen as an axis."""

    parameter: Parameter

    @property
    def name(self) -> str:
        """The parameter's name."""
        return self.parameter.name

    @property
    def is_log(self) -> bool:
        """Whether the axis is spread evenly in the logarithm."""
        return self.parameter.scale == Scale.LOG

    @cached_property
    def size(self) -> int | None:
        """How many values there are; None for a continuous range."""
        p = self.parameter
        listed = p.values or p.choices
        if listed is not None:
            return len(listed)
        if p.min is None or p.max is None:
            raise ValueError(f"parameter {p.name} has neither values nor a range")
        step = p.step if p.step is not None else (1 if p.is_int else None)
        if step is None:
            return None
        return (_exact(p.max) - _exact(p.min)) // _exact(step) + 1

    def at(self, index: int) -> Value:
        """The value of a place on a discrete axis, from 0 to ``size`` - 1."""
        p = self.parameter
        listed: Sequence[Value] | None = p.values or p.choices
        if listed is not None:
            return p.typed(listed[index])
        assert p.min is not None and p.max is not None
        value = _exact(p.min) + index * _exact(p.step or 1)
        return int(value) if p.is_int else float(value)

    def from_unit(self, unit: float) -> Value:
        """Maps a number of [0, 1) to a value, evenly on the parameter's own scale."""
        p = self.parameter
        if self.size is not None and not self.is_log:
            return self.at(min(self.size - 1, math.floor(unit * self.size)))
        assert p.min is not None and p.max is not None
        if p.is_int:
            # Each integer owns the half unit on either side of it, the ends included.
            low, high = math.log(float(p.min) - 0.5), math.log(float(p.max) + 0.5)
            number = round(math.exp(low + unit * (high - low)))
            return max(int(p.min), min(int(p.max), number))
        low, high = float(p.min), float(p.max)
        if self.is_log:
            value = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
        else:
            value = low + unit * (high - low)
        return max(low, min(high, value))


class SearchSpace:
    """All parameters of a Study."""

    def __init__(self, parameters: Sequence[Parameter]):
        self.dimensions = tuple(Dimension(p) for p in parameters)

    @cached_property
    def size(self) -> int | None:
        """How many points there are; None where a range is continuous."""
        sizes = [d.size for d in self.dimensions]
        if any(size is None for size in sizes):
            return None
        return math.prod(size for size in sizes if size is not None)

    @property
    def is_uniform(self) -> bool:
        """Whether the space is finite and all its points are equally likely."""
        return self.size is not None and not any(d.is_log for d in self.dimensions)

    def point(self, index: int) -> Assignment:
        """The point of a place in the grid, in mixed radix: the last parameter varies fastest.

        Args:
            index: From 0 to ``size`` - 1.
        """
        places: list[int] = []
        for dimension in reversed(self.dimensions):
            assert dimension.size is not None
            index, place = divmod(index, dimension.size)
            places.append(place)
        return {
            d.name: d.at(place) for d, place in zip(self.dimensions, reversed(places), strict=True)
        }

    def from_units(self, units: Sequence[float]) -> Assignment:
        """Maps a point of the unit cube to a point of the space."""
        return {d.name: d.from_unit(unit) for d, unit in zip(self.dimensions, units, strict=True)}
