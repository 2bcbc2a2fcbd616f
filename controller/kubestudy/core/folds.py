"""Cross-validation: which trials are not worth their remaining folds."""

from __future__ import annotations

from collections.abc import Sequence

from kubestudy.api.study import Direction, Discard, StudySpec
from kubestudy.core.trials import Progress, leader, values_so_far


def hopeless(trials: Sequence[Progress], spec: StudySpec) -> list[Progress]:
    """Finds the trials to discard before all their folds are run.

    The forgiving rule: a trial whose mean over the folds done so far is worse than the worst fold
    of the best trial. The best trial is one that has run all its folds.
    """
    validation, objective = spec.cross_validation, spec.objective
    if validation is None or validation.discard != Discard.FORGIVING:
        return []
    best = leader(trials, objective)
    values = [
        v.value
        for run in (best.status.runs if best else None) or ()
        for v in run.objectives or ()
        if v.metric == objective.metric
    ]
    if not values:
        return []
    worst = min(values) if objective.direction == Direction.MAXIMIZE else max(values)
    found = []
    for t in trials:
        if t.finished:
            continue
        so_far = values_so_far(t)
        if so_far is not None and objective.better(worst, so_far[0].value):
            found.append(t)
    return found
