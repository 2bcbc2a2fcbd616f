"""Reads the termination message: the trial's last word, which comes with its pod's status."""

from __future__ import annotations

import math
from typing import Any

from kubestudy.core.failures import CONTRACT_REASONS
from kubestudy.core.reports import LastWord, MetricTrack
from kubestudy.sources.json_text import is_name, json_object
from kubestudy.sources.numbers import fold_number, number
from kubestudy.sources.wanted import is_told


def last_word(message: str | None, wanted: frozenset[str] = frozenset()) -> LastWord | None:
    """Reads a termination message as in ``docs/trial-contract.md``; None where it is none.

    Args:
        message: As the pod's status or the file has it.
        wanted: The metrics that the Study asks for.
    """
    record = json_object((message or "").lstrip())
    if record is None:
        return None
    metrics: dict[str, MetricTrack] = {}
    for name, values in _objects(record.get("metrics")):
        latest = _float(values.get("latest"))
        if latest is None or not _is_metric(name, latest, wanted):
            continue
        low, high = _float(values.get("min")), _float(values.get("max"))
        step = _float(values.get("step"))
        metrics[name] = MetricTrack(
            latest,
            latest if low is None else low,
            latest if high is None else high,
            step if step is not None and math.isfinite(step) else None,
        )
    seq, reason = record.get("seq"), record.get("reason")
    return LastWord(
        metrics,
        seq if isinstance(seq, int) and not isinstance(seq, bool) else None,
        reason if isinstance(reason, str) and reason in CONTRACT_REASONS else None,
        _message(record),
        fold_number(number(record.get("fold"))),
        _folds(record.get("folds"), wanted),
    )


def _message(record: dict[str, Any]) -> str:
    """The message, behind a reason that is not one of the contract's."""
    reason, message = record.get("reason"), str(record.get("message") or "")
    if isinstance(reason, str) and reason and reason not in CONTRACT_REASONS:
        message = f"{reason}: {message}" if message else reason
    return message[:1024].encode(errors="replace").decode()


def _folds(value: Any, wanted: frozenset[str]) -> dict[int, dict[str, MetricTrack]]:
    """What each fold reported, from lists by metric: the last value, or [last, min, max]."""
    folds: dict[int, dict[str, MetricTrack]] = {}
    for name, of_folds in value.items() if isinstance(value, dict) else ():
        for fold, told in enumerate(of_folds if isinstance(of_folds, list) else ()):
            given = [_float(v) for v in (told if isinstance(told, list) else [told])]
            numbers = [v for v in given if v is not None]
            if len(numbers) not in (1, 3) or not _is_metric(name, numbers[0], wanted):
                continue
            latest, low, high = numbers if len(numbers) == 3 else numbers * 3
            folds.setdefault(fold, {})[name] = MetricTrack(latest, low, high, None)
    return folds


def _is_metric(name: str, value: float, wanted: frozenset[str]) -> bool:
    return is_name(name) and is_told(name, value, wanted)


def _objects(value: Any) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(value, dict):
        return []
    return [(k, v) for k, v in value.items() if isinstance(v, dict)]


def _float(value: Any) -> float | None:
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(value)  # JSON itself has no word for them
    return number(value)
