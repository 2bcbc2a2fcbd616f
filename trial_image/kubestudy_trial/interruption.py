"""SIGTERM: a request while training, after which a checkpoint is written; the end at other times.

Before training there is nothing to save, so the process ends on the spot rather than by an
exception that some library's `except:` could swallow. A second signal always ends it at once.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from kubestudy_trial.failures import Interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interruption:
    """Whether somebody asked this process to stop."""

    def __init__(self) -> None:
        self.requested = False
        self._deferred = False
        self._lingering = False
        self._woken = threading.Event()
        self._owner = 0
        self._before_exit: Callable[[Interrupted], None] = lambda _: None

    def install(self, before_exit: Callable[[Interrupted], None]) -> None:
        """Take over SIGTERM and SIGINT.

        Args:
            before_exit: Called with the failure when a signal ends the process on the spot.
        """
        if threading.current_thread() is not threading.main_thread():
            return  # Python only lets the main thread have handlers.
        self._owner = os.getpid()
        self._before_exit = before_exit
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    @property
    def installed(self) -> bool:
        """Whether this process has taken over the signals."""
        return self._owner == os.getpid()

    def defer(self, deferred: bool) -> None:
        """From now on a first signal only sets `requested`, or no longer does."""
        self._deferred = deferred

    def linger(self, seconds: float) -> None:
        """Wait, but no longer than until the next signal, which then is no failure."""
        self._lingering = True
        with contextlib.suppress(KeyboardInterrupt):
            self._woken.wait(seconds)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.installed:  # A forked worker of a data loader: not ours to speak for the trial.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif self._lingering:
            self._woken.set()
        elif self._deferred and not self.requested:
            self.requested = True
        else:
            when = "again while a checkpoint was due" if self.requested else "outside of training"
            failure = Interrupted(f"{signal.Signals(number).name} came {when}")
            with contextlib.suppress(Exception):
                self._before_exit(failure)
            os._exit(failure.exit_code)


@contextlib.contextmanager
def restored_signals() -> Iterator[None]:
    """Put the handlers back as they were."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


interruption = Interruption()
