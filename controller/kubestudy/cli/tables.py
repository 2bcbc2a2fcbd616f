"""Plain text for people: aligned columns, short numbers, times, and colours on a terminal only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from kubestudy.api.parameters import Parameter, Value
from kubestudy.cli.terminal import shown, styled, width, write
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
    "Suspending": "yellow",
    "Paused": "blue",
    "Pending": None,
}


def echo(text: str = "") -> None:
    """Prints to standard output, without colours where it shows none."""
    write(text)


def note(text: str) -> None:
    """Tells something beside the matter, on standard error."""
    write(f"{styled('note:', 'yellow')} {text}", err=True)


def warn(text: str) -> None:
    """Says what is likely a mistake, on standard error."""
    write(f"{styled('warning:', 'yellow')} {text}", err=True)


def state(text: str, of: str | None = None) -> str:
    """A state, or another word for it, in the state's colour."""
    colour = STATE_COLOURS.get(of or text)
    return styled(text, colour) if colour else text


def bold(text: str) -> str:
    """Text that stands out."""
    return styled(text, "bold")


def dim(text: str) -> str:
    """Text that stands back."""
    return styled(text, "dim")


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
    line = shown(text)
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def span(start: datetime | None, end: datetime | None = None) -> str:
    """The time between two moments, or since one."""
    if start is None:
        return NONE
    return duration_text(max(timedelta(), (end or datetime.now(UTC)) - start))


def columns(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Rows as aligned columns, as kubectl does it; the first row is the heading."""
    table = [[cell.replace("\n", r"\n") for cell in row] for row in rows]
    widths = [max(map(width, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = [c + " " * (w - width(c)) for c, w in zip(row, widths, strict=True)]
        lines.append(indent + "   ".join(cells).rstrip())
    return "\n".join(lines)
