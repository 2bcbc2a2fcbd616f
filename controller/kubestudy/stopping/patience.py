"""Ending a run that no longer gets better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from kubestudy.stopping.base import Course, Number, Settings, SteppedSettings, StoppingRule


class PatienceSettings(SteppedSettings):
    """Settings of the patience rule, by the words of Optuna's PatientPruner."""

    patience: int = Field(
        default=10, ge=1, le=1_000_000, description="How many reports to wait for an improvement."
    )
    min_delta: Number = Field(
        default=0,
        ge=0,
        description="Only what is better by more than this is an improvement.",
    )


class Patience(StoppingRule):
    """Ends a run that has not improved for a number of reports.

    The run has converged, and nothing is wrong with it: it counts as done, and its value, by the
    objective's strategy, counts as that of any other.
    """

    name: ClassVar[str] = "Patience"
    settings_model: ClassVar[type[Settings]] = PatienceSettings
    keeps_value: ClassVar[bool] = True

    def judge(self, trial: Course, fold: int, completed: Sequence[Course]) -> str | None:
        """Counts the reports since the last improvement.

        Of a course that was thinned, the improvement is taken to be as late as it may have been.
        """
        settings = self.settings
        assert isinstance(settings, PatienceSettings)
        points = [p for p in trial.points(fold) if p.best is not None and p.reports is not None]
        if not points or points[-1].step < settings.min_steps:
            return None
        # Both are None for none of them; the type checker cannot know.
        bests = [(p.best or 0.0, p.reports or 0) for p in points]
        standard, improved = bests[0]
        for best, reports in bests[1:]:
            gain = abs(best - standard) if self.objective.better(best, standard) else 0.0
            if gain > settings.min_delta:
                standard, improved = best, reports
        idle = bests[-1][1] - improved
        if idle < settings.patience:
            return None
        by = f" by more than {settings.min_delta:g}" if settings.min_delta else ""
        return (
            f"{self.objective.metric} has not improved on {standard:g}{by} in {idle} reports,"
            f" up to {self.where(points[-1], fold)}"
        )
