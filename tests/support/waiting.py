"""Waiting for what a cluster does in its own time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def until(
    look: Callable[[], T],
    holds: Callable[[T], Any] = bool,
    *,
    what: str,
    timeout: float = 60.0,
    every: float = 0.1,
) -> T:
    """Looks again and again until something holds, and returns what was seen then.

    Args:
        look: Says what there is now.
        holds: Whether that is what is waited for.
        what: Names it in the failure, which tells what was seen last.
        timeout: Seconds.
        every: Seconds between two looks.
    """
    deadline = time.monotonic() + timeout
    while True:
        seen = look()
        if holds(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}. Seen last:\n{_shown(seen)}")
        time.sleep(every)


def _shown(seen: object, longest: int = 4000) -> str:
    text = seen if isinstance(seen, str) else json.dumps(seen, indent=1, default=repr)
    return text if len(text) <= longest else f"{text[:longest]} ..."
