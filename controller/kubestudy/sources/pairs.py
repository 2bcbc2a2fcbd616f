"""Names with numbers after them, anywhere in a line: ``accuracy=0.91, loss : 0.2``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kubestudy.sources.numbers import (
    ALONE,
    FRACTION,
    VALUE,
    goes_on,
    percentage,
    same,
    value_of,
)

WITHIN = r"[\w./\-@]"
"""What is not before a name: with any of these, it is the end of another one."""


class Pairs:
    """Finds numbers that stand after names.

    Args:
        names: The names, as they are written.
    """

    def __init__(self, names: Iterable[str]):
        longest_first = sorted(names, key=len, reverse=True)
        # What stands before a name is looked at after it: so names are found at once.
        either = "|".join(
            rf"{re.escape(name)}(?<!{WITHIN}{'.' * len(name)})" for name in longest_first
        )
        self._pattern = re.compile(
            rf"({either})\s*+[=:]\s*+(?:{FRACTION}{ALONE}|({VALUE})(?:({ALONE}))?)", re.DOTALL
        )

    def read(self, line: str) -> dict[str, float]:
        """The numbers by name; a name that has several there, or a part of one, has none."""
        found: list[tuple[str, float]] = []
        unsure: list[str] = []
        for match in self._pattern.finditer(line):
            name, hits, total, percent, text, alone = match.groups()
            if hits is not None:
                value = percentage(hits, total, percent)
            elif alone is None or goes_on(text, line, match.end()):
                value = None
            else:
                value = value_of(text)
            if value is None:
                unsure.append(name)
            else:
                found.append((name, value))
        values = unanimous(found)
        for name in unsure:
            values.pop(name, None)
        return values


def unanimous(pairs: Sequence[tuple[str, float]]) -> dict[str, float]:
    """The values by name, without those of which there are several: which one is meant?"""
    values = dict(pairs)
    if len(values) < len(pairs):
        for name, value in pairs:
            if name in values and not same(values[name], value):
                del values[name]
    return values
