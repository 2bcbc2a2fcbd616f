"""Wrong clocks for processes, by Debian's libfaketime: of the time of day, no other clock."""

from __future__ import annotations

from pathlib import Path

from tests.support.surroundings import give_up
from tests.testcluster import packages

_PACKAGE = {"faketime": "faketime"}


class WrongClock:
    """The clock of a process that it does not share with others.

    Args:
        file: Where it is told how wrong it is.
        seconds: How far it is ahead at first; negative for behind.
    """

    def __init__(self, file: Path, seconds: float) -> None:
        if reason := packages.unavailable(_PACKAGE):
            give_up(reason)
        packages.install(_PACKAGE)
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
        self._file = file
        self.env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        self.jump(seconds)

    def jump(self, seconds: float) -> None:
        """From now on it is so far ahead of the others; negative for behind."""
        partial = self._file.with_suffix(".partial")
        partial.write_text(f"{seconds:+g}\n")
        partial.rename(self._file)
