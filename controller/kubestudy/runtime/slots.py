"""Slots that are shared out so that nobody can take them all."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable


class Slots:
    """A number of slots for work that lasts.

    Whoever comes may take at most three quarters of what others have left free, and one at least:
    the first has room enough, and the next ones do not find everything taken.

    Args:
        size: How many there are.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._taken: Counter[Hashable] = Counter()

    def take(self, share: Hashable) -> bool:
        """Takes a slot, if there is one for this share.

        Args:
            share: Whose work it is, such as a namespace.
        """
        with self._lock:
            taken = self._taken.total()
            others = taken - self._taken[share]
            most = max(1, (self._size - others) * 3 // 4)
            if taken >= self._size or self._taken[share] >= most:
                return False
            self._taken[share] += 1
            return True

    def give_back(self, share: Hashable) -> None:
        """Gives a slot back that was taken."""
        with self._lock:
            self._taken -= Counter([share])
