"""The expression by which a Study says how its trials' log lines tell a metric.

It runs on RE2, whose time is linear in the line whatever the expression is (Cox, "Regular
Expression Matching in the Wild", 2010), so that nobody's expression can hold up the others. Its
syntax is that of https://github.com/google/re2/wiki/Syntax: that of Python without backreferences
and without looking around.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import re2

NAME, VALUE, STEP, FOLD = "name", "value", "step", "fold"
MAX_MATCHES = 64
"""What is read of one line at most: each match may have to look at all of it."""
MOST_INSTRUCTIONS = 2000
"""How large a compiled expression may be: matching a line may take as many steps a character."""
_MAX_MEMORY = 1 << 20
_GOES_ON = re.compile(r"[0-9]|[.,:'_][0-9]|[eE][-+]?[0-9]")


class MetricRegexError(ValueError):
    """An expression that cannot be used; the message says where and why."""


@dataclass(frozen=True)
class Match:
    """What one match tells: texts as they stand in the line.

    A text is None where its group took no part, or where the match ends with it within a number.
    """

    name: str | None
    value: str | None
    step: str | None
    fold: str | None


class MetricRegex:
    """An expression with the group ``value``, and ``name``, ``step`` and ``fold`` if it likes.

    Args:
        text: As the user wrote it.

    Raises:
        MetricRegexError: It cannot be used.
    """

    def __init__(self, text: str):
        self._pattern = _compiled(text)
        self._groups = self._pattern.groupindex
        if self._pattern.programsize > MOST_INSTRUCTIONS:
            raise MetricRegexError(
                f"is compiled to {self._pattern.programsize} instructions, and may have"
                f" {MOST_INSTRUCTIONS}: repeat less, as in \\w+ rather than \\w{{1,500}}"
            )
        if VALUE not in self._groups:
            raise MetricRegexError("has no group (?P<value>...), which a metric's value stands in")
        unknown = sorted(self._groups.keys() - {NAME, VALUE, STEP, FOLD})
        if unknown:
            raise MetricRegexError(
                f"the group {unknown[0]!r} means nothing; there are name, value, step and fold"
            )

    def matches(self, line: str) -> Iterator[Match]:
        """Finds what a line tells."""
        clean = line.encode(errors="replace").decode()
        for match in islice(self._pattern.finditer(clean), MAX_MATCHES):
            found = match.groupdict()
            if _GOES_ON.match(clean, match.end()):
                # What the expression says nothing of is the rest of a number, as of 0,91.
                groups = self._groups.items()
                found = {k: found[k] for k, group in groups if match.end(group) != match.end()}
            yield Match(found.get(NAME), found.get(VALUE), found.get(STEP), found.get(FOLD))


@functools.lru_cache(maxsize=256)
def _compiled(text: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(text, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        what, _, part = said.partition(": ")
        place = text.find(part) if part else -1
        where = f"at character {place + 1}: " if place >= 0 else ""
        raise MetricRegexError(f"{where}{said or what} (the syntax is RE2's)") from None
