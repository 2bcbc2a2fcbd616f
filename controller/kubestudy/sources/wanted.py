"""The metrics that a Study asks for, and which values end a trial."""

from __future__ import annotations

import math

from kubestudy.api.study import StudySpec

LOSS = "loss"
RESERVED = frozenset({"seq", "step", "epoch", "fold", "time", "final"})
"""What a report says beside its metrics; no metric that nobody asked for has such a name."""


def wanted(spec: StudySpec) -> frozenset[str]:
    """The metrics that a Study decides by: those of its objectives and of its constraints."""
    return frozenset(spec.owed)


def is_told(name: str, value: float, wanted: frozenset[str]) -> bool:
    """Whether a value is passed on.

    One that is not finite fails the trial. So it is passed on only where it means that: of a metric
    that the Study asks for, or of a loss. The gradient's norm may well be infinite for a step.
    """
    return math.isfinite(value) or name in wanted or name == LOSS or name.endswith(f"_{LOSS}")
