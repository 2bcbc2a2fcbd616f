"""Conditions: the state of an object as a list of aspects, each with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kubestudy.api.meta import Condition, ConditionStatus, condition


def said(
    conditions: Sequence[Condition],
    type_: str,
    holds: bool,
    reason: str,
    message: str,
    now: datetime,
    generation: int | None = None,
) -> list[Condition]:
    """Returns the conditions with one of them said anew; its time moves only with its status."""
    status = ConditionStatus.TRUE if holds else ConditionStatus.FALSE
    before = condition(list(conditions), type_)
    new = Condition(
        type=type_,
        status=status,
        reason=reason,
        message=message[:4096],
        observed_generation=generation,
        last_transition_time=(
            before.last_transition_time
            if before and before.status == status
            else now.replace(microsecond=0)
        ),
    )
    if before is None:
        return [*conditions, new]
    return [new if c.type == type_ else c for c in conditions]
