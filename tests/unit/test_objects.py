"""Objects as the API server sends them: whatever one of them is, the others are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.runtime import json_cutter
from kubestudy.runtime.json_cutter import LARGEST, JsonCutter, Piece, members
from kubestudy.runtime.objects import (
    DEEPEST,
    Identity,
    Shape,
    Unreadable,
    read_event,
    read_object,
)

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.text(max_size=5), ANY_JSON, max_size=4)
CHUNK = st.integers(1, 40)

METADATA = {
    "name": "a",
    "namespace": "team",
    "uid": "u",
    "resourceVersion": "7",
    "generation": 3,
}
THIS = Identity("team", "a", "u", 7, 3)


def cut(cutter: JsonCutter, raw: bytes, chunk: int) -> list[Piece]:
    """What is found in a stream that comes in chunks."""
    chunks = [raw[i : i + chunk] for i in range(0, len(raw), chunk)]
    return [piece for part in chunks for piece in cutter.feed(part)]


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (1 if isinstance(value, dict | list) else 0) + max(map(depth, inner), default=0)


def written(spec: str, **metadata: Any) -> bytes:
    """An object with a spec that Python may not be able to write."""
    return b'{"metadata":%s,"spec":%s}' % (
        json.dumps(METADATA | metadata).encode(),
        spec.encode(),
    )


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def the_one(raw: bytes) -> Piece:
    (found,) = cut(JsonCutter(), raw, 1 << 16)
    return found


@given(st.lists(OBJECTS, max_size=5), CHUNK, st.booleans(), st.sampled_from([None, 1]))
def test_a_list_is_cut_into_its_items(
    items: list[Any], chunk: int, ascii: bool, indent: int | None
) -> None:
    document = {"kind": "L", "odd": [{"items": 1}, []], "items": items, "metadata": {"a": ["]"]}}
    raw = json.dumps(document, ensure_ascii=ascii, indent=indent).encode(errors="replace")
    cutter = JsonCutter("items")
    pieces = cut(cutter, raw, chunk)
    assert [json.loads(p.raw) for p in pieces] == json.loads(raw)["items"] or "NaN" in str(raw)
    assert len(pieces) == len(items)
    for piece, item in zip(pieces, items, strict=True):
        assert piece.size == len(piece.raw)
        assert piece.depth - depth(item) in (0, 1)
    assert json.loads(cutter.frame) == document | {"items": []}


@given(st.lists(OBJECTS, max_size=5), CHUNK)
def test_events_are_cut_apart(events: list[Any], chunk: int) -> None:
    raw = b"".join(json.dumps(e).encode() + b"\n" for e in events)
    pieces = cut(JsonCutter(), raw, chunk)
    assert [p.raw for p in pieces] == [json.dumps(e).encode() for e in events]


@given(st.lists(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ ax1').map(str.encode)), CHUNK)
def test_any_bytes_are_cut_or_refused(parts: Sequence[bytes], chunk: int) -> None:
    raw = b"".join(parts)
    for cutter in (JsonCutter(), JsonCutter("items")):
        try:
            pieces = cut(cutter, raw, chunk)
        except ValueError:
            continue
        assert sum(p.size for p in pieces) <= len(raw)
        for piece in pieces:
            for read in (read_object, read_event):
                with pytest.raises(Unreadable):  # such bytes are no object of Kubernetes
                    read(piece)


@given(OBJECTS, st.integers(0, 200))
def test_members_are_found_also_where_it_breaks_off(document: dict[str, Any], end: int) -> None:
    raw = json.dumps(document).encode()
    found = {json.loads(f'"{name}"'): json.loads(raw[s:e]) for name, s, e in members(raw)}
    assert repr(found) == repr(json.loads(raw))
    for _, start, stop in members(raw[:end]):
        assert start <= stop <= end


@given(OBJECTS, OBJECTS)
def test_which_object_it_is_is_known_whatever_else_it_holds(
    spec: dict[str, Any], other: dict[str, Any]
) -> None:
    document = {**other, "metadata": {**METADATA, "labels": spec}, "spec": spec}
    raw = json.dumps(document).encode()
    assert Unreadable.of(raw, "", "").identity == THIS
    assert Unreadable.of(raw[:-1], "", "").identity == THIS


ODD = {
    "nested a thousand deep": (written(nested(1100)), "TooDeep"),
    "nested as deep as Go reads": (written("[" * 9990 + "]" * 9990), "TooDeep"),
    "one level too many": (written(nested(DEEPEST + 1)), "TooDeep"),
    "beyond a float": (written('{"a":1e999}'), "Unreadable"),
    "NaN": (written('{"a":NaN}'), "Unreadable"),
    "4300 digits": (written('{"a":%s}' % ("1" * 4300)), "Unreadable"),
    "5000 digits": (written('{"a":%s}' % ("1" * 5000)), "Unreadable"),
    "half a character": (written(r'{"a":"\ud800"}'), "Unreadable"),
    "half a character as a name": (written(r'{"\uDC00":1}'), "Unreadable"),
    "no UTF-8": (written('{"a":"x"}').replace(b'"x"', b'"\xff"'), "Unreadable"),
    "no JSON": (written("{a}"), "Unreadable"),
    "a spec that is none": (written("3"), "Unreadable"),
    "an annotation that is no text": (written("{}", annotations={"a": 3}), "Unreadable"),
    "labels that are a list": (written("{}", labels=["a"]), "Unreadable"),
    "owners that are none": (written("{}", ownerReferences=[3]), "Unreadable"),
    "a time that is none": (written("{}", creationTimestamp=3), "Unreadable"),
    "too large a field": (written('{"a":"%s"}' % ("x" * (256 << 10))), "TooLarge"),
    "too large by far": (written('{"a":"%s"}' % ("x" * LARGEST)), "TooLarge"),
}
SHAPE = Shape(limits={"spec": 256 << 10})


@pytest.mark.parametrize(("raw", "reason"), ODD.values(), ids=ODD)
def test_an_odd_object_is_refused_by_name(raw: bytes, reason: str) -> None:
    with pytest.raises(Unreadable) as listed:
        read_object(the_one(raw), SHAPE)
    with pytest.raises(Unreadable) as watched:
        read_event(the_one(b'{"type":"MODIFIED","object":%s}\n' % raw), SHAPE)
    for error in (listed.value, watched.value):
        assert error.identity == THIS
        assert error.reason == reason
        assert len(str(error)) < 500
    assert watched.value.event == "MODIFIED"


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": 3},
        {"name": ""},
        {"uid": None},
        {"resourceVersion": 7},
        {"resourceVersion": "x"},
        {"resourceVersion": "1" * 30},
    ],
)
def test_an_object_without_a_name_is_no_object(metadata: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        read_object(the_one(written("{}", **metadata)))


def test_what_is_left_out_is_not_read() -> None:
    deep = written(f'{{"template":{{"a":"{"x" * (1 << 20)}"}},"suspend":true}}')
    shape = Shape(frozenset({("spec", "template"), ("metadata", "uid")}))
    with pytest.raises(Unreadable, match=r"metadata\.uid"):
        read_object(the_one(deep), shape)
    found = read_object(the_one(deep), Shape(frozenset({("spec", "template")})))
    assert found["spec"] == {"template": None, "suspend": True}


def test_what_an_odd_object_says_of_itself_is_read_by_itself() -> None:
    raw = written(nested(1100))[:-1] + b',"status":{"conditions":[{"type":"Accepted"}]}}'
    with pytest.raises(Unreadable) as error:
        read_object(the_one(raw))
    assert error.value.status == {"conditions": [{"type": "Accepted"}]}


def test_what_is_around_the_objects_is_bounded() -> None:
    cutter = JsonCutter("items")
    with pytest.raises(ValueError, match="beside the objects"):
        cut(cutter, b'{"a":"' + b"x" * (2 * json_cutter.LONGEST_FRAME), 1000)
    stream = JsonCutter()
    assert cut(stream, b" " * (1 << 20), 1 << 16) == []
    assert len(stream.frame) == 0
