"""What a terminal would show of a line: what a progress bar leaves, and without its colours."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;?]{0,32}[mK]")
_MOVE = re.compile(r"\x1b\[[0-9;?]{0,32}[A-Za-z]")
_DRAWN_OVER = "\b"


def shown(line: str) -> str:
    """A line without what a bar has drawn over: what stands after the last carriage return.

    A bar goes back to the line's begin to draw itself anew, and leaves no end of line for what is
    printed after it.
    """
    return line.rstrip("\r\n").rpartition("\r")[2]


def uncoloured(line: str) -> str:
    """A line without colours; where the cursor was moved, a backspace stands, which ends a word."""
    return _MOVE.sub(_DRAWN_OVER, _COLOUR.sub("", line))


def drawn_last(line: bytes) -> bytes:
    """The end of an unfinished line from which all can be read that is shown of it in the end.

    It begins at the carriage return before what was drawn last, and is empty where there is none.
    """
    text = line.rstrip(b"\r")
    begin = text.rfind(b"\r")
    if begin < 0:
        # What was drawn may have ended with the return, and nothing have followed yet.
        return b"" if len(text) == len(line) else b"\r" + text + b"\r"
    return text[begin:] + (b"\r" if len(text) < len(line) else b"")
