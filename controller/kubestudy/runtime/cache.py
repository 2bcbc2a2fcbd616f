"""What the API server holds, as far as it has been seen."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kubestudy.runtime import metrics
from kubestudy.runtime.objects import Identity, Key, Object, Unreadable, identity_of, key_of

__all__ = ["Bound", "Cache", "Key", "Listed", "key_of"]

log = logging.getLogger(__name__)

T = TypeVar("T")
Listed = Object | Unreadable
"""An object as it was read, or why it was not."""


def namespace_of(key: Key) -> str:
    """The namespace of an object's key: whose work it is."""
    return key[0]


@dataclass(frozen=True)
class Bound(Generic[T]):
    """How much may be held, so that no namespace keeps the others out.

    Attributes:
        size: Of a value, in bytes.
        share: What the values of one namespace may have together.
        total: What all of them may have.
        beyond: Makes what is held in place of a value that is beyond that.
    """

    size: Callable[[T], int]
    share: int
    total: int
    beyond: Callable[[T], T]


@dataclass(frozen=True)
class _Entry(Generic[T]):
    version: int
    uid: str
    group: Hashable
    value: T
    size: int = 0


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
        unreadable: Makes the value of an object that cannot be read, whose group is its own key;
            without it, such an object is as good as gone.
        bound: How much may be held; without it, all.
    """

    def __init__(
        self,
        read: Callable[[Object], T],
        group: Callable[[Object], Hashable | None],
        outlives: Callable[[T], bool] = lambda _: False,
        dropped: Callable[[str], object] = lambda _: None,
        unreadable: Callable[[Unreadable], T] | None = None,
        bound: Bound[T] | None = None,
    ):
        self._read, self._group, self._outlives = read, group, outlives
        self._dropped, self._unreadable, self._bound = dropped, unreadable, bound
        self._lock = threading.Lock()
        self._entries: dict[Key, _Entry[T]] = {}
        self._groups: dict[Hashable, dict[Key, T]] = defaultdict(dict)
        self._gone: dict[str, None] = {}
        self._left: set[Key] = set()
        self._held: Counter[str] = Counter()

    def get(self, key: Key) -> T | None:
        """The value of an object; None where it is not known."""
        with self._lock:
            entry = self._entries.get(key)
            return entry.value if entry else None

    def group_of(self, obj: Listed) -> Hashable | None:
        """The group that an object belongs to; None where that cannot be read."""
        if not isinstance(obj, Unreadable):
            with contextlib.suppress(Exception):
                return self._group(obj)
        found = _identity(obj)
        return found.key if found is not None and self._unreadable is not None else None

    def knew(self, uid: str) -> bool:
        """Whether this is the UID of an object of some group that is known to be gone."""
        with self._lock:
            return uid in self._gone

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

    def put(self, obj: Listed, again: bool = False) -> bool:
        """Takes an object; returns whether it is news.

        Args:
            obj: The object.
            again: Whether to read one anew that is known already.
        """
        found = _identity(obj)
        if found is None:
            return False
        with self._lock:
            known = self._entries.get(found.key)
            if known is not None and known.version >= found.version + again:
                return False
            if found.uid in self._gone:
                return False
            self._set(found, obj)
            return True

    def remove(self, obj: Listed) -> bool:
        """Takes note that an object is gone; returns whether it is news."""
        found = _identity(obj)
        if found is None:
            return False
        with self._lock:
            if found.uid and self.group_of(obj) is not None:
                self._gone[found.uid] = None
            while len(self._gone) > 10_000:
                del self._gone[next(iter(self._gone))]
            known = self._entries.get(found.key)
            if known is None or known.uid != found.uid:
                return False
            self._set(found, obj)
            self._leave(found.key)
            return True

    def has_room(self, namespace: str, size: int) -> bool:
        """Whether so many bytes more of a namespace may be held."""
        if self._bound is None:
            return True
        with self._lock:
            return self._fits(namespace, size, self._bound)

    def sweep(self, group: Hashable) -> None:
        """Drops what outlived its object, and is of no more use."""
        with self._lock:
            for key in [k for k in self._left if self._entries[k].group == group]:
                self._leave(key)

    def replace(
        self,
        objects: Iterable[Listed],
        version: Callable[[], int],
        namespace: str | None = None,
    ) -> list[Hashable]:
        """Takes a whole list; returns the groups that it changed.

        Args:
            objects: Everything that there is.
            version: Says the list's own resource version once the objects were taken: what was
                written through later is kept.
            namespace: The one that was listed; None for all of them.
        """
        changed: list[Hashable] = []
        listed: set[Key] = set()
        for obj in objects:
            found = _identity(obj)
            if found is None:
                continue
            listed.add(found.key)
            with self._lock:
                known = self._entries.get(found.key)
                if known is None or known.version < found.version:
                    changed.append(self._set(found, obj))
        listed_at = version()
        with self._lock:
            for key, entry in list(self._entries.items()):
                if entry.version > listed_at or key in listed or key in self._left:
                    continue
                if namespace in (None, key[0]):
                    changed.append(entry.group)
                    self._leave(key)
        return changed

    def _set(self, found: Identity, obj: Listed) -> Hashable:
        key = found.key
        known = self._entries.get(key)
        if known is not None and known.uid != found.uid:
            self._dropped(known.uid)
        self._take_out(key)
        group: Hashable = None if known is None else known.group
        if isinstance(obj, Unreadable):
            error: Exception = obj
        else:
            try:
                group = self._group(obj)
                self._hold(key, found, group, self._read(obj))
                return group
            except Exception as caught:
                # Whatever it is: one odd object must not take the others of its kind with it.
                error = caught
        metrics.unreadable()
        log.error("%s/%s cannot be read: %s: %s", *key, type(error).__name__, str(error)[:500])
        if self._unreadable is not None:
            if not isinstance(error, Unreadable):
                kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
                error = Unreadable(found, "Unreadable", f"{kind}{error}")
                error.status = {} if isinstance(obj, Unreadable) else obj.get("status") or {}
            group = key
            self._hold(key, found, group, self._unreadable(error))
        elif known is not None and known.uid == found.uid:
            self._dropped(known.uid)
        return group

    def _hold(self, key: Key, found: Identity, group: Hashable, value: T) -> None:
        size = 0
        if self._bound is not None:
            size = self._bound.size(value)
            if not self._fits(key[0], size, self._bound):
                value = self._bound.beyond(value)
                size = self._bound.size(value)
        self._held[key[0]] += size
        self._entries[key] = _Entry(found.version, found.uid, group, value, size)
        self._groups[group][key] = value

    def _fits(self, namespace: str, size: int, bound: Bound[T]) -> bool:
        held = self._held
        return held[namespace] + size <= bound.share and held.total() + size <= bound.total

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
            self._held[key[0]] -= entry.size
            if not self._held[key[0]]:
                del self._held[key[0]]
            del self._groups[entry.group][key]
            if not self._groups[entry.group]:
                del self._groups[entry.group]


def _identity(obj: Listed) -> Identity | None:
    """Which object it is; None where not even that can be read."""
    return obj.identity if isinstance(obj, Unreadable) else identity_of(obj)
