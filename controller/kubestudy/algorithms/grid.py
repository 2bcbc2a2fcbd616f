"""Grid search: every point once, in the order of the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from kubestudy.algorithms.base import Observed, SearchAlgorithm
from kubestudy.algorithms.space import COUNTABLE, COUNTING_STEPS, SearchSpace
from kubestudy.api.parameters import Assignment
from kubestudy.api.validation import FieldError


class Grid(SearchAlgorithm):
    """The index is the point, so nothing is ever tried twice and the end is known."""

    name: ClassVar[str] = "Grid"

    @classmethod
    def check(cls, space: SearchSpace) -> list[FieldError]:
        """A continuous range has no grid, and one with constraints must be small enough to list."""
        continuous = [
            FieldError(
                f"parameters[{i}]",
                f"Grid cannot list all values of the continuous range of {d.name!r}; give it"
                " values, a step or type Int, or use Random",
            )
            for i, d in enumerate(space.dimensions)
            if d.size is None
        ]
        if continuous or space.size is not None:
            return continuous
        return [
            FieldError(
                "parameterConstraints",
                f"Grid lists all points to find those that keep the constraints, and for"
                f" {space.grid_size} points and constraints of {space.cost} words and signs that"
                f" would take too long; it does so up to {COUNTABLE} points, and up to"
                f" {COUNTING_STEPS} points times words and signs. Give the parameters fewer values,"
                " shorten the constraints, or use Random",
            )
        ]

    @property
    def size(self) -> int | None:
        """The number of points."""
        return self.space.size

    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """Returns the point at this place of the grid."""
        return self.space.point(index)
