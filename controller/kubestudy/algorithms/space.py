"""The search space as algorithms see it: the points of a grid, and the unit cube."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from kubestudy.api.parameters import (
    Assignment,
    Parameter,
    ParameterConstraint,
    Scale,
    Value,
    When,
)
from kubestudy.expressions import Expression

COUNTABLE = 100_000
"""With constraints, the points of a grid are listed to count the feasible ones: up to so many."""

COUNTING_STEPS = 10_000_000
"""And up to so many steps of evaluating the constraints: about two seconds."""


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
    def condition(self) -> When | None:
        """What this parameter depends on; None where it is always active."""
        return self.parameter.when

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

    def place(self, value: Value) -> int | None:
        """Where a value stands on a discrete axis: the inverse of ``at``; None for no value of it.

        On a continuous axis, 0 for every value of the range.
        """
        p = self.parameter
        listed: Sequence[Value] | None = p.values or p.choices
        if listed is not None:
            return listed.index(value) if value in listed else None
        if isinstance(value, str) or p.min is None or p.max is None:
            return None
        if not p.min <= value <= p.max:
            return None
        if self.size is None:
            return 0
        place = round((_exact(value) - _exact(p.min)) / _exact(p.step or 1))
        return place if place < self.size and self.at(place) == value else None

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
    """All parameters of a Study.

    A point holds the values of its active parameters, in the order of the space. Each parameter
    depends on one other at most, so that the parameters are a forest, and the points can be
    counted and numbered without being listed.

    Args:
        parameters: The parameters.
        constraints: Conditions between them.

    Raises:
        ExpressionError: A constraint is wrong.
    """

    def __init__(
        self, parameters: Sequence[Parameter], constraints: Sequence[ParameterConstraint] = ()
    ):
        choices = {p.name: p.choices for p in parameters}
        self._constraints = [(c, Expression(c.expression, choices)) for c in constraints]
        self.dimensions = tuple(Dimension(p) for p in parameters)
        self.dimension = {d.name: d for d in self.dimensions}
        self._order = {d.name: i for i, d in enumerate(self.dimensions)}

    @cached_property
    def is_conditional(self) -> bool:
        """Whether any parameter depends on another."""
        return any(d.condition for d in self.dimensions)

    def is_active(self, name: str, assignment: Assignment) -> bool:
        """Whether a parameter has a value at a point.

        Args:
            name: The parameter.
            assignment: The values of the active ones of the parameters that it depends on, at
                least; those of others do not matter.
        """
        condition = self.dimension[name].condition
        return condition is None or condition.holds(assignment)

    def assign(self, choose: Callable[[Dimension], Value]) -> Assignment:
        """Makes a point by choosing the value of each active parameter.

        Args:
            choose: Gives a parameter's value. Called for active parameters alone, and for each
                after the one that it depends on.
        """
        chosen: Assignment = {}
        for dimension in self.parents_first:
            if self.is_active(dimension.name, chosen):
                chosen[dimension.name] = choose(dimension)
        return self.ordered(chosen)

    def ordered(self, values: Mapping[str, Value]) -> Assignment:
        """The same values in the order of the space."""
        return {name: values[name] for name in self._order if name in values}

    def contains(self, assignment: Assignment) -> bool:
        """Whether this is a point: the active parameters and no other, each at a value of its."""
        active = {d.name for d in self.dimensions if self.is_active(d.name, assignment)}
        return active == set(assignment) and all(
            self.dimension[name].place(value) is not None for name, value in assignment.items()
        )

    @cached_property
    def parents_first(self) -> tuple[Dimension, ...]:
        """The dimensions, each after the one that it depends on."""
        found: list[Dimension] = []
        waiting = [d for d in reversed(self.dimensions) if d.condition is None]
        while waiting:
            found.append(waiting.pop())
            waiting += reversed(self._dependents[found[-1].name])
        return tuple(found)

    @cached_property
    def _dependents(self) -> dict[str, list[Dimension]]:
        """Which dimensions depend directly on each."""
        found: dict[str, list[Dimension]] = {d.name: [] for d in self.dimensions}
        for d in self.dimensions:
            if d.condition is not None:
                found[d.condition.parameter].append(d)
        return found

    def broken_by(self, point: Assignment) -> ParameterConstraint | None:
        """The first constraint that a point breaks; None where it is feasible."""
        return next((c for c, e in self._constraints if not e.holds(point)), None)

    @cached_property
    def grid_size(self) -> int | None:
        """How many points there are, feasible or not; None where a range is continuous."""
        if any(d.size is None for d in self.dimensions):
            return None
        return math.prod(self._count[d.name] for d in self.dimensions if d.condition is None)

    @property
    def cost(self) -> int:
        """How many steps it takes at most to see whether a point is feasible."""
        return sum(expression.cost for _, expression in self._constraints)

    @property
    def is_countable(self) -> bool:
        """Whether all points can be looked at one by one within a moment."""
        points = self.grid_size
        if points is None or points > COUNTABLE:
            return False
        return points * self.cost <= COUNTING_STEPS

    @property
    def size(self) -> int | None:
        """How many feasible points there are; None where there is no end, or it is not known."""
        if not self._constraints:
            return self.grid_size
        return None if self._feasible is None else len(self._feasible)

    @cached_property
    def _feasible(self) -> array[int] | None:
        """The places of the feasible points in the grid; None if all are, or too many to look."""
        if not self._constraints or not self.is_countable:
            return None
        assert self.grid_size is not None
        places = range(self.grid_size)
        return array("i", (i for i in places if self.broken_by(self._grid_point(i)) is None))

    @property
    def is_uniform(self) -> bool:
        """Whether the space is finite and all its points are equally likely."""
        return (
            self.size is not None
            and not self.is_conditional
            and not any(d.is_log for d in self.dimensions)
        )

    def point(self, index: int) -> Assignment:
        """The point of a place in the grid of feasible points, in mixed radix.

        The last parameter varies fastest, and a parameter faster than the one it depends on.

        Args:
            index: From 0 to ``size`` - 1.
        """
        return self._grid_point(self._feasible[index] if self._feasible is not None else index)

    def _grid_point(self, place: int) -> Assignment:
        point: Assignment = {}
        self._spell([d for d in self.dimensions if d.condition is None], place, point)
        return self.ordered(point)

    def from_units(self, units: Sequence[float]) -> Assignment:
        """Maps a point of the unit cube to a point of the space."""
        return self.assign(lambda d: d.from_unit(units[self._order[d.name]]))

    @cached_property
    def _count(self) -> dict[str, int]:
        """How many points each dimension has together with all that depends on it."""
        count: dict[str, int] = {}
        for d in reversed(self.parents_first):
            assert d.size is not None
            branches = self._branches[d.name].values()
            count[d.name] = d.size + sum(math.prod(count[c.name] for c in b) - 1 for b in branches)
        return count

    @cached_property
    def _branches(self) -> dict[str, dict[int, list[Dimension]]]:
        """For each dimension, the places on which others depend, in order, with those others."""
        found: dict[str, dict[int, list[Dimension]]] = {}
        for d in self.dimensions:
            at: dict[int, list[Dimension]] = {}
            for child in self._dependents[d.name]:
                assert child.condition is not None
                for value in child.condition.allowed:
                    place = d.place(value)
                    if place is not None:
                        at.setdefault(place, []).append(child)
            found[d.name] = dict(sorted(at.items()))
        return found

    def _spell(self, dimensions: Sequence[Dimension], index: int, point: Assignment) -> None:
        """Writes the values of independent dimensions, and of what depends on them."""
        for d in reversed(dimensions):
            index, rest = divmod(index, self._count[d.name])
            self._spell_one(d, rest, point)

    def _spell_one(self, d: Dimension, index: int, point: Assignment) -> None:
        behind = 0  # By how much the index runs ahead of the place.
        for place, branch in self._branches[d.name].items():
            if index < place + behind:
                break
            within = index - place - behind
            width = math.prod(self._count[c.name] for c in branch)
            if within < width:
                point[d.name] = d.at(place)
                self._spell(branch, within, point)
                return
            behind += width - 1
        point[d.name] = d.at(index - behind)
