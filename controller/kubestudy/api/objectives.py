"""What a Study optimises, and what must hold of its metrics."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from kubestudy.api.base import ApiModel, Rule
from kubestudy.api.parameters import (
    JsonNumber,
)

METRIC_NAME = r"^[A-Za-z_][A-Za-z0-9_./\-]*$"


class Direction(StrEnum):
    """Which way an objective gets better."""

    MAXIMIZE = "Maximize"
    MINIMIZE = "Minimize"


class Strategy(StrEnum):
    """Which of a run's reported values counts."""

    LAST = "Last"
    BEST = "Best"


class Objective(ApiModel):
    """A metric to make as large or as small as possible."""

    metric: str = Field(
        min_length=1,
        max_length=128,
        pattern=METRIC_NAME,
        description="Name of the metric, as the trial reports it.",
    )
    direction: Direction = Field(description="Maximize or Minimize.")
    target: JsonNumber | None = Field(
        default=None,
        description="The Study ends as soon as a trial reaches this value; with several objectives,"
        " as soon as one trial reaches all targets that are set.",
    )
    strategy: Strategy = Field(
        default=Strategy.LAST,
        description="Last: the value reported last counts. Best: the best one reported counts.",
    )

    def better(self, a: float, b: float) -> bool:
        """Whether value ``a`` is strictly better than ``b``."""
        return a > b if self.direction == Direction.MAXIMIZE else a < b

    def reached(self, value: float) -> bool:
        """Whether a value is at the target or beyond it."""
        return self.target is not None and not self.better(self.target, value)


class MetricConstraint(ApiModel):
    """A bound that a trial's metric must keep for the trial to be feasible."""

    metric: str = Field(
        min_length=1, max_length=128, pattern=METRIC_NAME, description="Name of the metric."
    )
    min: JsonNumber | None = Field(default=None, description="Smallest feasible value.")
    max: JsonNumber | None = Field(default=None, description="Largest feasible value.")

    rules: ClassVar = (
        Rule(
            "has(self.min) || has(self.max)",
            lambda s: s.min is not None or s.max is not None,
            "",
            "needs min, max or both",
        ),
        Rule(
            "!(has(self.min) && has(self.max)) || self.min <= self.max",
            lambda s: s.min is None or s.max is None or s.min <= s.max,
            "min",
            "must not be above max; swap them",
        ),
    )
