"""The median stopping rule (Golovin et al., Google Vizier, KDD 2017, section 3.2.2)."""

from __future__ import annotations

from typing import ClassVar

from kubestudy.stopping.percentile import ComparisonSettings, Percentile


class Median(Percentile):
    """Stops a trial that is worse than half of the others were.

    It is stopped if its best value so far is strictly worse than the median of the completed
    trials' running averages up to the same step.
    """

    name: ClassVar[str] = "Median"
    settings_model: ClassVar[type[ComparisonSettings]] = ComparisonSettings
    share = 50.0
    label = "median"
