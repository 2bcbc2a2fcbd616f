"""Text on a terminal: what others wrote is shown there, and never drives it.

Names, messages and log lines come from manifests and programs. A control character in them could
move the cursor, wipe what was said before or set the title of a window, and a mark of direction
lets text read as another: they are written as Python's escapes. So that our own colours are known
from theirs, ours are noncharacters of Unicode up to the very end, and only then what a terminal
understands. A text that holds such marks itself is coloured by them, and no more.
"""

from __future__ import annotations

import os
import re
import sys

import click

from kubestudy.sources import terminal as drawn

_RESET = "\ufdd0"
_STYLES = {
    "bold": ("\ufdd1", 1),
    "dim": ("\ufdd2", 2),
    "red": ("\ufdd3", 31),
    "green": ("\ufdd4", 32),
    "yellow": ("\ufdd5", 33),
    "blue": ("\ufdd6", 34),
    "cyan": ("\ufdd7", 36),
}
_CODES = {_RESET: "\x1b[0m", **{mark: f"\x1b[{code}m" for mark, code in _STYLES.values()}}
_MARKS = re.compile(f"[{''.join(_CODES)}]")

# Control characters, marks of direction, line breaks of Unicode, half characters, noncharacters
# and tags, which are letters that nobody sees.
_DRIVES = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
    "\ufdd0-\ufdef\ufff9-\uffff\U000e0000-\U000e007f]"
)
# ECMA-48: a control sequence; of all of them, those of colours are harmless.
_SEQUENCE = re.compile(r"(\x1b\[[0-?]*[ -/]*[@-~])")
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")


def shown(text: str) -> str:
    """Text in which what would drive a terminal, line breaks among it, is written as escapes."""
    return _DRIVES.sub(lambda match: repr(match[0])[1:-1], text)


def styled(text: str, *styles: str) -> str:
    """Text in colours, or bold or dim; they show where :func:`write` finds a place for them."""
    return "".join(_STYLES[s][0] for s in styles) + text + _RESET if styles else text


def width(text: str) -> int:
    """How many columns a text takes."""
    return len(shown(_MARKS.sub("", text)))


def write(text: str, err: bool = False) -> None:
    """Prints text, in the colours of :func:`styled` where there is a terminal for them.

    Args:
        text: One or more lines.
        err: Whether to print to standard error rather than to standard output.
    """
    colours = colourful(err)
    lines = (_rendered(line, colours) for line in text.split("\n"))
    click.echo("\n".join(lines), err=err, color=colours)


def write_data(text: str) -> None:
    """Prints data: exactly as it is for a program, and as :func:`write` does on a terminal."""
    if sys.stdout.isatty():
        write(text)
    else:
        click.echo(text, color=True)


def write_log(line: str, of: str = "") -> None:
    """Prints a line of a log: exactly as it is for a program, and fit for a terminal on one.

    There it keeps its colours; of what a progress bar has written again and again, the last is
    shown.

    Args:
        line: The line.
        of: What it is the log of, to be printed before it.
    """
    colours = colourful()
    before = _rendered(styled(f"[{of}]", "dim"), colours) + " " if of else ""
    fit = _fit(line, colours) if sys.stdout.isatty() else line
    click.echo(before + fit, color=True)


def colourful(err: bool = False) -> bool:
    """Whether a stream shows colours: a terminal, where NO_COLOR is not set."""
    stream = sys.stderr if err else sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR")


def _rendered(line: str, colours: bool) -> str:
    parts = _MARKS.split(line)
    marks = [*_MARKS.findall(line), ""]
    return "".join(
        shown(part) + (_CODES.get(mark, "") if colours else "")
        for part, mark in zip(parts, marks, strict=True)
    )


def _fit(line: str, colours: bool) -> str:
    parts = _SEQUENCE.split(drawn.shown(line))
    coloured = False
    for i, part in enumerate(parts):
        if i % 2 == 0:
            parts[i] = "\t".join(map(shown, part.split("\t")))
        elif colours and _COLOURS.fullmatch(part):
            coloured = True
        else:
            parts[i] = ""
    return "".join(parts) + (_CODES[_RESET] if coloured else "")
