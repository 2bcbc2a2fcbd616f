"""The log of one pod, as far as it has been read: nothing of it counts twice, nothing is skipped.

What it holds up against:

- A reading ends at any moment, also in the middle of a line, and the next one can begin only at a
  whole second: the API knows no finer ``sinceTime``.
- Lines of standard output and standard error are stamped before they are written, so two that are
  close together may stand in the log in the wrong order.
- Timestamps are in the node's own time zone.
"""

from __future__ import annotations

import copy
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from kubestudy.core.reports import LastWord, RunReport
from kubestudy.runtime.cache import Key
from kubestudy.runtime.client import Shortened
from kubestudy.sources.log_lines import LineReader
from kubestudy.sources.terminal import drawn_last

# Of a line of more bytes only what a progress bar left at its end is looked at.
LONGEST = 1 << 19

_TIMESTAMP = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)", re.ASCII
)
_SECOND = 10**9
_END_OF_TIME = 253_402_300_800 * _SECOND  # the year 10,000


@dataclass
class Cursor:
    """How far a log has been read: the newest moment, how many lines had it, and bytes in all."""

    newest: int = -1
    lines: int = 0
    size: int = 0
    _seen_to: int = -1
    _replayed: int = 0

    @property
    def sound(self) -> bool:
        """Whether it can have come about by lines."""
        return -1 <= self.newest < _END_OF_TIME

    def reopen(self) -> str | None:
        """Begins another reading; returns what to ask for as ``sinceTime``, None for all."""
        self._seen_to, self._replayed = self.newest, 0
        if self.newest < 0:
            return None
        return datetime.fromtimestamp(self.newest // _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def passes(self, timestamp: bytes) -> bool:
        """Whether a line of this time has not been read before."""
        moment = _moment(timestamp)
        if moment is None or moment < self._seen_to:
            return False
        if moment == self._seen_to:
            self._replayed += 1
            if self._replayed <= self.lines:
                return False
        else:
            self._seen_to = -1  # What was read before ends here; the rest is new in any order.
        if moment > self.newest:
            self.newest, self.lines = moment, 0
        self.lines += moment == self.newest
        return True


@dataclass
class PodLog:
    """What one pod has reported in its log so far.

    Attributes:
        study: The key of its Study.
        reader: Makes reports of lines.
        report: What was reported.
        reading: Held by whoever reads the log.
        patience: For how long a follow may be silent before it is opened anew.
        tries: How often its end could not be read.
        news: Whether something was reported that is not kept over a restart.
        kept: Up to which of its bytes it is kept.
        keep_after: The moment before which it is not kept again, by the monotonic clock.
    """

    study: Key
    reader: LineReader
    report: RunReport
    patience: float
    cursor: Cursor = field(default_factory=Cursor)
    reading: threading.Lock = field(default_factory=threading.Lock)
    tries: int = 0
    news: bool = False
    kept: int = 0
    keep_after: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, lines: Iterable[bytes]) -> tuple[int, int]:
        """Takes lines with their timestamps; returns how many were new, and how many reports."""
        new = reports = 0
        with self._lock:
            for line in lines:
                timestamp, _, text = line.partition(b" ")
                if not self.cursor.passes(timestamp):
                    continue
                new += 1
                self.cursor.size += len(line)
                if isinstance(line, Shortened):
                    self.cursor.size += line.left_out
                if len(text) > LONGEST and len(text := drawn_last(text)) > LONGEST:
                    continue
                reports += self.reader.take(text.decode("utf-8", "replace"), self.report)
            self.news |= reports > 0
        return new, reports

    def snapshot(self) -> RunReport:
        """What has been reported so far, as a copy."""
        with self._lock:
            return copy.deepcopy(self.report)

    def so_far(self) -> tuple[Cursor, RunReport]:
        """Up to where it has been read, and what was reported up to there, as copies."""
        with self._lock:
            cursor = Cursor(self.cursor.newest, self.cursor.lines, self.cursor.size)
            return cursor, copy.deepcopy(self.report)

    def close(self, word: LastWord | None, problem: str | None) -> None:
        """All of the log has been read that can be.

        Args:
            word: The pod's termination message.
            problem: Why the log could not be read, None where it could.
        """
        with self._lock:
            self.report.problem = problem
            self.report.close(word)
            self.reader.explain(self.report)


def _moment(timestamp: bytes) -> int | None:
    """Nanoseconds since 1970; None where it is no timestamp."""
    found = _TIMESTAMP.fullmatch(timestamp)
    if found is None:
        return None
    second, fraction, zone = found.groups()
    return _second(second + zone) * _SECOND + int((fraction or b"0").ljust(9, b"0"))


@lru_cache(maxsize=256)
def _second(timestamp: bytes) -> int:
    return int(datetime.fromisoformat(timestamp.decode("ascii")).timestamp())
