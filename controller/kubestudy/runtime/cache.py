"""What the API server holds, as far as it has been seen."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kubestudy.runtime.client import Object

log = logging.getLogger(__name__)

T = TypeVar("T")
Key = tuple[str, str]
"""Namespace and name."""


def key_of(obj: Object) -> Key:
    """Namespace and name of an object."""
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def version_of(obj: Object) -> int:
    """The object's resource version, which grows with every change (KEP-5504)."""
    return int(obj["metadata"]["resourceVersion"])


@dataclass(frozen=True)
class _Entry(Generic[T]):
    version: int
    uid: str
    group: Hashable
    value: T


class Cache(Generic[T]):
    """The objects of one kind, read once per change and grouped by the Study they belong to.

    The shell writes what it has just written through into the cache, so that its next decision
    never sees a world older than its own deeds. An older version never replaces a newer one, and
    an object that is known to be gone does not come back.

    Args:
        read: Makes the cached value of an object; it must not be changed afterwards.
        group: Names the group of an object, such as its Study; None for none.
        outlives: Whether a value is still of use when its object is gone; see `sweep`.
        dropped: Told the UID of each object that is let go of. It must not call the cache.
    """

    def __init__(
        self,
        read: Callable[[Object], T],
        group: Callable[[Object], Hashable | None],
        outlives: Callable[[T], bool] = lambda _: False,
        dropped: Callable[[str], object] = lambda _: None,
    ):
        self._read, self._group, self._outlives = read, group, outlives
        self._dropped = dropped
        self._lock = threading.Lock()
        self._entries: dict[Key, _Entry[T]] = {}
        self._groups: dict[Hashable, dict[Key, T]] = defaultdict(dict)
        self._gone: dict[str, None] = {}
        self._left: set[Key] = set()

    def get(self, key: Key) -> T | None:
        """The value of an object; None where it is not known."""
        with self._lock:
            entry = self._entries.get(key)
            return entry.value if entry else None

    def group_of(self, obj: Object) -> Hashable | None:
        """The group that an object belongs to."""
        return self._group(obj)

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def group(self, group: Hashable) -> list[T]:
        """The values of a group, in no particular order."""
        with self._lock:
            return list(self._groups.get(group, {}).values())

    def values(self) -> list[T]:
        """The values of all objects."""
        with self._lock:
            return [entry.value for entry in self._entries.values()]

    def put(self, obj: Object) -> bool:
        """Takes an object; returns whether it is news."""
        key, version, uid = key_of(obj), version_of(obj), obj["metadata"]["uid"]
        with self._lock:
            known = self._entries.get(key)
            if known is not None and known.version >= version:
                return False
            if uid in self._gone:
                return False
            self._set(key, version, uid, obj)
            return True

    def remove(self, obj: Object) -> bool:
        """Takes note that an object is gone; returns whether it is news."""
        key, uid = key_of(obj), obj["metadata"]["uid"]
        with self._lock:
            self._gone[uid] = None
            while len(self._gone) > 10_000:
                del self._gone[next(iter(self._gone))]
            known = self._entries.get(key)
            if known is None or known.uid != uid:
                return False
            self._set(key, version_of(obj), uid, obj)
            self._leave(key)
            return True

    def sweep(self, group: Hashable) -> None:
        """Drops what outlived its object, and is of no more use."""
        with self._lock:
            for key in [k for k in self._left if self._entries[k].group == group]:
                self._leave(key)

    def replace(self, objects: Iterable[Object], version: int) -> list[Hashable]:
        """Takes a whole list; returns the groups that it changed.

        Args:
            objects: Everything that there is.
            version: The list's own resource version: what was written through later is kept.
        """
        changed: list[Hashable] = []
        with self._lock:
            listed = {key_of(o): o for o in objects}
            for key in [k for k, e in self._entries.items() if e.version <= version]:
                if key not in listed and key not in self._left:
                    changed.append(self._entries[key].group)
                    self._leave(key)
            for key, obj in listed.items():
                known, new = self._entries.get(key), version_of(obj)
                if known is None or known.version < new:
                    changed.append(self._set(key, new, obj["metadata"]["uid"], obj))
        return changed

    def _set(self, key: Key, version: int, uid: str, obj: Object) -> Hashable:
        known = self._entries.get(key)
        if known is not None and known.uid != uid:
            self._dropped(known.uid)
        self._take_out(key)
        group = self._group(obj)
        try:
            value = self._read(obj)
        except ValueError as error:
            # One odd object must not take the others of its kind with it.
            log.error("%s %s/%s cannot be read: %s", obj.get("kind", "object"), *key, error)
            return group
        obj["metadata"].pop("managedFields", None)
        self._entries[key] = _Entry(version, uid, group, value)
        self._groups[group][key] = value
        return group

    def _leave(self, key: Key) -> None:
        entry = self._entries.get(key)
        if entry is not None and self._outlives(entry.value):
            self._left.add(key)
        else:
            if entry is not None:
                self._dropped(entry.uid)
            self._take_out(key)

    def _take_out(self, key: Key) -> None:
        self._left.discard(key)
        entry = self._entries.pop(key, None)
        if entry is not None:
            del self._groups[entry.group][key]
            if not self._groups[entry.group]:
                del self._groups[entry.group]
