"""Lists and watches: one odd object is one odd object, and the rest goes on."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from kubestudy.runtime import watch
from kubestudy.runtime.cache import Cache, key_of
from kubestudy.runtime.client import PAGE, PODS, ApiError
from kubestudy.runtime.json_cutter import JsonCutter, Piece
from kubestudy.runtime.objects import Object, Unreadable
from kubestudy.runtime.watch import LARGE_PAGE, Collection, Informer
from tests.support.waiting import until

DEEP = '{"a":' * 1100 + "1" + "}" * 1100


def raw(name: str, version: int, spec: str = "{}", **metadata: Any) -> str:
    found = {"name": name, "namespace": "team", "uid": name, "resourceVersion": str(version)}
    return f'{{"metadata":{json.dumps(found | metadata)},"spec":{spec}}}'


def event(kind: str, obj: str) -> str:
    return f'{{"type":"{kind}","object":{obj}}}'


def pieces(texts: Sequence[str]) -> list[Piece]:
    cutter = JsonCutter()
    return [piece for text in texts for piece in cutter.feed(text.encode())]


class Listed:
    """One list."""

    def __init__(self, texts: Sequence[str | ApiError], version: int) -> None:
        self._texts, self.version = texts, str(version)

    def __iter__(self) -> Iterator[Piece]:
        for text in self._texts:
            if isinstance(text, ApiError):
                raise text
            yield from pieces([text])


class Api:
    """An API server that gives out lists, and then watches, one after the other."""

    def __init__(self, lists: Sequence[Listed], watches: Sequence[Sequence[str]]) -> None:
        self._lists, self._watches = list(lists), list(watches)
        self.pages: list[int] = []
        self.watched_from: list[str] = []
        self.over = threading.Event()

    def listing(self, _: Any, __: Any, page: int, **___: Any) -> Listed:
        self.pages.append(page)
        return self._lists.pop(0)

    def watch_unread(self, _: Any, __: Any, version: str, **___: Any) -> Iterator[Piece]:
        self.watched_from.append(version)
        if not self._watches:
            self.over.set()
            raise ApiError(0, "Unreachable", "it is over")
        yield from pieces(self._watches.pop(0))


@pytest.fixture
def follow() -> Iterator[Callable[..., Cache[Object]]]:
    """Follows all that an API server has to give, and returns what is known then."""
    informers: list[Informer] = []

    def start(api: Any, seen: Callable[[Object], None] | None = None) -> Cache[Object]:
        cache: Cache[Object] = Cache(lambda o: o, key_of, unreadable=lambda e: {"odd": str(e)})
        informer = Informer(api, Collection(PODS), cache, lambda _: None, seen)
        informers.append(informer)
        informer.start()
        until(api.over.is_set, what="all was taken", timeout=20)
        return cache

    yield start
    for informer in informers:
        informer.stop()


def test_a_list_with_an_odd_object_is_a_list(follow) -> None:
    listed = [raw("a", 1), raw("deep", 2, DEEP), '{"metadata":{}}', raw("b", 3)]
    api = Api([Listed(listed, 5)], [])
    cache = follow(api)
    assert cache.get(("team", "a")) is not None
    assert cache.get(("team", "b")) is not None
    assert cache.get(("team", "deep")) == {"odd": "its fields are nested more than 64 deep"}
    assert len(cache) == 3
    assert api.watched_from == ["5"]


def test_a_watch_goes_on_behind_an_odd_object(follow) -> None:
    events = [
        event("MODIFIED", raw("deep", 6, DEEP)),
        event("ADDED", raw("b", 7)),
        '{"type":"ADDED"}',
        '{"type":"ADDED","object":{"metadata":{"name":3}}}',
        '{"type":7,"object":[]}',
        event("BOOKMARK", '{"metadata":{"resourceVersion":"9"}}'),
        event("BOOKMARK", '{"metadata":{"resourceVersion":["x"]}}'),
        event("MODIFIED", raw("large", 10, json.dumps({"a": "x" * (3 << 20)}))),
        event("DELETED", raw("deep", 11, DEEP)),
    ]
    api = Api([Listed([raw("deep", 1)], 5)], [events])
    cache = follow(api)
    assert {key_of(o)[1] for o in cache.values()} == {"b", "large"}
    assert api.watched_from == ["5", "11"], "nothing is listed again"


def test_what_one_object_leads_to_is_no_matter_of_the_others(follow) -> None:
    told = []

    def seen(obj: Object) -> None:
        told.append(obj["metadata"]["name"])
        if told[-1] == "a":
            raise RecursionError("a bug")

    follow(Api([Listed([raw("a", 1)], 1)], [[event("ADDED", raw(n, 2)) for n in "ab"]]), seen)
    assert told == ["a", "a", "b"]


def test_a_list_that_takes_too_long_is_read_by_larger_pages(
    follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MAX_BACKOFF", 0.01)
    expired = ApiError(410, "Expired", "the continue token is too old")
    api = Api([Listed([raw("a", 1), expired], 0), Listed([raw("b", 2)], 5)], [])
    cache = follow(api)
    assert api.pages == [PAGE, LARGE_PAGE]
    assert [key_of(o)[1] for o in cache.values()] == ["b"]


def test_a_list_of_one_namespace_says_nothing_of_another() -> None:
    cache: Cache[Object] = Cache(lambda o: o, key_of)
    mine = {"metadata": json.loads(raw("a", 1))["metadata"]}
    other = {"metadata": {**mine["metadata"], "namespace": "neighbour", "uid": "n"}}
    cache.replace([mine], lambda: 5, "team")
    cache.replace([other], lambda: 6, "neighbour")
    assert len(cache) == 2
    cache.replace([], lambda: 7, "team")
    assert [key_of(o)[0] for o in cache.values()] == ["neighbour"]


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError(), TypeError(), Unreadable])
def test_whatever_reading_an_object_leads_to_is_its_own_matter(error: Any) -> None:
    def read(obj: Object) -> Object:
        if obj["metadata"]["name"] == "odd":
            raise error if isinstance(error, Exception) else Unreadable(None, "Odd", "odd")
        return obj

    dropped: list[str] = []
    cache: Cache[Object] = Cache(read, key_of, dropped=dropped.append)
    objects = [json.loads(raw(name, 1)) for name in ("a", "odd", "b")]
    cache.replace(objects, lambda: 5)
    assert [key_of(o)[1] for o in cache.values()] == ["a", "b"]
