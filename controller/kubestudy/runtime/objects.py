"""Reads objects as the API server sends them, each by itself.

The API server stores what this process could not hold: nested a thousand deep, megabytes of one
field, numbers that are none. Whatever is wrong with one of them is said of it, by an exception that
knows which object it is, and the others are read.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from kubestudy.runtime.json_cutter import LARGEST, Piece, members

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""
Path = tuple[str, ...]
"""Where a field stands: its name, after those of the objects that it is in."""

DEEPEST = 64
"""Objects and arrays in each other; a pod has about fifteen."""
LONGEST_INT = 20
"""Characters of a whole number: Kubernetes' have 64 bits."""
LIGHT = 64 << 10
"""Bytes of an object that is read as it is."""
HEAVY = 256 << 10
"""Bytes of an object of which no two are read at once: in Python it may have 30 times that."""

_one_at_a_time = threading.Lock()
_EVENT = re.compile(rb'\{\s*"type"\s*:\s*"([A-Z]{1,16})"\s*,\s*"object"\s*:\s*(?=\{)')
_VERSION = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True)
class Identity:
    """Which object it is, as far as that can be read.

    Attributes:
        namespace: Its namespace; empty for none.
        name: Its name.
        uid: Its UID; empty where that is not known.
        version: Its resource version.
        generation: Of its spec; 0 where that is not known.
        deleting: Whether it is about to go.
    """

    namespace: str
    name: str
    uid: str = ""
    version: int = 0
    generation: int = 0
    deleting: bool = False

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name


class Unreadable(ValueError):
    """An object that cannot be read.

    Attributes:
        identity: Which one it is; None where not even that is known.
        reason: Why, in CamelCase.
        status: What its status says, where that can be read by itself; else empty.
        event: What has become of it, such as ADDED, where it came by a watch.
    """

    def __init__(self, identity: Identity | None, reason: str, message: str) -> None:
        super().__init__(message)
        self.identity, self.reason = identity, reason
        self.status: Object = {}
        self.event = ""

    @classmethod
    def of(cls, raw: bytes, reason: str, message: str) -> Unreadable:
        """What is said of an object, of which as much is read as can be."""
        error = cls(None, reason, message)
        for name, start, end in members(raw):
            if name == "metadata":
                error.identity = _identity(raw, start)
            if name == "status" and end - start <= LIGHT:
                with contextlib.suppress(ValueError, RecursionError):
                    error.status = _parse(raw[start:end])
        return error

    def bare(self) -> Unreadable:
        """Itself without the frames that it was raised in: they hold the object's bytes."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self


@dataclass(frozen=True)
class Shape:
    """What is read of the objects of a kind.

    Attributes:
        left_out: Paths of fields that are not read where the object is not light.
        limits: The most bytes, as JSON, that a field of the object may have.
    """

    left_out: frozenset[Path] = frozenset({("metadata", "managedFields")})
    limits: Mapping[str, int] = field(default_factory=dict)


PLAIN = Shape()


def key_of(obj: Object) -> Key:
    """Namespace and name of an object."""
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def version_of(obj: Object) -> int:
    """The object's resource version, which grows with every change (KEP-5504)."""
    return int(obj["metadata"]["resourceVersion"])


def identity_of(obj: Object) -> Identity:
    """Which object this is, of one that was read."""
    metadata = obj["metadata"]
    generation = metadata.get("generation")
    return Identity(
        *key_of(obj),
        uid=metadata["uid"],
        version=version_of(obj),
        generation=generation if isinstance(generation, int) else 0,
        deleting=metadata.get("deletionTimestamp") is not None,
    )


def read_object(piece: Piece, shape: Shape = PLAIN) -> Object:
    """Reads an object.

    Raises:
        Unreadable: It is beyond a bound, or is not what an object of Kubernetes is.
    """
    obj = read_json(piece, shape)
    try:
        return _checked(obj)
    except ValueError as error:
        raise Unreadable.of(piece.raw, "Unreadable", str(error)[:200]) from None


def read_json(piece: Piece, shape: Shape = PLAIN) -> Object:
    """Reads an object, of which nothing is taken for granted.

    Raises:
        Unreadable: It is beyond a bound, or no JSON.
    """
    raw = piece.raw
    try:
        if piece.size > len(raw):
            _refuse("TooLarge", f"it has {_amount(piece.size)}, and at most {LARGEST >> 20} MiB")
        if piece.depth > DEEPEST + 1:
            _refuse("TooDeep", f"its fields are nested more than {DEEPEST} deep")
        if len(raw) > LIGHT:
            raw = _without(raw, shape)
        if len(raw) <= HEAVY:
            return _parse(raw)
        with _one_at_a_time:
            return _parse(raw)
    except Unreadable as error:
        raise Unreadable.of(piece.raw, error.reason, str(error)) from None
    except (ValueError, RecursionError, MemoryError) as error:
        message = f"it is no JSON that can be read: {str(error)[:200]}"
        raise Unreadable.of(piece.raw, "Unreadable", message) from None


def read_event(piece: Piece, shape: Shape = PLAIN) -> tuple[str, Object]:
    """Reads an event of a watch: its type, and the object.

    Raises:
        Unreadable: The object cannot be read.
    """
    begin = _EVENT.match(piece.raw)
    if begin is None:
        raise Unreadable(None, "Unreadable", "an event of a watch has no object")
    kind, raw = begin[1].decode(), piece.raw[begin.end() :]
    if piece.size == len(piece.raw):
        raw = raw[: raw.rindex(b"}")]
    found = Piece(raw, piece.size - len(piece.raw) + len(raw), piece.depth - 1)
    if kind in ("ERROR", "BOOKMARK"):
        try:
            told = _parse(raw[:LIGHT])
        except (ValueError, RecursionError) as error:
            raise Unreadable(None, "Unreadable", str(error)[:200]) from None
        return kind, told
    try:
        return kind, read_object(found, shape)
    except Unreadable as error:
        error.event = kind
        raise


def _identity(raw: bytes, metadata: int) -> Identity | None:
    told = {k: raw[s:e] for k, s, e in members(raw, metadata) if k in _IDENTIFYING}
    text = {k: _text(v) for k, v in told.items()}
    if not text.get("name"):
        return None
    version, generation = text.get("resourceVersion", ""), told.get("generation", b"").decode()
    return Identity(
        namespace=text.get("namespace", ""),
        name=text["name"],
        uid=text.get("uid", ""),
        version=int(version) if _VERSION.fullmatch(version) else 0,
        generation=int(generation) if _VERSION.fullmatch(generation) else 0,
        deleting=bool(text.get("deletionTimestamp")),
    )


_IDENTIFYING = frozenset(
    {"name", "namespace", "uid", "resourceVersion", "generation", "deletionTimestamp"}
)
_LONGEST_NAME = 253


def _text(raw: bytes) -> str:
    """A string of at most the length of a name; empty where it is none."""
    if len(raw) > 6 * _LONGEST_NAME or raw[:1] != b'"':
        return ""
    try:
        value = json.loads(raw)
        value.encode()
    except ValueError:
        return ""
    return value[:_LONGEST_NAME] if isinstance(value, str) else ""


def _parse(raw: bytes) -> Object:
    """JSON as Kubernetes has it: no NaN, nothing infinite, no half characters."""
    found = json.loads(raw, parse_constant=_no_number, parse_float=_finite, parse_int=_int)
    if not isinstance(found, dict):
        raise ValueError("it is no object")
    if _ESCAPED_SURROGATE.search(raw):
        json.dumps(found, ensure_ascii=False).encode()
    return found


_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word[:40]} is no number that can be stored")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _int(text: str) -> int:
    return int(text) if len(text) <= LONGEST_INT else _no_number(text)


def _checked(obj: Object) -> Object:
    """The object, whose metadata is as the rest of this program takes for granted.

    Raises:
        ValueError: It is not.
    """
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict):
        raise ValueError("metadata is missing")
    for name in ("name", "uid", "resourceVersion"):
        if not isinstance(metadata.get(name), str) or not metadata[name]:
            raise ValueError(f"metadata.{name} is missing")
    if not _VERSION.fullmatch(metadata["resourceVersion"]):
        raise ValueError("metadata.resourceVersion is no number")
    for name in ("namespace", "creationTimestamp", "deletionTimestamp"):
        if not isinstance(metadata.get(name, ""), str | None):
            raise ValueError(f"metadata.{name} is no string")
    for name in ("labels", "annotations"):
        texts = metadata.get(name) or {}
        if not isinstance(texts, dict) or not all(isinstance(v, str) for v in texts.values()):
            raise ValueError(f"metadata.{name} are no strings")
    owners = metadata.get("ownerReferences") or []
    if not isinstance(owners, list) or not all(
        isinstance(o, dict) and isinstance(o.get("uid"), str) for o in owners
    ):
        raise ValueError("metadata.ownerReferences name no UID")
    for name in ("spec", "status"):
        if not isinstance(obj.get(name), dict | None):
            raise ValueError(f"{name} is no object")
    return obj


def _without(raw: bytes, shape: Shape) -> bytes:
    """An object without what is left out.

    Raises:
        Unreadable: A field is larger than it may be.
    """
    left_out: list[tuple[int, int]] = []
    for name, start, end in members(raw):
        inner = [path[1:] for path in shape.left_out if path[0] == name]
        without = [(start, end)] if () in inner else list(_spans(raw, start, frozenset(inner)))
        left_out += without
        size = end - start - sum(e - s for s, e in without)
        if size > shape.limits.get(name, LARGEST):
            most = shape.limits[name]
            _refuse(
                "TooLarge",
                f"{name} has {_amount(size)} as JSON, and at most "
                f"{_amount(most)}; what is large belongs into a ConfigMap or a volume",
            )
    parts, at = [], 0
    for start, end in left_out:
        parts += [raw[at:start], b"null"]
        at = end
    return b"".join([*parts, raw[at:]])


def _spans(raw: bytes, at: int, wanted: frozenset[Path]) -> Iterator[tuple[int, int]]:
    """Where the values of these paths stand within an object, in order."""
    for name, start, end in members(raw, at) if wanted else ():
        inner = frozenset(path[1:] for path in wanted if path[0] == name)
        if () in inner:
            yield start, end
        else:
            yield from _spans(raw, start, inner)


def _amount(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _refuse(reason: str, message: str) -> NoReturn:
    raise Unreadable(None, reason, message)
