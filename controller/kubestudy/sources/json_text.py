"""What the sources share: JSON that a program we know nothing of has written."""

from __future__ import annotations

import json
from typing import Any

from kubestudy.api.trial import MAX_METRIC_NAME


def json_object(text: str) -> dict[str, Any] | None:
    """Reads one JSON object; None where the text is anything else."""
    if not text.startswith("{"):
        return None
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def number(value: object) -> float | None:
    """A JSON number as a float; None where it is none, or beyond a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def number_in(value: object) -> float | None:
    """The same, also of a number that is written as text, such as ``"0.5"`` or ``"nan"``."""
    if not isinstance(value, str):
        return number(value)
    if len(value) > 64 or "_" in value:
        return None
    try:
        return float(value)
    except ValueError:
        return None


def fold_number(value: float | None) -> int | None:
    """The number of a fold; None where it can be none."""
    if value is None or not 0 <= value < 2**53 or value != int(value):
        return None
    return int(value)


def is_name(text: str) -> bool:
    """Whether a status can hold this as the name of a metric."""
    return 0 < len(text) <= MAX_METRIC_NAME and text.isprintable()
