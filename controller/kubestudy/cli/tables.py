"""Plain text for people: aligned columns, short numbers, times, and colours on a terminal only."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import click

from kubestudy.api.parameters import Parameter, Value
from kubestudy.core.status import duration_text

NONE = "-"
STATE_COLOURS = {
    "Succeeded": "green",
    "Complete": "green",
    "Running": "cyan",
    "Failed": "red",
    "Invalid": "red",
    "Stopped": "yellow",
    "Suspended": "yellow",
    "Paused": "blue",
    "Pending": None,
}

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def colourful() -> bool:
    """Whether standard output shows colours: a terminal, where NO_COLOR is not set."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def echo(text: str = "") -> None:
    """Prints to standard output, without colours where it shows none."""
    click.echo(text, color=colourful())


def note(text: str) -> None:
    """Tells something beside the matter, on standard error."""
    _aside("note:", text)


def warn(text: str) -> None:
    """Tells what is likely a mistake, on standard error."""
    _aside("warning:", text)


def _aside(word: str, text: str) -> None:
    colour = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    click.echo(f"{click.style(word, fg='yellow')} {text}", err=True, color=colour)


def state(text: str, of: str | None = None) -> str:
    """A state, or another word for it, in the state's colour."""
    return click.style(text, fg=STATE_COLOURS.get(of or text))


def bold(text: str) -> str:
    """Text that stands out."""
    return click.style(text, bold=True)


def dim(text: str) -> str:
    """Text that stands back."""
    return click.style(text, dim=True)


def number(value: float | None) -> str:
    """A number in four significant digits; a whole one in all of its."""
    if value is None:
        return NONE
    if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15):
        return str(int(value))
    return f"{value:.4g}"


def short(parameter: Parameter, value: Value) -> str:
    """A parameter's value in a table: a fraction in four significant digits."""
    typed = parameter.typed(value)
    return f"{typed:.4g}" if isinstance(typed, float) else one_line(str(typed))


def one_line(text: str, longest: int = 200) -> str:
    """Text on one line: what would break it, or drive a terminal, is escaped."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shown if len(shown) <= longest else f"{shown[: longest - 3]}..."


def span(start: datetime | None, end: datetime | None = None) -> str:
    """The time between two moments, or since one."""
    if start is None:
        return NONE
    return duration_text(max(timedelta(), (end or datetime.now(UTC)) - start))


def columns(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Rows as aligned columns, as kubectl does it; the first row is the heading."""
    table = [list(row) for row in rows]
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = [c + " " * (w - _width(c)) for c, w in zip(row, widths, strict=True)]
        lines.append(indent + "   ".join(cells).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    return len(_ANSI.sub("", text))
