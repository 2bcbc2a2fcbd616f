"""Tree-structured Parzen estimators (Bergstra et al., NeurIPS 2011; Watanabe, arXiv 2304.11127)."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kubestudy.algorithms.base import Observed, SearchAlgorithm, Settings
from kubestudy.algorithms.optuna_history import OptunaHistory
from kubestudy.algorithms.space import SearchSpace
from kubestudy.api.parameters import Assignment
from kubestudy.api.validation import FieldError

if TYPE_CHECKING:
    import optuna


class TPESettings(Settings):
    """Settings of TPE, by Optuna's names in camelCase."""

    startup_trials: int = Field(default=10, ge=1, le=10_000, alias="startupTrials")
    candidates: int = Field(default=24, ge=1, le=10_000)
    multivariate: bool = True


class TPE(SearchAlgorithm):
    """Bayesian optimisation by Optuna's TPE sampler.

    It models the good and the other trials by two densities and suggests where their ratio is
    largest. Multivariate by default, and trials that still run count as poor ones (the constant
    liar), so that several at once do not all go to the same place.
    """

    name: ClassVar[str] = "TPE"
    adaptive: ClassVar[bool] = True
    settings_model: ClassVar[type[Settings]] = TPESettings

    @classmethod
    def check(cls, space: SearchSpace) -> list[FieldError]:
        """Optuna is an extra of the Python package."""
        if importlib.util.find_spec("optuna") is not None:
            return [
                FieldError(
                    f"parameters[{i}].when", "TPE takes no conditional parameters yet; use Random"
                )
                for i, d in enumerate(space.dimensions)
                if d.condition is not None
            ]
        return [
            FieldError("algorithm.type", "TPE needs Optuna here: pip install 'kubestudy[optuna]'")
        ]

    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """Suggests a point from all trials so far."""
        optuna_history = OptunaHistory(self.space, self.seed, self.objectives, self._sampler)
        return optuna_history.suggest(index, history)

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        from optuna.samplers import TPESampler

        assert isinstance(self.settings, TPESettings)
        return TPESampler(
            seed=seed,
            n_startup_trials=self.settings.startup_trials,
            n_ei_candidates=self.settings.candidates,
            multivariate=self.settings.multivariate,
            constant_liar=True,
        )
