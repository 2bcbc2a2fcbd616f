"""The API server's clock: what ends up in objects is all by one clock, and that is not ours.

The clock of the machine that we run on may be wrong, differ from that of the leader before us, or
jump. The server tells its own with each answer; in between, time passes by the monotonic clock.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

log = logging.getLogger(__name__)

WORTH_TELLING = 10.0


class ServerClock:
    """The time of a server; before its first answer, that of this machine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ahead = time.time() - time.monotonic()
        self._told = False

    def now(self) -> datetime:
        """The server's time."""
        return datetime.fromtimestamp(time.monotonic() + self._ahead, UTC)

    def heard(self, date: str | None, asked: float, answered: float) -> None:
        """Takes note of what a server said.

        Args:
            date: The header ``Date`` of an answer.
            asked: When it was asked for, by the monotonic clock.
            answered: When it came.
        """
        try:
            second = parsedate_to_datetime(date or "").timestamp()
        except ValueError:
            return
        # It was written in between, and the fraction of its second is left out.
        earliest, latest = second - answered, second + 1 - asked
        with self._lock:
            self._ahead = min(max(self._ahead, earliest), latest)
            ours = time.time() - time.monotonic() - self._ahead
            if abs(ours) > WORTH_TELLING and not self._told:
                self._told = True
                log.warning(
                    "the clock of this machine is %.0f s %s the API server's, which counts",
                    abs(ours),
                    "ahead of" if ours > 0 else "behind",
                )
