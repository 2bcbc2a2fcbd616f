"""Samplers for Optuna that the administrator installed, named by their import path.

Nothing is imported because a Study asks for it: only paths that were allowed by name when the
process began.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, model_validator

from kubestudy.algorithms.base import Observed, SearchAlgorithm, Settings, SuggestionError
from kubestudy.algorithms.optuna_history import OptunaHistory
from kubestudy.algorithms.space import SearchSpace
from kubestudy.api.parameters import Assignment
from kubestudy.api.validation import FieldError

if TYPE_CHECKING:
    import optuna

_allowed: set[str] = set()


def allow(paths: Iterable[str]) -> None:
    """Lets Studies name these samplers, for as long as the process lives.

    Args:
        paths: Import paths of classes, such as ``mypackage.samplers.MySampler``.
    """
    _allowed.update(paths)


def allowed(path: str) -> type[SearchAlgorithm] | None:
    """The algorithm of an import path; None where that path is not allowed."""
    return _algorithm(path) if path in _allowed else None


@cache
def _algorithm(path: str) -> type[SearchAlgorithm]:
    class SamplerSettings(Settings):
        """Arguments of the sampler's constructor, by their own names."""

        model_config = ConfigDict(extra="allow", frozen=True)

        @model_validator(mode="after")
        def _makes_a_sampler(self) -> Self:
            arguments = self.model_dump()
            if "seed" in arguments:
                raise ValueError("seed is no setting; give algorithm.seed")
            try:
                found = _sampler_class(path)
            except Exception:
                return self  # check() tells
            try:
                _made(found, arguments, 0)
            except Exception as error:
                raise ValueError(f"{path} refuses them: {error}") from error
            return self

    class Sampler(SearchAlgorithm):
        """Suggests by a sampler that is made afresh for each suggestion.

        What a sampler remembers between suggestions, other than the trials' parameters and values,
        it forgets: a restart of the controller would lose it.
        """

        name: ClassVar[str] = path
        adaptive = True
        settings_model: ClassVar[type[Settings]] = SamplerSettings

        @classmethod
        def check(cls, space: SearchSpace) -> list[FieldError]:
            """The class has to be there."""
            try:
                _sampler_class(path)
            except Exception as error:
                message = f"{path} cannot be used here: {error}"
                return [FieldError("algorithm.type", message)]
            return []

        def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
            """Suggests a point from all trials so far."""
            found, arguments = _sampler_class(path), self.settings.model_dump()
            optuna_history = OptunaHistory(
                self.space, self.seed, self.objectives, lambda seed: _made(found, arguments, seed)
            )
            try:
                return optuna_history.suggest(index, history)
            except Exception as error:  # whatever a sampler of others raises
                raise SuggestionError(f"{path} failed: {error}") from error

    return Sampler


def _sampler_class(path: str) -> type[optuna.samplers.BaseSampler]:
    from optuna.samplers import BaseSampler

    module, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    if not (inspect.isclass(found) and issubclass(found, BaseSampler)):
        raise TypeError("it is no subclass of optuna.samplers.BaseSampler")
    return found


def _made(
    found: type[optuna.samplers.BaseSampler], arguments: dict[str, Any], seed: int
) -> optuna.samplers.BaseSampler:
    takes_seed = "seed" in inspect.signature(found).parameters
    return found(**({"seed": seed} if takes_seed else {}), **arguments)
