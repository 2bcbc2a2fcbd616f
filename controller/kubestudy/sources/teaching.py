"""Finds out why a metric is missing: what a log had in its place, and what to print instead.

Each line that a program prints comes by here until all that is owed was reported. So most lines
are only asked whether a name stands in them, and other names are looked for in the first lines,
and then in one of so many.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from kubestudy.core.reports import RunReport
from kubestudy.core.unread import LONGEST_LINE, LONGEST_NAME, MOST_NAMES, Unread
from kubestudy.sources.numbers import ENDS, VALUE
from kubestudy.sources.pairs import WITHIN
from kubestudy.sources.wanted import RESERVED

PAGE = "docs/metrics.md"
LOOK_AT_FIRST = 1000
LOOK_EVERY = 61
"""Lines; a prime, so that a program that prints in turn is seen with all that it prints."""
_LOOK_BEFORE = 2048
"""Characters of a line in which names are looked for."""

_NAMED = re.compile(rf"(?<!{WITHIN})([A-Za-z_][\w./@\-]{{0,127}}+)['\"]?\s*+[=:]\s*+{VALUE}{ENDS}")
_PHASES = frozenset({"train", "training", "eval", "val", "valid", "validation", "test", "predict"})


class Teacher:
    """Takes note of what was not read, and says what may be done about it.

    Args:
        owed: The metrics that the Study asks for.
        example: A line that would be read, with ``{name}`` for a metric; None where only the user
            knows one.
    """

    def __init__(self, owed: Iterable[str], example: str | None):
        self._example = example
        self._spellings = [(name, name.lower()) for name in owed]
        self._words = {
            name: re.compile(rf"(?<!{WITHIN}){re.escape(name)}(?![\w\-])", re.IGNORECASE)
            for name in owed
        }

    def look(self, line: str, report: RunReport) -> None:
        """Takes note of a line that has been read into a report, as far as it was."""
        unread = report.unread
        unread.looked += 1
        lower = line.lower()
        for name, spelling in self._spellings:
            if spelling in lower and name not in report.metrics:
                _note(name, self._words[name], line, unread)
        if unread.looked <= LOOK_AT_FIRST or unread.looked % LOOK_EVERY == 0:
            missing = report.owed - report.metrics.keys()
            _note_names(line, missing, unread)

    def hint(self, report: RunReport) -> str | None:
        """What to say of the metrics that are missing; None where none is."""
        missing = sorted(report.owed - report.metrics.keys())
        if not missing:
            return None
        parts = [
            _about(name, self._words[name], report.unread.lines[name])
            for name in missing
            if name in report.unread.lines
        ]
        names = list(dict.fromkeys([*report.metrics, *report.unread.printed]))
        close = dict.fromkeys(filter(None, (closest(name, names) for name in missing)))
        if names and (close or not parts):
            asked = f"; did you mean {', '.join(close)}?" if close else ""
            parts.append(f"printed: {', '.join(names[:MOST_NAMES])}{asked}")
        if not close and not report.unread.lines:
            parts.append(
                f"print a line such as {self._example.format(name=missing[0])}"
                if self._example is not None
                else "no line matched spec.metrics' regex"
            )
        return f"{'; '.join(parts)} (what is read: {PAGE})"


def closest(name: str, known: Sequence[str]) -> str | None:
    """The known name that somebody may have meant by another one; None where none is close.

    ``acc`` is close to ``accuracy``, and ``eval_accuracy`` to both.
    """
    words = {k.lower(): k for k in reversed(known)}
    wanted = name.lower()
    close = [w for w in words if w == wanted or _share_a_part(w, wanted)]
    close = close or difflib.get_close_matches(wanted, words, n=1, cutoff=0.75)
    return words[max(close, key=lambda w: (w == wanted, len(w)))] if close else None


def _share_a_part(a: str, b: str) -> bool:
    """Whether a part of one name, such as `acc` of `val_acc`, is or begins a part of the other."""
    return any(
        p == q or (min(len(p), len(q)) > 2 and (p.startswith(q) or q.startswith(p)))
        for p in _parts(a)
        for q in _parts(b)
    )


def _parts(name: str) -> set[str]:
    return set(re.split(r"[\W_]+", name)) - _PHASES - {""}


def _note(name: str, word: re.Pattern[str], line: str, unread: Unread) -> None:
    known = unread.lines.get(name)
    if known is not None and _has_digit(word, known):
        return
    found = word.search(line)
    if found is None or (known is not None and not _digit_after(line, found.end())):
        return
    unread.lines[name] = _quoted(line, found.start())


def _has_digit(word: re.Pattern[str], line: str) -> bool:
    found = word.search(line)
    return found is None or _digit_after(line, found.end())


def _digit_after(text: str, end: int) -> bool:
    return any(c.isdigit() for c in text[end : end + LONGEST_LINE // 2])


def _quoted(text: str, at: int) -> str:
    """What stands around a place of a text, in one short line that any terminal can show."""
    begin = max(0, min(at - LONGEST_LINE // 3, len(text) - LONGEST_LINE))
    cut = text[begin : begin + LONGEST_LINE]
    return "".join(c if c.isprintable() else " " for c in cut).strip()


def _note_names(line: str, missing: Iterable[str], unread: Unread) -> None:
    if "=" not in line and ":" not in line:
        return
    for found in _NAMED.finditer(line, 0, _LOOK_BEFORE):
        name = found[1][:LONGEST_NAME]
        if name in unread.printed or name in missing or name.lower() in RESERVED:
            continue
        if len(unread.printed) < MOST_NAMES:
            unread.printed.append(name)
        elif any(closest(m, [name]) and not closest(m, unread.printed) for m in missing):
            unread.printed[-1] = name


def _about(name: str, word: re.Pattern[str], line: str) -> str:
    found = word.search(line)
    written = found[0] if found else name
    if written == name:
        return f"{name} was not read in this line: {line!r}"
    return f"{name} was not read; names count as they are written, and this line has {line!r}"
