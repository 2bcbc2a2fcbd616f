"""What a log had in place of the metrics that a run owes, so that a person can be told."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field

MOST_NAMES = 8
LONGEST_NAME = 64
LONGEST_LINE = 160


@dataclass
class Unread:
    """What was not read, in bounded space.

    Attributes:
        lines: By metric, a line in which its name stood and was not read: the first one, or the
            first with a digit behind the name if there is any.
        printed: Other names that stood before a number; those that came first.
        looked: How many lines were looked at.
        over: Whether all that is owed has been reported, so that nothing is looked at any more.
    """

    lines: dict[str, str] = field(default_factory=dict)
    printed: list[str] = field(default_factory=list)
    looked: int = 0
    over: bool = False

    def fits(self, owed: Set[str]) -> bool:
        """Whether it is within its bounds, though people may have edited it."""
        texts = [*self.lines.values(), *self.printed]
        return (
            self.lines.keys() <= owed
            and len(self.printed) <= MOST_NAMES
            and self.looked >= 0
            and all(len(line) <= LONGEST_LINE for line in self.lines.values())
            and all(len(name) <= LONGEST_NAME for name in self.printed)
            and all(text.isprintable() for text in texts)
        )
