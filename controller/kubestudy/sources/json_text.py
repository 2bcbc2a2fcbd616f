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


def is_name(text: str) -> bool:
    """Whether a status can hold this as the name of a metric."""
    return 0 < len(text) <= MAX_METRIC_NAME and text.isprintable()
