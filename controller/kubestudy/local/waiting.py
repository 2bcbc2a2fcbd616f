"""Waiting for something to happen: a signal, the end of a child process, or time."""

from __future__ import annotations

import os
import select
import signal
import threading
from types import TracebackType
from typing import Any, Self

_ASK_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Waiting:
    """Hears signals while it is entered; elsewhere than in the main thread, time alone.

    Attributes:
        asked_to_end: How often SIGINT, SIGTERM or SIGHUP came.
    """

    def __init__(self) -> None:
        self.asked_to_end = 0
        self._before: dict[signal.Signals, Any] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        if threading.current_thread() is threading.main_thread():
            for number in _ASK_TO_END:
                if signal.getsignal(number) != signal.SIG_IGN:  # As nohup leaves SIGHUP.
                    self._before[number] = signal.signal(number, self._on_ask)
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
            self._wakeup_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before:
            signal.set_wakeup_fd(self._wakeup_before)
            for number, handler in self._before.items():
                signal.signal(number, handler)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, seconds: float) -> None:
        """Waits until a signal comes, but no longer than this."""
        if select.select([self._reader], [], [], max(0.0, seconds))[0]:
            os.read(self._reader, 4096)

    def _on_ask(self, *_: object) -> None:
        self.asked_to_end += 1
