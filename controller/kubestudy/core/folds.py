"""Cross-validation: which trials are not worth their remaining folds."""

from __future__ import annotations

from collections.abc import Sequence

from kubestudy.api.study import Discard, StudySpec
from kubestudy.api.trial import SUCCEEDED
from kubestudy.core.trials import Progress, values_so_far


def hopeless(trials: Sequence[Progress], spec: StudySpec) -> list[Progress]:
    """Finds the trials to discard before all their folds are run.

    The forgiving rule: a trial whose mean over the folds done so far is worse than the worst fold
    of the best trial. The best trial is one that has run all its folds.
    """
    validation, objective = spec.cross_validation, spec.objective
    if validation is None or validation.discard != Discard.FORGIVING:
        return []
    best: Progress | None = None
    best_value = 0.0
    for t in trials:
        value = t.status.value(objective.metric) if t.state == SUCCEEDED else None
        if value is not None and (best is None or objective.better(value, best_value)):
            best, best_value = t, value
    if best is None:
        return []
    worst = best_value
    for run in best.status.runs or ():
        for v in run.objectives or ():
            if v.metric == objective.metric and objective.better(worst, v.value):
                worst = v.value
    found = []
    for t in trials:
        if t.finished:
            continue
        so_far = values_so_far(t)
        if so_far is not None and objective.better(worst, so_far[0].value):
            found.append(t)
    return found
