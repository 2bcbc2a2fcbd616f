"""Cross-validation: which trials are not worth their remaining folds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kubestudy.api.objectives import Direction
from kubestudy.api.repeats import Discard
from kubestudy.api.study import StudySpec
from kubestudy.core.ranking import leaders
from kubestudy.core.trials import Progress

FoldCosts = Mapping[int, tuple[float, ...]]
"""What each fold that is done gave, by its number: the objectives, the smaller the better."""


def hopeless(trials: Sequence[Progress], spec: StudySpec) -> list[Progress]:
    """Finds the trials to discard before all their folds are run.

    The forgiving rule: a trial that is worse than the best trial on the folds that both have run,
    in the mean, by more than one standard error of the best trial's mean. All trials have the same
    folds, so that a hard one is no trial's disadvantage. The best trial is one that has run all its
    folds and is feasible. With several objectives: worse in every one than some trial of the Pareto
    front.

    That few folds are enough to discard most trials, if it is done with some patience, is from
    Bergman, Purucker and Hutter (AutoML 2024), whose rule compares with the best trial's worst
    fold.
    """
    validation = spec.cross_validation
    if validation is None or validation.discard != Discard.FORGIVING or spec.algorithm.resource:
        return []  # at the rungs of a bracket all folds are judged together
    best = [_folds(t, spec) for t in leaders(trials, spec)]
    found = []
    for t in trials:
        done = {} if t.finished else _folds(t, spec)
        if 0 < len(done) < spec.folds and any(_worse(done, other) for other in best):
            found.append(t)
    return found


def _worse(done: FoldCosts, best: FoldCosts) -> bool:
    """Whether some folds are worse than the same folds of a whole trial, beyond doubt."""
    if not done.keys() <= best.keys():
        return False
    ours, theirs = zip(*done.values(), strict=True), zip(*(best[f] for f in done), strict=True)
    whole = zip(*best.values(), strict=True)
    return all(
        _mean(a) > _mean(b) + _standard_error(c)
        for a, b, c in zip(ours, theirs, whole, strict=True)
    )


def _folds(t: Progress, spec: StudySpec) -> FoldCosts:
    signs = [-1 if o.direction == Direction.MAXIMIZE else 1 for o in spec.objectives]
    return {
        fold: tuple(s * v.value for s, v in zip(signs, gave.objectives, strict=True))
        for fold, gave in t.status.folds.items()
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean of two values or more."""
    mean, count = _mean(values), len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (count - 1) / count)
