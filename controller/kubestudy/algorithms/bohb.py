"""BOHB: Hyperband that learns (Falkner et al., ICML 2018)."""

from __future__ import annotations

from typing import ClassVar

from kubestudy.algorithms.base import SearchAlgorithm
from kubestudy.algorithms.hyperband import Hyperband
from kubestudy.algorithms.space import SearchSpace
from kubestudy.algorithms.tpe import TPE
from kubestudy.api.validation import FieldError


class BOHB(Hyperband):
    """Hyperband whose trials are suggested by TPE, from what earlier ones came to at their rungs.

    TPE is Optuna's: of two trials, the one that came further counts for more.
    """

    name: ClassVar[str] = "BOHB"

    @property
    def sampler_type(self) -> type[SearchAlgorithm]:
        """Optuna's TPE."""
        return TPE

    @classmethod
    def check(cls, space: SearchSpace) -> list[FieldError]:
        """What TPE asks for."""
        return TPE.check(space)
