"""Stopping by a percentile of what other trials had at the same step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from kubestudy.api.objectives import Direction
from kubestudy.stopping.base import Course, Number, PeriodicSettings, StoppingRule


class ComparisonSettings(PeriodicSettings):
    """Settings of a rule that compares a trial with those that ran to their end."""

    startup_trials: int = Field(
        default=5,
        ge=1,
        le=10_000,
        description="No trial is stopped before this many have run to their end and have reported"
        " up to the step in question.",
    )


class PercentileSettings(ComparisonSettings):
    """Settings of the percentile rule."""

    percentile: Number = Field(
        default=25.0,
        gt=0,
        lt=100,
        description="Per cent of the completed trials: a trial goes on while it is at least as"
        " good as the worst of the best so many. Small values stop much, large ones little.",
    )


class Percentile(StoppingRule):
    """Stops a trial that is not among the best few per cent.

    It is stopped if its best value so far is strictly worse than the percentile of the completed
    trials' running averages up to the same step; between two trials it is interpolated linearly.
    """

    name: ClassVar[str] = "Percentile"
    settings_model: ClassVar[type[ComparisonSettings]] = PercentileSettings

    @property
    def share(self) -> float:
        """Per cent of the completed trials that set the standard."""
        assert isinstance(self.settings, PercentileSettings)
        return self.settings.percentile

    @property
    def label(self) -> str:
        """What a message calls the standard."""
        return f"best {self.share:g} %"

    def judge(self, trial: Course, fold: int, completed: Sequence[Course]) -> str | None:
        """Compares the best value so far with the standard at the same step."""
        settings = self.settings
        assert isinstance(settings, ComparisonSettings)
        point = settings.judged(trial, fold)
        if point is None or point.best is None:
            return None
        peers = [p for c in completed if (p := c.at(point.step, fold)) is not None]
        averages = [p.mean for p in peers if p.mean is not None]
        if len(averages) < settings.startup_trials:
            return None
        standard = quantile(
            averages, self.share / 100, self.objective.direction == Direction.MAXIMIZE
        )
        if not self.objective.better(standard, point.best):
            return None
        return (
            f"{self.objective.metric} {point.best:g} at {self.where(point, fold)}"
            f" is worse than the {self.label} {standard:g} of {len(averages)} trials"
        )


def quantile(values: Sequence[float], share: float, best_is_largest: bool) -> float:
    """The value that a share of the values, the best ones, are at least as good as.

    Args:
        values: At least one.
        share: Between 0 and 1.
        best_is_largest: Whether large values are the good ones.

    Returns:
        A value of the list or, between two of them, the linear interpolation; for a share of one
        half the median.
    """
    ranked = sorted(values, reverse=best_is_largest)
    place = share * (len(ranked) - 1)
    below, beyond = ranked[math.floor(place)], ranked[math.ceil(place)]
    part = place - math.floor(place)
    # Weights in this form, so that two values half way give their exact mean without overflow.
    return below if below == beyond else below * (1 - part) + beyond * part
