"""Cross-validation: which trials are not worth their remaining folds."""

from __future__ import annotations

from collections.abc import Sequence

from kubestudy.api.study import Direction, Discard, StudySpec
from kubestudy.core.ranking import leaders
from kubestudy.core.trials import Progress, values_so_far


def hopeless(trials: Sequence[Progress], spec: StudySpec) -> list[Progress]:
    """Finds the trials to discard before all their folds are run.

    The forgiving rule: a trial whose mean over the folds done so far is worse than the worst fold
    of the best trial. The best trial is one that has run all its folds and is feasible. With
    several objectives: worse in every one of them than some trial of the Pareto front.
    """
    validation = spec.cross_validation
    if validation is None or validation.discard != Discard.FORGIVING:
        return []
    bars = [bar for t in leaders(trials, spec) if (bar := _worst(t, spec))]
    found = []
    for t in trials:
        so_far = None if t.finished else values_so_far(t)
        if so_far is None:
            continue
        means = [v.value for v in so_far]
        if any(
            all(o.better(w, m) for o, w, m in zip(spec.objectives, bar, means, strict=True))
            for bar in bars
        ):
            found.append(t)
    return found


def _worst(t: Progress, spec: StudySpec) -> list[float]:
    """The value of a trial's worst fold in each objective."""
    folds = [[v.value for v in r.objectives] for r in t.status.runs or () if r.objectives]
    return [
        min(values) if o.direction == Direction.MAXIMIZE else max(values)
        for o, values in zip(spec.objectives, zip(*folds, strict=True), strict=False)
    ]
