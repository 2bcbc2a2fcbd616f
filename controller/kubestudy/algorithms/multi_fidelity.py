"""What the algorithms have in common that give a trial its resource bit by bit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from kubestudy.algorithms.base import Observed, SearchAlgorithm, Settings
from kubestudy.algorithms.rungs import Bracket
from kubestudy.algorithms.space import SearchSpace
from kubestudy.api.algorithm import Resource
from kubestudy.api.objectives import Objective
from kubestudy.api.parameters import Assignment


class MultiFidelity(SearchAlgorithm):
    """Suggests as its sampler does, and puts each trial into a bracket."""

    multi_fidelity: ClassVar[bool] = True
    all_suggested: ClassVar[tuple[str, str]] = (
        "BracketsFilled",
        "all {} trials of the brackets were started",
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
        super().__init__(space, seed, settings, objectives, resource, synchronous)
        self.sampler = self.sampler_type(space, seed, objectives=objectives, resource=resource)
        self.adaptive = self.sampler.adaptive

    @property
    @abstractmethod
    def sampler_type(self) -> type[SearchAlgorithm]:
        """What suggests the points."""

    @property
    @abstractmethod
    def brackets(self) -> tuple[Bracket, ...]:
        """The brackets that trials are put into."""

    @abstractmethod
    def bracket(self, index: int) -> int:
        """Which of the brackets a trial belongs to."""

    def iteration(self, index: int) -> int:
        """Which iteration a trial belongs to; synchronous rungs wait for those of their own."""
        return 0

    @property
    def size(self) -> int | None:
        """The points of the space, where their number is known."""
        return self.sampler.size

    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """Suggests a point as the sampler does."""
        return self.sampler.suggest(index, history)
