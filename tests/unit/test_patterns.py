"""Regular expressions are those that every Python 3.11 matches alike."""

from __future__ import annotations

import re
from pathlib import Path

import kubestudy

SOURCES = sorted(Path(kubestudy.__file__).parent.rglob("*.py"))
POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{[0-9,]+\})\+")


def test_no_group_is_repeated_possessively() -> None:
    """Below 3.11.5 it matches wrongly (cpython#106052), and Debian 12 has 3.11.2."""
    assert len(SOURCES) > 150
    found = [
        f"{source.name}:{number}"
        for source in SOURCES
        for number, line in enumerate(source.read_text().splitlines(), 1)
        if POSSESSIVE_GROUP.search(line) and not line.startswith("#")
    ]
    assert found == []
