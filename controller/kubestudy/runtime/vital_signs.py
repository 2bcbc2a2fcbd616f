"""Whether the threads that nothing goes without still move.

A process in which one of them hangs, or has ended by an error that nobody foresaw, looks well and
does nothing: it had better be started anew. An API server that does not answer is no such case. Who
waits for it, and tries again, moves.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pulse:
    """What one thread shows of itself; it is well as long as it beats, or rests.

    Args:
        patience: Seconds without a beat after which it is taken to hang.
        clock: A clock that never goes back.
    """

    def __init__(self, patience: float = 0.0, clock: Callable[[], float] = time.monotonic):
        self._patience, self._clock = patience, clock
        self._last: float | None = None
        self._thread: threading.Thread | None = None

    def beat(self) -> None:
        """Shows that the thread goes on."""
        self._thread, self._last = threading.current_thread(), self._clock()

    def rest(self) -> None:
        """Shows that it waits for work, for however long there is none."""
        self._thread, self._last = threading.current_thread(), None

    def end(self) -> None:
        """Shows that it has ended as it should."""
        self._thread = self._last = None

    @property
    def well(self) -> bool:
        """Whether the thread rests, has gone on of late, or has ended as it should."""
        thread, last = self._thread, self._last
        if thread is not None and not thread.is_alive():
            return False
        return last is None or self._clock() - last <= self._patience


class VitalSigns:
    """The pulses of a process.

    Threads that do the same work share a name: as long as one of them moves the work is done, and
    what the others hang on would only come back if all was started anew.

    Args:
        clock: A clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._pulses: dict[str, list[Pulse]] = {}

    def pulse(self, name: str, patience: float) -> Pulse:
        """A new pulse, which rests until it beats.

        Args:
            name: Of the work.
            patience: Seconds without a beat after which its thread is taken to hang.
        """
        new = Pulse(patience, self._clock)
        with self._lock:
            self._pulses.setdefault(name, []).append(new)
        return new

    @property
    def stuck(self) -> list[str]:
        """The names of the work that nobody does any more."""
        with self._lock:
            return [n for n, pulses in self._pulses.items() if not any(p.well for p in pulses)]

    def alive(self) -> bool:
        """Whether the process had better go on than be started anew."""
        return not self.stuck
