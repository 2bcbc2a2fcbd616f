"""A queue of keys: each is worked on by one thread at a time, and waits there but once."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from operator import itemgetter
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys that need work, now or at a later time.

    A key that is added while it is worked on is handed out again when that work is done, so that no
    news is lost. Failures of a key make it wait longer each time, and news does not bring it back
    at once: what fails is tried about once a second at most.
    """

    FIRST_BACKOFF = 0.5
    MAX_BACKOFF = 20.0
    AFTER_FAILURE = 1.0

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[K, float] = {}
        self._working: set[K] = set()
        self._failures: dict[K, int] = {}
        self._not_before: dict[K, float] = {}
        self._closed = False

    def add(self, key: K, after: float = 0.0) -> None:
        """Asks for work on a key, after some seconds; the earliest of several askings counts."""
        due = time.monotonic() + max(0.0, after)
        with self._changed:
            due = max(due, self._not_before.get(key, due))
            if self._due.get(key, float("inf")) <= due:
                return
            self._due[key] = due
            self._changed.notify()

    def get(self) -> K | None:
        """Waits for a key that is due and nobody works on; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                idle = ((due, key) for key, due in self._due.items() if key not in self._working)
                due, key = min(idle, key=itemgetter(0), default=(None, None))
                now = time.monotonic()
                if due is None or key is None:
                    self._changed.wait()
                elif due > now:
                    self._changed.wait(due - now)
                else:
                    del self._due[key]
                    self._working.add(key)
                    # This one waits no more for what is due next; another one must.
                    self._changed.notify()
                    return key
        return None

    def done(self, key: K) -> None:
        """Tells that the work on a key has ended."""
        with self._changed:
            self._working.discard(key)
            self._changed.notify()

    def failed(self, key: K, at_least: float = 0.0) -> float:
        """Asks for another try after a while that grows; returns the seconds until then."""
        with self._changed:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            backoff = self.FIRST_BACKOFF * 2 ** min(failures, 16)
            wait: float = max(at_least, min(self.MAX_BACKOFF, backoff))
            self._not_before[key] = time.monotonic() + min(wait, self.AFTER_FAILURE)
            # News that came while it was worked on waits as well.
            if key in self._due:
                self._due[key] = max(self._due[key], self._not_before[key])
        self.add(key, wait)
        return wait

    def succeeded(self, key: K) -> None:
        """Forgets the failures of a key."""
        with self._changed:
            self._failures.pop(key, None)
            self._not_before.pop(key, None)

    def __len__(self) -> int:
        with self._changed:
            return len(self._due)

    def close(self) -> None:
        """Lets every waiting thread go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
