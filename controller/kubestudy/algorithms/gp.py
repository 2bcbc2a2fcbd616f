"""Bayesian optimisation with a Gaussian process (Jones et al., J. Global Optim. 13, 1998)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kubestudy.algorithms import sobol
from kubestudy.algorithms.base import Observed, SearchAlgorithm, Settings
from kubestudy.algorithms.encoding import (
    Coordinate,
    cost,
    needs_no_conditions,
    needs_numpy,
    violation,
)
from kubestudy.algorithms.optuna_history import seed_of_suggestion
from kubestudy.algorithms.space import SearchSpace
from kubestudy.api.parameters import Assignment
from kubestudy.api.validation import FieldError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

MOST, MOST_AT_RUNGS = 1000, 300
"""Values that a suggestion takes into account: beyond it, the best half and the newest half."""

STARTUP_AT_RUNGS = 5
"""Trials with a value before it models anything, where trials have values at rungs."""

FITTED, FITTED_AT_RUNGS = 150, 80
"""Values that length scales are fitted to: beyond it, the best half and others evenly."""


class GPSettings(Settings):
    """Settings of GP."""

    startup_trials: int = Field(
        default=10,
        ge=2,
        le=10_000,
        alias="startupTrials",
        description="Trials with a value before it models anything; until then points are Sobol's.",
    )
    candidates: int = Field(
        default=512, ge=16, le=10_000, description="Points that each search begins with."
    )


class GP(SearchAlgorithm):
    """Few and expensive trials, few parameters, a smooth objective.

    An exact Gaussian process with a Matérn 5/2 kernel; of many points, the one with the largest
    logarithm of the expected improvement (Ament et al., NeurIPS 2023). Trials that still run count
    with the value that is predicted for them (the kriging believer; Ginsbourger et al., 2010),
    failed ones with the worst value seen. Each choice is a feature of its own. A suggestion
    takes time that grows with the cube of the trials, about a second at 1,000; beyond
    that, it takes the best 500 and the newest 500 into account.

    As the sampler of trials with rungs, it learns from their values at every rung: how far a trial
    had come is one feature more, and what is expected is the improvement at the end (after Klein et
    al., arXiv 2003.10865).
    """

    name: ClassVar[str] = "GP"
    adaptive = True
    settings_model: ClassVar[type[Settings]] = GPSettings
    one_objective: ClassVar[bool] = True

    @classmethod
    def check(cls, space: SearchSpace) -> list[FieldError]:
        """All parameters have to be there at once."""
        return [*needs_numpy(cls.name), *needs_no_conditions(cls.name, space)]

    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """Suggests the most promising of many points."""
        assert isinstance(self.settings, GPSettings)
        coordinates = [Coordinate(d) for d in self.space.dimensions]
        startup = self.settings.startup_trials if self.resource is None else STARTUP_AT_RUNGS
        seen = list(self._seen(history))
        if len({o.index for _, o in seen if o.values}) < startup:
            units = sobol.units(max(index, 0), len(coordinates), self.seed)
        else:
            seed = seed_of_suggestion(self.seed, index)
            units = self._most_promising(coordinates, seen, history, seed)
        return {c.dimension.name: c.value(u) for c, u in zip(coordinates, units, strict=True)}

    def _seen(self, history: Sequence[Observed]) -> Iterator[tuple[float, Observed]]:
        """Each value of a trial as if it were its last, after how far the trial had come: 0 to 1.

        The least of the resource is 0, the whole of it 1.
        """
        for o in history:
            if self.resource is not None:
                low, high = self.resource.min, self.resource.max
                for at, value in o.rungs:
                    if at < high:
                        level = math.log(at / low) / math.log(high / low)
                        yield level, replace(o, values=(value,))
            if o.values is not None or o.failed:
                yield 1.0, o

    def _most_promising(
        self,
        coordinates: Sequence[Coordinate],
        seen: Sequence[tuple[float, Observed]],
        history: Sequence[Observed],
        seed: int,
    ) -> list[float]:
        import numpy as np

        from kubestudy.algorithms.numeric.gaussian import (
            GaussianProcess,
            fitted,
            log_expected_improvement,
        )

        def features(points: Array, levels: Array | float = 1.0) -> Array:
            found = _features(coordinates, points)
            if self.resource is None:
                return found
            return np.column_stack([found, np.broadcast_to(levels, len(found))])

        assert isinstance(self.settings, GPSettings)
        costs = self._costs([o for _, o in seen])
        kept = _best_and_newest(costs, MOST if self.resource is None else MOST_AT_RUNGS)
        units = np.array([_units(coordinates, seen[i][1]) for i in kept])
        x, y = features(units, np.array([seen[i][0] for i in kept])), costs[kept]
        y = (y - y.mean()) / max(float(y.std()), 1e-12)
        some = _best_and_even(y, FITTED if self.resource is None else FITTED_AT_RUNGS)
        theta = fitted(x[some], y[some])
        process = GaussianProcess(x, y, theta)
        best = float(process.mean(features(units)).min())
        unseen = {o.index for o in history} - {o.index for _, o in seen}
        pending = [o for o in history if o.index in unseen]
        if pending:
            there = features(np.array([_units(coordinates, o) for o in pending]))
            believed = process.mean(there)
            process = GaussianProcess(np.vstack([x, there]), np.append(y, believed), theta)
            best = min(best, float(believed.min()))
        tried: set[bytes] = set()
        if self.space.grid_size is not None:
            known = features(np.array([_units(coordinates, o) for o in history]))
            tried = {f.tobytes() for f in known}

        def worth(points: Array) -> Array:
            x = features(points)
            mean, deviation = process.predict(x)
            worths = log_expected_improvement(mean, deviation, best)
            return np.where([f.tobytes() in tried for f in x], -np.inf, worths) if tried else worths

        leaders = units[np.argsort(y, kind="stable")[:5]]
        return _largest(worth, leaders, self.settings.candidates, np.random.default_rng(seed))

    def _costs(self, ended: Sequence[Observed]) -> Array:
        """What is modelled: less is better; failed and infeasible trials are no better than any.

        What is far above the median is cut, since how bad a bad trial is teaches nothing about the
        good ones.
        """
        import numpy as np

        known = np.array([cost(o, self.objectives)[0] for o in ended if o.values is not None])
        worst, spread = float(known.max()), max(float(known.max() - known.min()), 1e-12)
        costs = np.array(
            [
                worst
                if o.values is None
                else worst + spread * min(violation(o), 1.0)
                if violation(o) > 0
                else cost(o, self.objectives)[0]
                for o in ended
            ]
        )
        median = float(np.median(costs))
        return np.asarray(np.minimum(costs, median + 2 * (median - float(costs.min()))))


def _largest(
    worth: Callable[[Array], Array], leaders: Array, candidates: int, rng: np.random.Generator
) -> list[float]:
    """The point worth most: of random ones and some near leaders, then ever nearer to the best."""
    import numpy as np

    near = leaders[rng.integers(len(leaders), size=candidates // 2)]
    near = near + rng.normal(0, 0.1, near.shape) * (rng.random(near.shape) < 0.5)
    points = np.vstack([rng.random((candidates, leaders.shape[1])), near]).clip(0, 1)
    values = worth(points)
    for width in (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003):
        top = points[np.argsort(-values, kind="stable")[:4]]
        moved = np.repeat(top, 24, axis=0)
        moved = (moved + rng.normal(0, width, moved.shape)).clip(0, 1)
        points = np.vstack([top, moved])
        values = worth(points)
    return [float(u) for u in points[int(values.argmax())]]


def _units(coordinates: Sequence[Coordinate], o: Observed) -> list[float]:
    return [c.unit(o.assignment[c.dimension.name]) for c in coordinates]


def _features(coordinates: Sequence[Coordinate], units: Array) -> Array:
    """What the kernel sees: where each value that units stand for lies, and each choice's own."""
    import numpy as np

    columns: list[Array] = []
    for c, column in zip(coordinates, units.T, strict=True):
        choices = c.dimension.parameter.choices
        if choices is not None:
            place = np.minimum((column * len(choices)).astype(int), len(choices) - 1)
            columns += list((place[None] == np.arange(len(choices))[:, None]) / 2**0.5)
        elif c.width and c.dimension.is_log and c.dimension.parameter.values is None:
            columns.append(np.array([c.unit(c.value(float(u))) for u in column]))
        elif c.dimension.size is not None:
            size = c.dimension.size
            place = np.minimum(np.floor(column * size), size - 1)
            columns.append((place / size + (place + 1) / size) / 2)
        else:
            columns.append(column)
    return np.ascontiguousarray(np.array(columns, dtype=float).T)


def _best_and_newest(costs: Array, most: int) -> list[int]:
    """Places of at most that many, in order."""
    import numpy as np

    if len(costs) <= most:
        return list(range(len(costs)))
    best = np.argsort(costs, kind="stable")[: most // 2]
    rest = sorted(set(range(len(costs))) - {int(i) for i in best})
    return sorted({int(i) for i in best} | set(rest[-(most - len(best)) :]))


def _best_and_even(costs: Array, most: int) -> list[int]:
    """Places of at most that many, in order."""
    import numpy as np

    if len(costs) <= most:
        return list(range(len(costs)))
    best = {int(i) for i in np.argsort(costs, kind="stable")[: most // 2]}
    rest = sorted(set(range(len(costs))) - best)
    return sorted(best | {rest[int(k)] for k in np.linspace(0, len(rest) - 1, most - len(best))})
