"""Stopping a trial that is significantly worse than the best one, for noisy folds or steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from kubestudy.api.objectives import Direction
from kubestudy.api.study import StudySpec
from kubestudy.api.validation import FieldError
from kubestudy.stopping.base import Course, Number, Settings, StoppingRule
from kubestudy.stopping.signed_rank import p_value


class WilcoxonSettings(Settings):
    """Settings of the Wilcoxon rule, after Optuna's WilcoxonPruner."""

    p_threshold: Number = Field(
        default=0.1,
        gt=0,
        lt=1,
        description="A trial is stopped if values as bad as its own, or worse, would come up with"
        " less than this probability if it were as good as the best.",
    )
    min_pairs: int = Field(
        default=2,
        ge=1,
        le=10_000,
        description="No trial is stopped before it has this many values to compare.",
    )


class Wilcoxon(StoppingRule):
    """Stops a trial that a signed-rank test finds worse than the best one.

    With cross-validation it compares the values of the folds that are done with those of the same
    folds of the best trial; else the values reported at the same steps, where each step stands
    for a case of its own. The best trial is a feasible one that ran to its end. A trial whose mean
    is no worse than that one's is never stopped.
    """

    name: ClassVar[str] = "Wilcoxon"
    settings_model: ClassVar[type[Settings]] = WilcoxonSettings

    @classmethod
    def check(cls, settings: Settings, spec: StudySpec) -> list[FieldError]:
        """With few folds not even the worst trial would be significantly worse."""
        assert isinstance(settings, WilcoxonSettings)
        if spec.cross_validation is None:
            return []
        folds, threshold = spec.cross_validation.folds, settings.p_threshold
        least = 0.5 ** (folds - 1)
        if least < threshold and settings.min_pairs < folds:
            return []
        needed = max(math.floor(-math.log2(threshold)) + 2, settings.min_pairs + 1)
        return [
            FieldError(
                "earlyStopping.settings",
                f"Wilcoxon could never stop a trial of {folds} folds: before the last fold its"
                f" p-value is at least {least:g}, and pThreshold is {threshold:g}; use at least"
                f" {needed} folds, or a larger pThreshold",
            )
        ]

    def judge(self, trial: Course, fold: int, completed: Sequence[Course]) -> str | None:
        """Tests whether the trial is worse than the best of those that ran to their end."""
        settings, metric = self.settings, self.objective.metric
        assert isinstance(settings, WilcoxonSettings)
        feasible = [c for c in completed if c.status.feasible is not False]
        rated = [(c, v) for c in feasible if (v := c.status.value(metric)) is not None]
        if not rated:
            return None
        sign = 1.0 if self.objective.direction == Direction.MAXIMIZE else -1.0
        best = max(rated, key=lambda r: sign * r[1])[0]  # of equals the earliest
        own, standard = self._values(trial), self._values(best)
        shared = [(own[at], standard[at]) for at in own if at in standard]
        if len(shared) < settings.min_pairs:
            return None
        own_mean, best_mean = (math.fsum(v) / len(shared) for v in zip(*shared, strict=True))
        if not self.objective.better(best_mean, own_mean):
            return None
        p = p_value([sign * (b - a) for a, b in shared])
        if p >= settings.p_threshold:
            return None
        of = "folds" if self.validated else "steps"
        return (
            f"the mean {metric} {own_mean:g} over {len(shared)} {of} is worse than {best_mean:g} of"
            f" {best.trial} over the same (p = {p:.2g}, by Wilcoxon's signed-rank test)"
        )

    def _values(self, course: Course) -> dict[float, float]:
        """The values to compare, by fold or by step."""
        if self.validated:
            return {float(fold): v for fold, v in course.values(self.objective.metric).items()}
        return {p.step: p.value for p in course.points()}
