"""What was seen of the API server: what is gone may be of use for a while."""

from __future__ import annotations

from kubestudy.runtime.cache import Cache
from kubestudy.runtime.client import Object

GROUP = "study"


def obj(name: str, version: int, phase: str = "Failed") -> Object:
    metadata = {"namespace": "team", "name": name, "uid": name, "resourceVersion": str(version)}
    return {"metadata": metadata, "status": {"phase": phase}}


def cache_of(wanted: set[str]) -> Cache[Object]:
    return Cache(lambda o: o, lambda _: GROUP, lambda o: o["metadata"]["name"] in wanted)


def names(cache: Cache[Object]) -> list[str]:
    return sorted(o["metadata"]["name"] for o in cache.group(GROUP))


def test_what_is_of_use_outlives_its_object_as_it_was_at_last() -> None:
    wanted = {"a"}
    cache = cache_of(wanted)
    cache.put(obj("a", 1, "Running"))
    cache.put(obj("b", 2))
    assert cache.remove(obj("a", 3))
    assert cache.remove(obj("b", 4))
    (kept,) = cache.group(GROUP)
    assert (kept["metadata"]["name"], kept["status"]["phase"]) == ("a", "Failed")
    assert not cache.put(obj("a", 5)), "it is gone all the same"
    cache.sweep(GROUP)
    assert names(cache) == ["a"]
    wanted.clear()
    cache.sweep(GROUP)
    assert names(cache) == []
    assert len(cache) == 0


def test_what_a_new_list_lacks_may_outlive_it_too() -> None:
    wanted = {"a"}
    cache = cache_of(wanted)
    for name in ("a", "b", "c"):
        cache.put(obj(name, 1))
    assert cache.replace([obj("c", 1)], version=lambda: 9) == [GROUP, GROUP]
    assert names(cache) == ["a", "c"]
    assert cache.replace([obj("c", 1)], version=lambda: 10) == [], "that is no news any more"
    wanted.clear()
    cache.sweep(GROUP)
    assert names(cache) == ["c"]


def test_each_object_that_is_let_go_of_is_told_once() -> None:
    wanted, told = {"a"}, list[str]()
    cache: Cache[Object] = Cache(
        lambda o: o, lambda _: GROUP, lambda o: o["metadata"]["name"] in wanted, told.append
    )
    for name in ("a", "b", "c"):
        cache.put(obj(name, 1))
        cache.put(obj(name, 2))  # it has changed
    assert told == []
    cache.remove(obj("b", 3))
    cache.remove(obj("a", 4))
    assert told == ["b"], "the other is of use for a while"
    wanted.clear()
    cache.sweep(GROUP)
    cache.replace([], version=lambda: 9)
    assert told == ["b", "a", "c"]
    successor = obj("c", 10)
    cache.put(obj("d", 9))
    successor["metadata"] |= {"name": "d"}
    cache.put(successor)  # of the same name, and another one
    assert told == ["b", "a", "c", "d"]
