"""TPE for a search space that is known."""

from __future__ import annotations

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler


class KnownSpaceTPESampler(TPESampler):
    """Optuna's TPE sampler, told the search space.

    Optuna infers the space from all finished trials, which takes most of the time of a suggestion
    by a sampler that is made afresh. What is suggested is the same.

    Args:
        space: The distributions of all parameters; none of them is conditional.
        settings: As TPESampler takes them.
    """

    def __init__(self, space: dict[str, BaseDistribution], **settings: object):
        super().__init__(**settings)  # type: ignore[arg-type]
        self._known_space = {n: d for n, d in sorted(space.items()) if not d.single()}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Returns what is sampled together: everything, or nothing for independent TPE."""
        return self._known_space if self._is_multivariate(study) else {}
