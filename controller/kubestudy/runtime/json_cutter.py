"""Cuts a stream of JSON into the objects in it, without reading any of them.

So an answer of a server is never in memory as a whole, and one object that cannot be read, since it
is too large or too deep, costs nothing but itself: where it ends is known all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LARGEST = 8 << 20
"""Bytes of an object that are kept; etcd takes 1.5 MiB, which may be several times that as JSON."""
LONGEST_FRAME = 64 << 10
"""Bytes around the objects, such as a list's own metadata."""

LONGEST_NAME = 256
"""Bytes of a field's name that are looked at."""
WINDOW = 64 << 10
"""Bytes that a pattern is matched against at once: it takes memory for each thing it repeats."""

# Groups are not repeated possessively: Python 3.11 below 3.11.5 then matches too much or too little
# (https://github.com/python/cpython/issues/106052). What is repeated in them is, and so they cannot
# be matched in another way either.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*"'
_PLAIN = rb'(?:[^"{}\[\]]++|%s)*' % _STRING
_LEAVES = rb'(?:[^"{}\[\]]++|%s|\{%s\}|\[%s\])*' % (_STRING, _PLAIN, _PLAIN)
# What lies before the next bracket that counts: within an object also those in which no other is.
_BEFORE_BRACKET = re.compile(_PLAIN, re.DOTALL)
_WITHIN_OBJECT = re.compile(_LEAVES, re.DOTALL)
_BETWEEN = re.compile(rb"[\s,]*+")
_COLON = re.compile(rb"\s*+:\s*+")
_SCALAR = re.compile(rb"[^\s,{}\[\]]*+")
_REST_OF_STRING = re.compile(_STRING[1:], re.DOTALL)
_QUOTE, _OPENING = ord('"'), frozenset(b"{[")


@dataclass(frozen=True)
class Piece:
    """One object as it came.

    Attributes:
        raw: Its bytes, or the first ``LARGEST`` of them.
        size: How many there were.
        depth: How many objects and arrays are nested in it, itself included, or one more.
    """

    raw: bytes
    size: int
    depth: int


class JsonCutter:
    """Finds the objects in a stream.

    Args:
        array: The field whose array holds the objects; without it they follow one another, as in a
            watch.

    Attributes:
        frame: All that is around the array's items, as JSON: a list with an empty array.
    """

    def __init__(self, array: str | None = None):
        self._field = re.compile(rb'"%s"\s*:\s*\[\Z' % array.encode()) if array else None
        self.frame = bytearray()
        self._among = array is None
        self._depth = self._base = self._deepest = self._size = 0
        self._in_string = self._escaped = False
        self._parts: list[bytes] | None = None

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """Takes what has arrived; yields the objects that have ended with it.

        Raises:
            ValueError: More is closed than was opened, or the frame is too long.
        """
        at = begin = 0
        while at < len(chunk):
            if self._in_string:
                at = self._skip_string(chunk, at)
                continue
            skip = _BEFORE_BRACKET if self._parts is None else _WITHIN_OBJECT
            if (found := skip.match(chunk, at)) is not None:
                at = found.end()
            if at == len(chunk):
                break
            byte = chunk[at]
            at += 1
            if byte == _QUOTE:
                self._in_string = True
            elif byte in _OPENING:
                if self._parts is None:
                    if self._among:
                        self._parts, begin = [], at - 1
                        self._base, self._size, self._deepest = self._depth, 0, 0
                    elif self._field is not None:
                        self._take(chunk[begin:at])
                        begin = at
                        # Once: an object of this name within the frame is none of the list's.
                        if self._field.search(self.frame[-256:]):
                            self._among, self._base, self._field = True, self._depth + 1, None
                self._depth += 1
                self._deepest = max(self._deepest, self._depth - self._base + 1)
            else:
                self._depth -= 1
                if self._depth < 0:
                    raise ValueError("more is closed than was opened")
                if self._parts is not None and self._depth == self._base:
                    self._take(chunk[begin:at])
                    begin = at
                    yield Piece(b"".join(self._parts), self._size, self._deepest)
                    self._parts = None
                elif self._parts is None and self._among and self._depth == self._base - 1:
                    self._among, begin = False, at - 1
        self._take(chunk[begin:])

    def _skip_string(self, chunk: bytes, at: int) -> int:
        """Returns where the string ends, or the chunk within it."""
        if self._escaped:
            self._escaped = False
            at += 1
        if end := _REST_OF_STRING.match(chunk, at):
            self._in_string = False
            return end.end()
        rest = chunk[at:]
        self._escaped = (len(rest) - len(rest.rstrip(b"\\"))) % 2 == 1
        return len(chunk)

    def _take(self, part: bytes) -> None:
        if self._parts is not None:
            if self._size < LARGEST:
                self._parts.append(part[: LARGEST - self._size])
            self._size += len(part)
        elif not self._among:
            self.frame += part
            if len(self.frame) > LONGEST_FRAME:
                raise ValueError(f"there are more than {LONGEST_FRAME} bytes beside the objects")


def members(raw: bytes, at: int = 0) -> Iterator[tuple[str, int, int]]:
    """The members of one object, unread: each name, and where its value begins and ends.

    Args:
        raw: JSON, which may break off; the last value then ends where it does.
        at: Where the object begins.
    """
    if raw[at : at + 1] != b"{":
        return
    at = _end(_BETWEEN, raw, at + 1)
    while raw[at : at + 1] == b'"':
        name_ends = _end_of_string(raw, at)
        colon = _COLON.match(raw, name_ends)
        if colon is None:
            return
        start = colon.end()
        name = raw[at + 1 : name_ends - 1][:LONGEST_NAME].decode(errors="replace")
        at = _end_of_value(raw, start)
        yield name, start, at
        at = _end(_BETWEEN, raw, at)


def _end_of_value(raw: bytes, start: int) -> int:
    first = raw[start : start + 1]
    if first == b'"':
        return _end_of_string(raw, start)
    if first not in (b"{", b"["):
        return _end(_SCALAR, raw, start)
    at, depth = start + 1, 1
    while depth and at < len(raw):
        found = _WITHIN_OBJECT.match(raw, at, at + WINDOW)
        at = found.end() if found else at
        byte = raw[at : at + 1]
        if byte == b'"':
            at = _end_of_string(raw, at)
        elif byte in (b"{", b"[", b"}", b"]"):
            depth += 1 if byte in (b"{", b"[") else -1
            at += 1
    return at


def _end_of_string(raw: bytes, start: int) -> int:
    at = start + 1
    while (quote := raw.find(b'"', at)) >= 0:
        before = raw[at:quote]
        at = quote + 1
        if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
            return at
    return len(raw)


def _end(pattern: re.Pattern[bytes], raw: bytes, at: int) -> int:
    found = pattern.match(raw, at)
    return found.end() if found else at
