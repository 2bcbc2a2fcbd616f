"""Stopping beyond fixed bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from kubestudy.api.study import StudySpec
from kubestudy.api.validation import FieldError
from kubestudy.stopping.base import Course, Number, Settings, SteppedSettings, StoppingRule


class ThresholdSettings(SteppedSettings):
    """Settings of the threshold rule."""

    lower: Number | None = Field(
        default=None, description="A trial is stopped once it reports less than this."
    )
    upper: Number | None = Field(
        default=None, description="A trial is stopped once it reports more than this."
    )


class Threshold(StoppingRule):
    """Stops a trial whose first objective goes beyond a bound."""

    name: ClassVar[str] = "Threshold"
    settings_model: ClassVar[type[Settings]] = ThresholdSettings

    @classmethod
    def check(cls, settings: Settings, spec: StudySpec) -> list[FieldError]:
        """Bounds that nothing or everything is beyond."""
        assert isinstance(settings, ThresholdSettings)
        lower, upper = settings.lower, settings.upper
        if lower is None and upper is None:
            return [FieldError("earlyStopping.settings", "Threshold needs lower, upper or both")]
        if lower is not None and upper is not None and lower > upper:
            field = "earlyStopping.settings.lower"
            return [FieldError(field, f"{lower:g} must not be above upper, {upper:g}; swap them")]
        return []

    def judge(self, trial: Course, fold: int, completed: Sequence[Course]) -> str | None:
        """Looks for a value beyond the bounds."""
        settings = self.settings
        assert isinstance(settings, ThresholdSettings)
        for point in trial.points(fold):
            if point.step < settings.min_steps:
                continue
            if settings.lower is not None and point.value < settings.lower:
                bound = f"below lower, {settings.lower:g}"
            elif settings.upper is not None and point.value > settings.upper:
                bound = f"above upper, {settings.upper:g}"
            else:
                continue
            return (
                f"{self.objective.metric} {point.value:g} at {self.where(point, fold)} is {bound}"
            )
        return None
