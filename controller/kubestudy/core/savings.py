"""What stopping trials early has saved, against running each of them to its end."""

from __future__ import annotations

from collections.abc import Sequence

from kubestudy.api.algorithm import Resource
from kubestudy.api.trial import SUCCEEDED
from kubestudy.core.trials import Progress


def saved_at_rungs(trials: Sequence[Progress], resource: Resource) -> int:
    """GPU-seconds that the rest of the resource would have cost the trials that do not run.

    A trial that used g GPU-seconds up to its last rung, at resource r of R, would have used g R/r.
    """
    saved = 0.0
    for t in trials:
        if not t.rungs or t.state == SUCCEEDED or not (t.finished or t.paused):
            continue
        used = sum(run.gpu_seconds for run in t.status.runs or ())
        saved += used * (resource.max / t.rungs[-1].resource - 1)
    return round(saved)
