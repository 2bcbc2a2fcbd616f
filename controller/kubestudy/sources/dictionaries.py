"""Dictionaries that programs print, anywhere in a line: as Python writes them, and as JSON.

What is nested in one is passed over. Of a line that is cut within one, the pairs before the cut
that are whole are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from kubestudy.sources.numbers import VALUE, value_of

_BEGIN = "{'"
_PAIR = re.compile(rf"'([^'\s\\]{{1,128}})'\s*+:\s*+({VALUE})\s*+(?:,(?![0-9])|\}})")
_NOT_FLAT = re.compile(r'[{\["\\]')
_TOKEN = re.compile(
    r"""'[^'\\]*+(?:\\.[^'\\]*+)*' | "[^"\\]*+(?:\\.[^"\\]*+)*" | [\[{(] | [\]})] | ['"]""",
    re.VERBOSE,
)

_JSON_BEGIN = re.compile(r'\{\s*+"')
_WITHIN = ("[", "'", '"', "\\")
MOST = 16
"""JSON objects of a line that are read."""
_DECODER = json.JSONDecoder()


def python_dictionaries(line: str) -> Iterator[list[tuple[str, float]]]:
    """The numbers of each dictionary of a line whose first key is a text."""
    begin = line.find(_BEGIN)
    while begin >= 0:
        end = line.find("}", begin)
        if _NOT_FLAT.search(line, begin + 1, end if end >= 0 else len(line)):
            found, end = _outermost(line, begin)
        else:
            found = _PAIR.findall(line, begin, end + 1 if end >= 0 else len(line))
        yield [(name, v) for name, text in found if (v := value_of(text)) is not None]
        begin = line.find(_BEGIN, end) if end >= 0 else -1


def _outermost(line: str, begin: int) -> tuple[list[tuple[str, str]], int]:
    """The pairs that are not nested in another value, and where the dictionary ends; or -1."""
    found: list[tuple[str, str]] = []
    depth = 0
    for token in _TOKEN.finditer(line, begin):
        kind = token[0]
        if kind in ("'", '"'):
            break  # A text without an end: the line was cut, or this is no dictionary.
        if kind in ("{", "[", "("):
            depth += 1
        elif kind in ("}", "]", ")"):
            depth -= 1
            if depth == 0:
                return found, token.end()
        elif depth == 1 and (pair := _PAIR.match(line, token.start())):
            found.append((pair[1], pair[2]))
    return found, -1


def json_objects(line: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The JSON objects of a line, up to ``MOST``: where each begins, and what it holds.

    One in a list or in quotes is passed over, and so is what comes after one that is broken.
    """
    begin = 0 if line.startswith("{") else _next_object(line, 0)
    for _ in range(MOST):
        if begin < 0 or (begin and line[:begin].rstrip()[-1:] in _WITHIN):
            return
        try:
            record, end = _DECODER.raw_decode(line, begin)
        except (ValueError, RecursionError):
            return
        yield begin, record
        begin = _next_object(line, end)


def _next_object(line: str, begin: int) -> int:
    found = _JSON_BEGIN.search(line, begin)
    return found.start() if found else -1
