"""What a command says when it cannot do what it was asked, with its exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import IO, Any

import click

FAILED, INVALID, NOT_FOUND, INTERRUPTED = 1, 2, 3, 130


class CommandError(click.ClickException):
    """A command that failed; the message is all that a person needs."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints it."""
        click.echo(f"{click.style('error:', fg='red', bold=True)} {self.message}", err=True)


class InvalidInput(CommandError):
    """A manifest or an option that is wrong."""

    exit_code = INVALID


class NotFound(CommandError):
    """There is no such object.

    Args:
        name: What was asked for.
        where: Where it was looked for.
        known: The names that there are.
    """

    exit_code = NOT_FOUND

    def __init__(self, name: str, where: str, known: Iterable[str] = ()):
        known = list(known)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        if not hint and known:
            hint = f"; there {'is' if len(known) == 1 else 'are'} {', '.join(known[:10])}"
        super().__init__(f"there is no {name!r} in {where}{hint}")
