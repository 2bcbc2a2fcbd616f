"""Whether the trials of a Study have stopped getting better."""

from __future__ import annotations

from collections.abc import Sequence

from kubestudy.api.study import StudySpec
from kubestudy.core.pareto import Point
from kubestudy.core.ranking import costs, is_feasible
from kubestudy.core.trials import Progress


def without_improvement(trials: Sequence[Progress], spec: StudySpec) -> int:
    """Counts the trials that have finished since the last one that was an improvement.

    An improvement is a feasible trial that no earlier one is as good as, up to
    ``budget.minImprovement``, in all objectives. With one objective that is a new best, with
    several one that comes onto the Pareto front.

    Args:
        trials: All trials; they count in the order in which they finished, by index at the same
            second.
        spec: The Study's spec.

    Returns:
        How many trials, good or bad; 0 while none has succeeded.
    """
    finished = sorted(
        (t for t in trials if t.finished and t.status.completion_time),
        key=lambda t: (t.status.completion_time, t.trial.spec.index),
    )
    least = spec.budget.min_improvement or 0
    improvements: list[Point] = []
    idle = 0
    for t in finished:
        point = costs(t.status, spec) if is_feasible(t.status, spec) else None
        if point is not None and not any(_as_good(i, point, least) for i in improvements):
            improvements.append(point)
            idle = 0
        elif improvements:
            idle += 1
    return idle


def _as_good(earlier: Point, later: Point, least: float) -> bool:
    """Whether the later one gains no more than the least that counts, in any objective."""
    return all(e - n <= least for e, n in zip(earlier, later, strict=True))
