"""What a rule of early stopping is: a pure function of what trials have reported so far."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from kubestudy.api.study import StudySpec
from kubestudy.api.trial import CurvePoint, TrialStatus
from kubestudy.api.validation import FieldError

Number = Annotated[float, Field(allow_inf_nan=False)]


class Settings(BaseModel):
    """Settings of a rule; users write their names in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=True)


class SteppedSettings(Settings):
    """Settings of a rule that looks at what was reported at which step."""

    min_steps: Number = Field(
        default=0,
        ge=0,
        description="No trial is judged before it has reported this step, in the steps that it"
        " reports.",
    )


@dataclass(frozen=True)
class Course:
    """What a trial has reported, and what its folds gave.

    Attributes:
        trial: Its name.
        status: Its status.
    """

    trial: str
    status: TrialStatus

    def points(self, fold: int = 0) -> list[CurvePoint]:
        """What it reported in one fold, in the order of the reports."""
        return [p for p in self.status.curve or () if (p.fold or 0) == fold]

    def at(self, step: float, fold: int = 0) -> CurvePoint | None:
        """The last of what it reported up to a step; None where that is nothing."""
        for point in reversed(self.status.curve or ()):
            if point.step <= step and (point.fold or 0) == fold:
                return point
        return None

    def values(self, metric: str) -> dict[int, float]:
        """The metric's value of each fold that is done."""
        return {
            fold: v.value
            for fold, gave in self.status.folds.items()
            for v in gave.objectives
            if v.metric == metric
        }


class StoppingRule(ABC):
    """Base of all rules.

    A verdict depends on nothing but the arguments, which are stored with the trials or read again
    from their logs: a controller that is restarted comes to the same.

    Args:
        settings: Its settings.
        spec: The spec of the Study, whose first objective it judges by.

    Attributes:
        name: What a Study's ``earlyStopping.type`` says.
        settings_model: The settings that it takes.
        keeps_value: Whether a run that it ends has nothing more to gain, so that it counts as
            done, with the value that it has; else the trial counts as stopped.
    """

    name: ClassVar[str]
    settings_model: ClassVar[type[Settings]] = Settings
    keeps_value: ClassVar[bool] = False

    def __init__(self, settings: Settings, spec: StudySpec):
        self.settings = settings
        self.objective = spec.objective
        self.validated = spec.cross_validation is not None

    @classmethod
    def check(cls, settings: Settings, spec: StudySpec) -> list[FieldError]:
        """Says why the rule could never do anything in a Study.

        Returns:
            Errors whose fields are relative to the Study's spec; empty where all is well.
        """
        return []

    @abstractmethod
    def judge(self, trial: Course, fold: int, completed: Sequence[Course]) -> str | None:
        """Says why a trial that runs should not go on.

        Args:
            trial: What it has reported so far.
            fold: Which of its folds is judged; 0 where there is no cross-validation.
            completed: The trials that ran to their end, by index.

        Returns:
            The reason for a person, with its numbers; None where the trial goes on.
        """

    def where(self, point: CurvePoint, fold: int) -> str:
        """Names a place in a trial's course."""
        return f"step {point.step:g}" + (f" of fold {fold}" if self.validated else "")


class PeriodicSettings(SteppedSettings):
    """Settings of a rule that looks at a trial at certain steps."""

    interval: Number = Field(
        default=0,
        ge=0,
        description="A trial is judged by what it reported up to minSteps + k * interval, for the"
        " largest k that it has come to; with 0 by all that it reported.",
    )

    def judged(self, course: Course, fold: int) -> CurvePoint | None:
        """Where a trial is to be judged; None where it has not come so far."""
        points = course.points(fold)
        if not points or points[-1].step < self.min_steps:
            return None
        if not self.interval:
            return points[-1]
        whole = math.floor((points[-1].step - self.min_steps) / self.interval)
        return course.at(self.min_steps + whole * self.interval, fold)
