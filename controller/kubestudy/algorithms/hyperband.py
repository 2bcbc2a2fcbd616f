"""Hyperband: many trials get a little of the resource, and the best of them more of it."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

from pydantic import Field

from kubestudy.algorithms.base import SearchAlgorithm, Settings
from kubestudy.algorithms.multi_fidelity import MultiFidelity
from kubestudy.algorithms.random import Random
from kubestudy.algorithms.rungs import Bracket, brackets
from kubestudy.api.algorithm import Resource


class HyperbandSettings(Settings):
    """Settings of Hyperband and BOHB."""

    iterations: int = Field(
        default=1, ge=1, le=1000, description="How often the whole table of brackets is run."
    )


class Hyperband(MultiFidelity):
    """Random search that stops trials at the rungs of several brackets.

    The brackets differ in how soon they stop a trial (Li et al., JMLR 18(185), 2018). They are
    filled side by side, each by its share of the table, so that there is always a trial to start.
    """

    name: ClassVar[str] = "Hyperband"
    settings_model: ClassVar[type[Settings]] = HyperbandSettings

    @property
    def sampler_type(self) -> type[SearchAlgorithm]:
        """Random search."""
        return Random

    @property
    def trials(self) -> int | None:
        """The trials of all brackets."""
        assert isinstance(self.settings, HyperbandSettings)
        return self.settings.iterations * len(self._order)

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """The paper's table."""
        assert self.resource is not None
        return brackets(self.resource)

    def bracket(self, index: int) -> int:
        """The bracket whose turn it is."""
        return self._order[index % len(self._order)]

    def iteration(self, index: int) -> int:
        """How often the whole table was filled before."""
        return index // len(self._order)

    @property
    def _order(self) -> tuple[int, ...]:
        assert self.resource is not None
        return _one_by_one(self.resource) if self.synchronous else _side_by_side(self.resource)


@cache
def _one_by_one(resource: Resource) -> tuple[int, ...]:
    """The paper's order: all trials of a bracket, then all of the next."""
    return tuple(b for b, bracket in enumerate(brackets(resource)) for _ in range(bracket.sizes[0]))


@cache
def _side_by_side(resource: Resource) -> tuple[int, ...]:
    """Each bracket's trials evenly among all trials of an iteration."""
    places = [
        ((2 * k + 1) / (2 * bracket.sizes[0]), b)
        for b, bracket in enumerate(brackets(resource))
        for k in range(bracket.sizes[0])
    ]
    return tuple(b for _, b in sorted(places))
