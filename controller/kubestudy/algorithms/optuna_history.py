"""The history of a Study as an Optuna study in memory, kept between suggestions.

What is kept is a cache and nothing else: it always equals the study that would be built anew from
the history sorted by index, so that a restart changes no suggestion. Building a study of 10,000
trials takes a second; keeping up with what changed takes next to nothing.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from kubestudy.algorithms.base import Observed
from kubestudy.algorithms.space import Dimension, SearchSpace
from kubestudy.api.objectives import Direction, Objective
from kubestudy.api.parameters import Assignment, Value

if TYPE_CHECKING:
    import optuna

KEPT_STUDIES = 64
"""How many Studies are kept; one more, and the one used longest ago is let go."""

MOST_CATEGORIES = 6
"""A list of more numbers than this is an ordered axis."""


def seed_of_suggestion(seed: int, index: int) -> int:
    """The seed of the sampler that makes one suggestion; Optuna takes 32 bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest()[:4])


@dataclass(frozen=True)
class Axis:
    """A dimension as Optuna sees it.

    Strings are categories, and so are a few listed numbers: TPE then finds better points, since its
    kernels on an axis of a few places are as wide as the axis (docs/search-benchmarks.md). Many
    listed numbers are places on an ordered axis, so that it knows neighbours.
    """

    dimension: Dimension

    @cached_property
    def _places(self) -> list[Value] | None:
        listed = self.dimension.parameter.values
        return None if listed is None else sorted(listed, key=float)

    @cached_property
    def distribution(self) -> optuna.distributions.BaseDistribution:
        """The distribution of the dimension's values."""
        from optuna.distributions import (
            CategoricalDistribution,
            FloatDistribution,
            IntDistribution,
        )

        p = self.dimension.parameter
        if p.choices is not None:
            return CategoricalDistribution(p.choices)
        if self._places is not None:
            if len(self._places) <= MOST_CATEGORIES:
                return CategoricalDistribution(range(len(self._places)))
            return IntDistribution(0, len(self._places) - 1)
        assert p.min is not None and p.max is not None
        if p.is_int:
            step = int(p.step or 1)
            high = int(p.min) + (int(p.max) - int(p.min)) // step * step
            return IntDistribution(int(p.min), high, log=self.dimension.is_log, step=step)
        if p.step is not None:
            # Places again: a sum of steps in floating point would miss the exact values.
            return IntDistribution(0, (self.dimension.size or 1) - 1)
        return FloatDistribution(float(p.min), float(p.max), log=self.dimension.is_log)

    def value(self, internal: Any) -> Value:
        """The parameter's value for one of Optuna's."""
        p = self.dimension.parameter
        if self._places is not None:
            return p.typed(self._places[internal])
        if p.choices is None and not p.is_int and p.step is not None:
            return self.dimension.at(internal)
        return p.typed(internal)

    def internal(self, value: Value) -> Any:
        """Optuna's value for one of the parameter's."""
        p = self.dimension.parameter
        if self._places is not None:
            return self._places.index(value)
        if p.choices is None and not p.is_int and p.step is not None:
            return round((float(value) - float(p.min or 0)) / float(p.step))
        return p.typed(value)


class OptunaHistory:
    """Suggests points by an Optuna sampler that is made afresh for each.

    Args:
        space: The search space.
        seed: The Study's seed.
        objectives: What it optimises.
        sampler: Makes a sampler from its seed.
    """

    _kept: ClassVar[OrderedDict[Any, _Mirror]] = OrderedDict()

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        objectives: Sequence[Objective],
        sampler: Callable[[int], optuna.samplers.BaseSampler],
    ):
        self._space, self._seed, self._sampler = space, seed, sampler
        self._directions = tuple(o.direction for o in objectives) or (Direction.MINIMIZE,)
        parameters = tuple(d.parameter.model_dump_json() for d in space.dimensions)
        self._key = (parameters, seed, self._directions)

    def suggest(self, index: int, history: Sequence[Observed]) -> Assignment:
        """Suggests the point of a trial from all other trials, sorted by index.

        Trials of other Studies that it starts from have indexes below 0.
        """
        # Taken out while it is worked with, so that no other thread has it at the same time.
        mirror = self._kept.pop(self._key, None) or _Mirror(self._space, self._directions)
        mirror.follow(history)
        point = mirror.ask(self._sampler(seed_of_suggestion(self._seed, index)))
        self._kept[self._key] = mirror
        while len(self._kept) > KEPT_STUDIES:
            self._kept.popitem(last=False)
        return point


class _Mirror:
    """An Optuna study that holds a history.

    Optuna's storage lets no finished trial change, and none go away. But a trial that was stopped
    at a rung may go on, and a suggestion may come to nothing. So each trial is written anew as a
    whole whenever anything about it has changed, and those beyond the history are taken out.
    """

    def __init__(self, space: SearchSpace, directions: Sequence[Direction]):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._axes = {d.name: Axis(d) for d in space.dimensions}
        self._study = optuna.create_study(
            directions=["maximize" if d == Direction.MAXIMIZE else "minimize" for d in directions]
        )
        self._storage = cast("optuna.storages.InMemoryStorage", self._study._storage)
        self._known: list[Observed] = []

    def follow(self, history: Sequence[Observed]) -> None:
        """Becomes that history, by writing what differs."""
        self._forget_from(len(history))
        for number, (known, now) in enumerate(zip(self._known, history, strict=False)):
            if known is not now and known != now:
                self._known[number] = now
                self._write(number)
        for new in history[len(self._known) :]:
            self._known.append(new)
            self._storage.create_new_trial(self._study._study_id)
            self._write(len(self._known) - 1)

    def ask(self, sampler: optuna.samplers.BaseSampler) -> Assignment:
        """Suggests a point; whether a trial is made of it, the next history tells."""
        self._study.sampler = sampler
        trial = self._study.ask()
        axes = self._axes
        point = self._space.assign(
            lambda d: axes[d.name].value(trial._suggest(d.name, axes[d.name].distribution))
        )
        self._forget_from(trial.number)
        # What a sampler noted on the study would be lost by a restart.
        study = self._storage._studies[self._study._study_id]
        study.system_attrs.clear()
        study.user_attrs.clear()
        return point

    def _forget_from(self, number: int) -> None:
        trials = self._storage._studies[self._study._study_id].trials
        for trial in trials[number:]:
            del self._storage._trial_id_to_study_id_and_number[trial._trial_id]
        del trials[number:], self._known[number:]

    def _write(self, number: int) -> None:
        frozen = self._frozen(self._known[number])
        frozen.number = number
        frozen._trial_id = self._storage.get_trial_id_from_study_id_trial_number(
            self._study._study_id, number
        )
        self._storage._set_trial(frozen._trial_id, frozen)

    def _frozen(self, observed: Observed) -> optuna.trial.FrozenTrial:
        """A trial as Optuna writes it down.

        One that has reached a rung is a pruned one, whether it was stopped there or goes on: Optuna
        ranks those by how far they came and by their last value. As a running one it would
        count as poor without regard to its value, and whether it goes on at this moment says
        nothing about its parameters.
        """
        from optuna.trial import TrialState, create_trial

        rungs = observed.rungs if len(self._study.directions) == 1 else ()
        state = TrialState.RUNNING
        if observed.values is not None:
            state = TrialState.COMPLETE
        elif observed.failed:
            state = TrialState.FAIL
        elif rungs:
            state = TrialState.PRUNED
        return create_trial(
            state=state,
            values=observed.values,
            params={n: self._axes[n].internal(v) for n, v in observed.assignment.items()},
            distributions={n: self._axes[n].distribution for n in observed.assignment},
            intermediate_values=dict(rungs),
            constraints={str(i): v for i, v in enumerate(observed.violations)},
        )
