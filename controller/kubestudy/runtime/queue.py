"""A queue of keys: each is worked on by one thread at a time, and waits there but once."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys that need work, now or at a later time.

    A key that is added while it is worked on is handed out again when that work is done, so that no
    news is lost. Failures of a key make it wait longer each time, and news does not bring it back
    at once: what fails is tried about once a second at most.

    Keys that are due are taken from one share after the other, so that whoever has many of them
    makes nobody else wait for more than a turn.

    Args:
        share_of: Whose a key is, such as its namespace; all keys are one share by default.
        at_once: How many keys of one share are worked on at the same time at most.
    """

    FIRST_BACKOFF = 0.5
    MAX_BACKOFF = 20.0
    AFTER_FAILURE = 1.0

    def __init__(
        self, share_of: Callable[[K], Hashable] = lambda _: None, at_once: int | None = None
    ) -> None:
        self._share_of, self._at_once = share_of, at_once
        self._changed = threading.Condition()
        self._due: dict[K, float] = {}
        # Due times in order; one that `_due` does not agree with is out of date.
        self._later: list[tuple[float, int, K]] = []
        self._number = count()
        self._ready: OrderedDict[Hashable, deque[K]] = OrderedDict()
        self._again: set[K] = set()
        self._working: set[K] = set()
        self._of_share: Counter[Hashable] = Counter()
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
            self._schedule(key, due)
            self._changed.notify()

    def get(self) -> K | None:
        """Waits for a key that is due and nobody works on; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                self._ripen(now)
                if (key := self._next()) is not None:
                    # This one waits no more for what is due next; another one must.
                    self._changed.notify()
                    return key
                self._changed.wait(self._later[0][0] - now if self._later else None)
        return None

    def done(self, key: K) -> None:
        """Tells that the work on a key has ended."""
        with self._changed:
            if key in self._working:
                self._working.discard(key)
                self._of_share -= Counter([self._share_of(key)])
            if key in self._again:
                self._again.discard(key)
                self._make_ready(key)
            self._changed.notify()

    def failed(self, key: K, at_least: float = 0.0) -> float:
        """Asks for another try after a while that grows; returns the seconds until then."""
        with self._changed:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            backoff = self.FIRST_BACKOFF * 2 ** min(failures, 16)
            wait: float = max(at_least, min(self.MAX_BACKOFF, backoff))
            not_before = time.monotonic() + min(wait, self.AFTER_FAILURE)
            self._not_before[key] = not_before
            # News that came while it was worked on waits as well.
            if self._due.get(key, not_before) < not_before:
                self._again.discard(key)
                self._schedule(key, not_before)
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

    def _schedule(self, key: K, due: float) -> None:
        self._due[key] = due
        heapq.heappush(self._later, (due, next(self._number), key))

    def _ripen(self, now: float) -> None:
        """Makes ready what has become due."""
        while self._later and self._later[0][0] <= now:
            due, _, key = heapq.heappop(self._later)
            if self._due.get(key) != due:
                continue
            if key in self._working:
                self._again.add(key)
            else:
                self._make_ready(key)

    def _make_ready(self, key: K) -> None:
        self._ready.setdefault(self._share_of(key), deque()).append(key)

    def _next(self) -> K | None:
        """Takes a key of the share whose turn is longest ago; None if there is none to take."""
        for share, keys in self._ready.items():
            if self._at_once is not None and self._of_share[share] >= self._at_once:
                continue
            key = keys.popleft()
            if keys:
                self._ready.move_to_end(share)
            else:
                del self._ready[share]
            del self._due[key]
            self._working.add(key)
            self._of_share[share] += 1
            return key
        return None
