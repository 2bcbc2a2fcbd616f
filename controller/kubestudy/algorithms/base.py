"""What a search algorithm is: a pure function from (seed, index, history) to a point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from kubestudy.algorithms.space import SearchSpace
from kubestudy.api.algorithm import Resource
from kubestudy.api.objectives import Objective
from kubestudy.api.parameters import Assignment
from kubestudy.api.validation import FieldError


class Settings(BaseModel):
    """Settings of an algorithm; the base has none. Names are written in camelCase by users."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Observed:
    """What is known of a trial that was suggested before.

    Attributes:
        index: Its place in the sequence of suggestions.
        assignment: Its parameters.
        values: Its objective values in the order of the Study's objectives; None while it runs
            and where it failed.
        failed: Whether it ended without values.
        rungs: With a multi-fidelity algorithm, (resource, value of the first objective) at each
            rung that it has reached, lowest first; of a trial that was stopped early, where it
            was stopped.
        violations: By how much it violates each metric constraint, in the order of the Study's
            constraints; at most 0 where it keeps to it. Empty where nothing is known.
    """

    index: int
    assignment: Assignment
    values: tuple[float, ...] | None = None
    failed: bool = False
    rungs: tuple[tuple[int, float], ...] = ()
    violations: tuple[float, ...] = ()


class SuggestionError(Exception):
    """An algorithm could not make a suggestion; the message says why."""


class SearchAlgorithm(ABC):
    """Base of all algorithms.

    A suggestion depends on nothing but the arguments: no global random state, no memory of
    earlier calls that a restart would lose.

    Attributes:
        name: What a Study's ``algorithm.type`` says.
        adaptive: Whether a suggestion depends on the values of earlier trials.
        multi_fidelity: Whether it gives a trial its resource bit by bit.
        settings_model: The settings that it takes.
        one_objective: Whether it has no sense of several objectives.
        repeats: Whether it suggests a configuration again where that makes sense to it.
        all_suggested: Why a Study ends that has run all of its suggestions, and the same for a
            person, with a place for their number.
    """

    name: ClassVar[str]
    adaptive: bool = False
    multi_fidelity: ClassVar[bool] = False
    settings_model: ClassVar[type[Settings]] = Settings
    one_objective: ClassVar[bool] = False
    repeats: ClassVar[bool] = False
    all_suggested: ClassVar[tuple[str, str]] = (
        "SearchSpaceExhausted",
        "all {} points of the search space were tried",
    )

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        settings: Settings | None = None,
        objectives: Sequence[Objective] = (),
        resource: Resource | None = None,
        synchronous: bool = False,
    ):
        self.space = space
        self.seed = seed
        self.settings = settings or self.settings_model()
        self.objectives = objectives
        self.resource = resource
        self.synchronous = synchronous

    @classmethod
    def check(cls, space: SearchSpace) -> list[FieldError]:
        """Says what about a search space this algorithm cannot handle.

        Args:
            space: The search space of a Study.

        Returns:
            Errors whose fields are relative to the Study's spec; empty where all is well.
        """
        return []

    @property
    def size(self) -> int | None:
        """How many suggestions there are before the space is exhausted; None where it never is."""
        return None

    @property
    def trials(self) -> int | None:
        """How many trials it asks for by itself; None where that is the budget's to say."""
        return None

    def is_due(self, index: int, history: Sequence[Observed]) -> bool:
        """Whether a trial can be suggested by now; what comes after one that cannot is not asked.

        Args:
            index: The trial's place in the sequence.
            history: All trials suggested so far, sorted by index.
        """
        return True

    @abstractmethod
    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """Suggests the point of a trial.

        Args:
            index: The trial's place in the sequence, from 0 and below ``size``. Where there is
                no ``size``, an index beyond those of trials asks again after a suggestion was
                turned down: with the same history it leads to another point.
            history: All trials suggested so far, sorted by index.

        Returns:
            The values of the parameters, by name, in the order of the search space.

        Raises:
            SuggestionError: A sampler that is not our own has failed.
        """
