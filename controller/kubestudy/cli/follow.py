"""How a Study is followed: a live screen on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
from typing import Protocol

from kubestudy.local.engine import Moment


class View(Protocol):
    """Shows how a Study stands."""

    def show(self, moment: Moment) -> None:
        """Takes how the Study stands now."""

    def close(self) -> None:
        """Ends the showing."""


class Quiet:
    """Shows nothing."""

    def show(self, moment: Moment) -> None:
        """Takes how the Study stands now."""

    def close(self) -> None:
        """Ends the showing."""


def view(quiet: bool, hint: str) -> View:
    """Chooses how to follow.

    Args:
        quiet: Whether to show nothing.
        hint: What the keys do, for a terminal.
    """
    if quiet:
        return Quiet()
    if sys.stdout.isatty():
        from kubestudy.cli.live import Live

        return Live(hint)
    from kubestudy.cli.lines import Lines

    return Lines()
