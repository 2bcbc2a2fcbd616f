"""ASHA: asynchronous successive halving (Li et al., MLSys 2020)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from kubestudy.algorithms.base import SearchAlgorithm, Settings
from kubestudy.algorithms.encoding import needs_numpy
from kubestudy.algorithms.gp import GP
from kubestudy.algorithms.multi_fidelity import MultiFidelity
from kubestudy.algorithms.random import Random
from kubestudy.algorithms.rungs import Bracket, brackets
from kubestudy.algorithms.space import SearchSpace
from kubestudy.algorithms.tpe import TPE
from kubestudy.api.validation import FieldError


class ASHASettings(Settings):
    """Settings of ASHA."""

    sampler: Literal["GP", "TPE", "Random"] = Field(
        default="GP",
        description="What suggests the points: GP, TPE or Random. In place of GP it is TPE with"
        " conditional parameters.",
    )


class ASHA(MultiFidelity):
    """The one bracket of Hyperband that stops soonest, with as many trials as the budget has.

    Points are suggested by a Gaussian process that learns from all rungs, as in MOBSTER (Klein et
    al., arXiv 2003.10865); with the sampler Random it is the paper's ASHA.
    """

    name: ClassVar[str] = "ASHA"
    adaptive = True
    settings_model: ClassVar[type[Settings]] = ASHASettings

    @classmethod
    def check(cls, space: SearchSpace) -> list[FieldError]:
        """What its default sampler asks for."""
        return list(needs_numpy(cls.name))

    @property
    def sampler_type(self) -> type[SearchAlgorithm]:
        """The one that the settings name, if it can."""
        assert isinstance(self.settings, ASHASettings)
        if self.settings.sampler == "Random":
            return Random
        if self.settings.sampler == "TPE" or self.space.is_conditional or len(self.objectives) > 1:
            return TPE
        return GP

    @property
    def brackets(self) -> tuple[Bracket, ...]:
        """The first of Hyperband's brackets."""
        assert self.resource is not None
        return brackets(self.resource)[:1]

    def bracket(self, index: int) -> int:
        """There is but one."""
        return 0
