"""ASHA: asynchronous successive halving (Li et al., MLSys 2020)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from kubestudy.algorithms.base import SearchAlgorithm, Settings
from kubestudy.algorithms.multi_fidelity import MultiFidelity
from kubestudy.algorithms.random import Random
from kubestudy.algorithms.rungs import Bracket, brackets
from kubestudy.algorithms.tpe import TPE


class ASHASettings(Settings):
    """Settings of ASHA."""

    sampler: Literal["Random", "TPE"] = Field(
        default="Random", description="What suggests the points: Random or TPE."
    )


class ASHA(MultiFidelity):
    """The one bracket of Hyperband that stops soonest, with as many trials as the budget has."""

    name: ClassVar[str] = "ASHA"
    settings_model: ClassVar[type[Settings]] = ASHASettings

    @property
    def sampler_type(self) -> type[SearchAlgorithm]:
        """The one that the settings name."""
        assert isinstance(self.settings, ASHASettings)
        return TPE if self.settings.sampler == "TPE" else Random

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """The first of Hyperband's brackets."""
        assert self.resource is not None
        return brackets(self.resource)[:1]

    def bracket(self, index: int) -> int:
        """There is but one."""
        return 0
