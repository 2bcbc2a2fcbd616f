"""Tree-structured Parzen estimators (Bergstra et al., NeurIPS 2011; Watanabe, arXiv 2304.11127)."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from kubestudy.algorithms.base import Observed, SearchAlgorithm, Settings
from kubestudy.algorithms.optuna_history import Axis, OptunaHistory
from kubestudy.algorithms.space import SearchSpace
from kubestudy.api.parameters import Assignment
from kubestudy.api.validation import FieldError

if TYPE_CHECKING:
    import optuna


class TPESettings(Settings):
    """Settings of TPE, by Optuna's names in camelCase."""

    startup_trials: int = Field(
        default=10,
        ge=1,
        le=10_000,
        alias="startupTrials",
        description="Trials that end before it models anything; until then points are random.",
    )
    candidates: int = Field(
        default=24, ge=1, le=10_000, description="Points that it compares for each suggestion."
    )
    multivariate: bool | None = Field(
        default=None,
        description="Whether parameters are modelled together; by default with one objective.",
    )


class TPE(SearchAlgorithm):
    """Bayesian optimisation by Optuna's TPE sampler.

    It models the good and the other trials by two densities and suggests where their ratio is
    largest. Multivariate by default, and trials that still run count as poor ones (the constant
    liar), so that several at once do not all go to the same place. Conditional parameters are
    modelled together with those that are there whenever they are (group). Several objectives are
    weighed by their hypervolume, each parameter on its own (MOTPE; Ozaki et al., JAIR 73, 2022).
    """

    name: ClassVar[str] = "TPE"
    adaptive = True
    settings_model: ClassVar[type[Settings]] = TPESettings

    @classmethod
    def check(cls, space: SearchSpace) -> list[FieldError]:
        """Optuna is an extra of the Python package."""
        if importlib.util.find_spec("optuna") is not None:
            return []
        return [
            FieldError(
                "algorithm.type", "TPE needs Optuna here: install kubestudy with its extra [optuna]"
            )
        ]

    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """Suggests a point from all trials so far."""
        optuna_history = OptunaHistory(self.space, self.seed, self.objectives, self._sampler)
        return optuna_history.suggest(index, history)

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        from optuna.exceptions import ExperimentalWarning
        from optuna.samplers import TPESampler

        from kubestudy.algorithms.numeric.known_space import KnownSpaceTPESampler

        assert isinstance(self.settings, TPESettings)
        together = self.settings.multivariate
        if together is None:
            together = len(self.objectives) <= 1
        settings: dict[str, Any] = {
            "seed": seed,
            "n_startup_trials": self.settings.startup_trials,
            "n_ei_candidates": self.settings.candidates,
            "multivariate": together,
            "constant_liar": True,
        }
        if self.space.is_conditional:
            # Groups are in Optuna since 2.8, and still called experimental.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return TPESampler(**settings, group=together)
        distributions = {d.name: Axis(d).distribution for d in self.space.dimensions}
        return KnownSpaceTPESampler(distributions, **settings)
