"""What a command says when it cannot do what it was asked, with its exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import IO, Any

import click

from kubestudy.cli.terminal import styled, write

FAILED, INVALID, NOT_FOUND, INTERRUPTED = 1, 2, 3, 130

_NAMED = 10
"""No more names are listed."""


class CommandError(click.ClickException):
    """A command that failed; the message is all that a person needs."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """Prints it."""
        write(f"{styled('error:', 'red', 'bold')} {self.message}", err=True)


class InvalidInput(CommandError):
    """A manifest or an option that is wrong."""

    exit_code = INVALID


class NotFound(CommandError):
    """There is no such object.

    Args:
        name: What was asked for.
        where: Where it was looked for.
        known: The names that there are.

    Attributes:
        name: As given.
        where: As given.
        known: As given.
    """

    exit_code = NOT_FOUND

    def __init__(self, name: str, where: str, known: Iterable[str] = ()):
        self.name, self.where, self.known = name, where, list(known)
        message = f"there is no {name!r} in {where}"
        if self.closest is not None:
            message += f"; did you mean {self.closest}?"
        elif self.known:
            more = ", ..." if len(self.known) > _NAMED else ""
            names = ", ".join(self.known[:_NAMED]) + more
            message += f"; there {'is' if len(self.known) == 1 else 'are'} {names}"
        else:
            message += ", and no Study at all"
        super().__init__(message)

    @property
    def closest(self) -> str | None:
        """The name that was probably meant; None where none is like it."""
        return next(iter(difflib.get_close_matches(self.name, self.known, n=1)), None)
