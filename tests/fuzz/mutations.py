"""Valid documents made odd: hypothesis draws what to change, and makes a failure small again."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

TEXTS = st.text(max_size=40) | st.sampled_from(
    [
        *("", " ", "${parameters.lr}", "${parameters.}", "$${lr}", "$(HOME)", "{{lr}}", "\x00"),
        *("nan", "-inf", "1e999", "0x10", "1_000", "٣", "½", "yes", "null", "~", "..", "/", "a/b"),
        *("9" * 4400, "(" * 300, "(a*)*b", "a" * 2000, "\ud800", "\u202e", "\x1b[31m", "[bold]"),
        *("5s", "1d", "1h30m", "-5s", "1Gi", "1000m", "1e3", "2026-01-01T00:00:00Z"),
        *("Failed", "Running", "OOMKilled", "Preempted", "kubestudy.dev/run", "default"),
    ]
)
NUMBERS = st.sampled_from(
    [0, 1, -1, 2**31, 2**53, 2**63 - 1, -(2**63), 0.1, -0.0, 1e-300, 1e300, 1e16, 2.5]
) | st.integers(-(2**63), 2**63 - 1)
PLAIN = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    PLAIN,
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=12), part, max_size=3)
    ),
    max_leaves=6,
)
"""JSON as an API server may hold it."""


def mutated(documents: Sequence[Any], values: st.SearchStrategy[Any] = VALUES) -> Any:
    """One of some documents with up to four places changed."""
    change = st.tuples(
        st.integers(0, 2**16), st.sampled_from(["put", "drop", "twice", "nest", "key"]), values
    )
    return st.builds(_apply, st.sampled_from(documents), st.lists(change, max_size=4))


def of_the_same_type(documents: Sequence[Any]) -> Any:
    """The same, but strings stay strings and so on: as a structural schema keeps them."""
    change = st.tuples(st.integers(0, 2**16), TEXTS, st.integers(-(2**31), 2**31))
    return st.builds(_apply_typed, st.sampled_from(documents), st.lists(change, max_size=4))


def _paths(part: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    items: Any = ()
    if isinstance(part, dict):
        items = part.items()
    elif isinstance(part, list):
        items = enumerate(part)
    for key, value in items:
        yield from _paths(value, (*path, key))


def _parent(document: Any, path: Path) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def _apply(document: Any, changes: Sequence[tuple[int, str, Any]]) -> Any:
    made = copy.deepcopy(document)
    for number, deed, value in changes:
        paths = [p for p in _paths(made) if p]
        if not paths:
            break
        path = paths[number % len(paths)]
        parent, key = _parent(made, path), path[-1]
        if deed == "put":
            parent[key] = value
        elif deed == "drop":
            del parent[key]
        elif deed == "nest":
            parent[key] = [parent[key]] if number % 2 else {"x": parent[key]}
        elif isinstance(parent, list):
            parent.insert(int(key), copy.deepcopy(parent[key]))
        else:
            parent[str(value)[:200]] = copy.deepcopy(parent[key])
    return made


def _apply_typed(document: Any, changes: Sequence[tuple[int, str, int]]) -> Any:
    made = copy.deepcopy(document)
    for number, text, integer in changes:
        paths = [p for p in _paths(made) if p]
        path = paths[number % len(paths)]
        parent, key = _parent(made, path), path[-1]
        old = parent[key]
        if isinstance(old, bool):
            parent[key] = not old
        elif isinstance(old, int):
            parent[key] = integer
        elif isinstance(old, str) and _is_checked(key, old):
            continue
        elif isinstance(old, str) and number % 4:
            parent[key] = text.encode(errors="replace").decode()  # Go has no lone surrogates.
        elif isinstance(old, list) and number % 3 == 0:
            parent[key] = []
        elif isinstance(parent, dict) and key not in ("metadata", "spec", "template"):
            del parent[key]  # as all optional fields may be missing
    return made


def _is_checked(key: str | int, value: str) -> bool:
    """Whether an API server sees to what stands there: times, names, and what it sets itself."""
    checked = (
        "uid",
        "name",
        "namespace",
        "resourceVersion",
        "phase",
        "status",
        "type",
        "kind",
        "nodeName",
    )
    return key in checked or value[:2] == "20"
