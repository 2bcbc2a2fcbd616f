"""Whose turn it is to read lines, so that the lines of one namespace do not hold up another's."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator

FREE = 0.05
"""Seconds that a user's own expression may take of a batch of lines without a pause."""
SHARE = 0.25
"""How much of a processor the expressions of one namespace have beyond that."""
LONGEST_PAUSE = 10.0


class Turns:
    """Lets lines be read in turn.

    There is one interpreter: a hundred threads that wanted it at once would leave next to nothing
    to those that decide and renew the lease. So lines are read by one thread at a time. A user's
    own expression is matched without the interpreter, and may be slow: it has turns of its own,
    one at a time for each namespace, with pauses between them.
    """

    def __init__(self) -> None:
        self._all = threading.Lock()
        self._of: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    @contextlib.contextmanager
    def common(self) -> Iterator[None]:
        """A turn for lines that our own expressions read."""
        with self._all:
            yield

    @contextlib.contextmanager
    def own(self, namespace: str) -> Iterator[None]:
        """A turn for lines that a user's expression reads; it ends with the pause that is due."""
        with self._of[namespace]:
            began = time.thread_time()
            yield
            taken = time.thread_time() - began
            if taken > FREE:
                time.sleep(min(LONGEST_PAUSE, taken * (1 / SHARE - 1)))
