"""What is tried next: the algorithm's suggestions, and what a Study asks of every one of them.

First come the Study's own initial trials. After them, a point that breaks a constraint, or that was
tried already, is turned down, and the algorithm is asked again. All of it is a function of the
seed, the index and the history, as a suggestion itself is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain

from kubestudy.algorithms.base import Observed, SearchAlgorithm, SuggestionError
from kubestudy.algorithms.random import generator, permuted
from kubestudy.algorithms.space import Dimension, SearchSpace
from kubestudy.api.parameters import Assignment, Value
from kubestudy.api.study import Study, StudySpec
from kubestudy.core.ending import Ending

ASKS = 8
"""How often an adaptive algorithm is asked for one trial before points are drawn at random."""

DRAWS = 10_000
"""How many points are drawn for one trial, at most."""

DRAWING_STEPS = 1_000_000
"""And how many steps of evaluating constraints are taken for them: a fraction of a second."""

APART = 100_003
"""Distance of the indexes of one trial's draws: more than a Study has trials, and a prime, so that
the draws of a quasi-random sequence do not all fall into the same part of the space."""


@dataclass(frozen=True)
class _Definition:
    """What a search space is made from, compared by its text."""

    text: str
    spec: StudySpec

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Definition) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def search_space(spec: StudySpec) -> SearchSpace:
    """The search space of a Study, kept: counting its feasible points may take a second.

    Raises:
        ExpressionError: A constraint is wrong.
    """
    parts = {"parameters", "parameter_constraints"}
    return _search_space(_Definition(spec.model_dump_json(include=parts), spec))


@lru_cache(maxsize=64)
def _search_space(definition: _Definition) -> SearchSpace:
    spec = definition.spec
    return SearchSpace(spec.parameters, spec.parameter_constraints or ())


def number_of_suggestions(algorithm: SearchAlgorithm, spec: StudySpec) -> int | None:
    """How many suggestions there are before nothing is left to try; None where there is no end."""
    points = algorithm.size
    if points is None and not (spec.algorithm.allow_duplicates or algorithm.repeats):
        points = algorithm.space.size
    return min((n for n in (points, algorithm.trials) if n is not None), default=None)


class Suggestions:
    """The suggestions of one Study.

    Args:
        spec: Its spec.
        algorithm: Its algorithm.
        earlier: Trials of other Studies that it starts from, with indexes below 0.

    Attributes:
        steps: How many steps of evaluating constraints were taken so far.
    """

    def __init__(
        self, spec: StudySpec, algorithm: SearchAlgorithm, earlier: Sequence[Observed] = ()
    ):
        self.size = number_of_suggestions(algorithm, spec)
        self.adaptive = algorithm.adaptive
        self._algorithm = algorithm
        self._space = algorithm.space
        self._initial = spec.initial_trials or []
        self.earlier = list(earlier)
        self._duplicates = spec.algorithm.allow_duplicates or algorithm.repeats
        self._draws = min(DRAWS, max(ASKS, DRAWING_STEPS // max(1, self._space.cost)))
        self.steps = 0

    @property
    def exhausted(self) -> Ending:
        """Why a Study ends that has a trial of every suggestion."""
        reason, message = self._algorithm.all_suggested
        return Ending(reason, message.format(self.size))

    @property
    def needs_history(self) -> bool:
        """Whether a suggestion depends on other trials at all."""
        return self.adaptive or (self._algorithm.size is None and not self._duplicates)

    def suggest(self, index: int, history: Sequence[Observed]) -> Assignment | Ending:
        """Suggests the point of a trial.

        Args:
            index: The trial's place in the sequence, from 0 and below ``size``.
            history: All other trials of the Study, sorted by index; may be left empty where it is
                not needed.

        Returns:
            The point; or why the search ends, if no feasible point was found, or none that was not
            tried, or if the sampler has failed.
        """
        fixed = self._initial[index] if index < len(self._initial) else {}
        if self._algorithm.size is not None:
            return self._numbered(index)
        if self._space.contains(fixed):
            return self._space.ordered(fixed)
        try:
            found = self._found(index, fixed, history)
            if fixed and isinstance(found, Ending):
                # Every way to complete the initial trial was tried: its place is the algorithm's.
                found = self._found(index, {}, history)
        except SuggestionError as error:  # of a sampler that is not our own
            return Ending("SamplerFailed", str(error), good=False)
        return found

    def _found(
        self, index: int, fixed: Assignment, history: Sequence[Observed]
    ) -> Assignment | Ending:
        """The first point drawn that keeps the constraints and was not tried."""
        repeated: Assignment | None = None
        broken = ""
        for point in self._drawn(index, fixed, history):
            self.steps += self._space.cost
            constraint = self._space.broken_by(point)
            if constraint is not None:
                broken = constraint.message or constraint.expression
            elif self._duplicates or self._is_new(point, index, history):
                return point
            else:
                repeated = repeated or point
        if repeated is None:
            return _infeasible(broken, self._draws)
        if self._space.grid_size is None:
            return repeated
        return Ending(
            "SearchSpaceExhausted", f"{self._draws} draws found no point that was not tried"
        )

    def _is_new(self, point: Assignment, index: int, history: Sequence[Observed]) -> bool:
        """Whether a point was not tried, and is no initial trial that is still to come."""
        to_come = self._initial[index + 1 :]
        return point not in to_come and all(o.assignment != point for o in history)

    def _drawn(
        self, index: int, fixed: Assignment, history: Sequence[Observed]
    ) -> Iterator[Assignment]:
        """Points for a trial: as the algorithm suggests, then at random, then all there are."""
        known = [*self.earlier, *history]
        for draw in range(self._draws):
            of_draw = index + draw * APART
            if self.adaptive and draw >= ASKS:
                yield self._completed(fixed, {}, of_draw)
            else:
                yield self._completed(fixed, self._algorithm.suggest(of_draw, known), of_draw)
        size = self._space.size or 0
        for place in range(size):
            point = self._space.point(permuted(place, size, self._algorithm.seed))
            if fixed.items() <= point.items():
                yield point

    def _completed(self, fixed: Assignment, drawn: Assignment, index: int) -> Assignment:
        """A point with some of its values fixed; what becomes active by them is drawn."""
        if drawn and not fixed:
            return drawn
        rng = generator(self._algorithm.seed, index)

        def value(dimension: Dimension) -> Value:
            known = fixed.get(dimension.name, drawn.get(dimension.name))
            return dimension.from_unit(rng.random()) if known is None else known

        return self._space.assign(value)

    def _numbered(self, index: int) -> Assignment:
        """The point of an index where the algorithm gives every point once.

        An initial trial that comes later in its sequence changes places with what the
        algorithm has for the initial trial's index.
        """
        if index < len(self._first):
            return self._first[index]
        point = self._algorithm.suggest(index)
        return self._moved.get(_key(point), point)

    @cached_property
    def _first(self) -> list[Assignment]:
        """The initial trials, whole and all different."""
        found: list[Assignment] = []
        total = self._algorithm.size or 0
        for i, fixed in enumerate(self._initial[:total]):
            places = [(i + k) % total for k in range(min(total, DRAWS))]
            own = map(self._algorithm.suggest, places)
            filled = (self._completed(fixed, self._algorithm.suggest(j), j) for j in places)
            taken = [*found, *self._initial[i + 1 :]]
            new = (p for p in chain(filled, own) if p not in taken)
            found.append(next(p for p in new if self._space.broken_by(p) is None))
        return found

    @cached_property
    def _moved(self) -> dict[frozenset[tuple[str, Value]], Assignment]:
        """What comes in the place of the initial trials in the algorithm's sequence."""
        displaced = [self._algorithm.suggest(i) for i in range(len(self._first))]
        gone = [p for p in self._first if p not in displaced]
        left = [p for p in displaced if p not in self._first]
        return {_key(p): other for p, other in zip(gone, left, strict=True)}


def _key(point: Assignment) -> frozenset[tuple[str, Value]]:
    return frozenset(point.items())


def _infeasible(broken: str, draws: int) -> Ending:
    return Ending(
        "NoFeasiblePoint",
        f"{draws} draws found no point that keeps spec.parameterConstraints; the last one broke:"
        f" {broken}",
        good=False,
    )


def seed_of(study: Study) -> int:
    """The seed of a Study: the one it names, the one it was told before, or one from its UID."""
    if study.spec.algorithm.seed is not None:
        return study.spec.algorithm.seed
    if study.status and study.status.seed is not None:
        return study.status.seed
    digest = hashlib.sha256((study.metadata.uid or study.key).encode()).digest()
    return int.from_bytes(digest[:4])
