"""TPE for a search space that is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial

NUMBERS = "kubestudy:numbers"
"""The attribute of a trial that holds its parameters as the numbers that TPE works with."""


class KnownSpaceTPESampler(TPESampler):
    """Optuna's TPE sampler, told the search space.

    For each suggestion, Optuna infers the space from all finished trials and turns all their
    parameters into numbers, which takes most of its time. Here the space is given, and a trial
    keeps its numbers. What is suggested is the same.

    Args:
        space: The distributions of all parameters; none of them is conditional.
        settings: As TPESampler takes them.
    """

    def __init__(self, space: dict[str, BaseDistribution], **settings: object):
        super().__init__(**settings)  # type: ignore[arg-type]
        self._known_space = {n: d for n, d in sorted(space.items()) if not d.single()}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Returns what is sampled together: everything, or nothing for independent TPE."""
        return self._known_space if self._is_multivariate(study) else {}

    def _get_internal_repr(
        self,
        trials: Sequence[FrozenTrial],
        search_space: dict[str, BaseDistribution],
        study: optuna.Study,
    ) -> dict[str, NDArray[np.float64]]:
        rows = np.array([self._numbers(t) for t in trials]).reshape(-1, len(self._known_space))
        return {
            name: column.astype(int if isinstance(d, CategoricalDistribution) else float)
            for (name, d), column in zip(self._known_space.items(), rows.T, strict=True)
            if name in search_space
        }

    def _numbers(self, trial: FrozenTrial) -> tuple[float, ...]:
        numbers: tuple[float, ...] | None = trial.system_attrs.get(NUMBERS)
        if numbers is None:
            values = trial.params
            numbers = tuple(d.to_internal_repr(values[n]) for n, d in self._known_space.items())
            trial.system_attrs[NUMBERS] = numbers
        return numbers
