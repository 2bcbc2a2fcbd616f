"""List and watch: keeps a cache true to the API server, whatever happens on the way.

What the official client's informer was seen to do wrong is done right here: it asks for
bookmarks, has a read timeout and a signal that the first list is in, backs off on every failure,
resumes where it can and lists again where it must, and replaces the cache before it tells anyone.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from kubestudy.runtime.cache import Cache, Listed, key_of
from kubestudy.runtime.client import PAGE, ApiError, KubeClient, Resource
from kubestudy.runtime.json_cutter import Piece
from kubestudy.runtime.objects import PLAIN, Object, Shape, Unreadable, read_event, read_object
from kubestudy.runtime.vital_signs import Pulse

log = logging.getLogger(__name__)

LARGE_PAGE = 500
"""For a list that took so long by ``PAGE`` that the server had forgotten its state."""
WATCH_SECONDS = 290
MAX_BACKOFF = 10.0


@dataclass(frozen=True)
class Collection:
    """Which objects are watched, and what is read of them.

    Attributes:
        resource: Their kind.
        namespace: Where; None for everywhere.
        selector: Label selector of the objects wanted.
        shape: What is read of each.
    """

    resource: Resource
    namespace: str | None = None
    selector: str | None = None
    shape: Shape = PLAIN


class Informer:
    """Keeps one cache true to one collection of the API server.

    Args:
        client: The API server.
        collection: What to watch.
        cache: What to keep.
        changed: Told the group of each object that changed, after the cache has it.
        seen: Told each object as it is, or was at last, after the cache has it.
        pulse: Shows that it goes on.
    """

    def __init__(
        self,
        client: KubeClient,
        collection: Collection,
        cache: Cache[Any],
        changed: Callable[[Hashable], None],
        seen: Callable[[Object], None] | None = None,
        pulse: Pulse | None = None,
    ):
        self._client, self._collection, self._cache = client, collection, cache
        self._changed, self._seen = changed, seen
        self._pulse = pulse or Pulse()
        self._page = PAGE
        self._stopping = threading.Event()
        self.synced = threading.Event()

    def start(self) -> None:
        """Begins to list and watch, in a thread of its own."""
        name = f"watch-{self._collection.resource.plural}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def stop(self) -> None:
        """Ends after the current event."""
        self._stopping.set()

    def _run(self) -> None:
        failures = 0
        version: str | None = None
        plural = self._collection.resource.plural
        while not self._stopping.is_set():
            self._pulse.beat()
            began, known = time.monotonic(), version
            try:
                if version is None:
                    version = self._list()
                    self.synced.set()
                version = self._watch(version)
                failures = 0
            except ApiError as error:
                if error.status == 410 or error.reason in ("Expired", "Gone"):
                    version = None
                    if known is None:
                        self._page = LARGE_PAGE
                    else:
                        # A server that was restarted says this of what it no longer remembers.
                        log.debug("watch of %s: %s; listing again", plural, error)
                        failures = 1
                        self._stopping.wait(random.uniform(0.1, 0.5))
                        continue
                # A stream that had lived for a while is no sign of trouble.
                failures = 0 if time.monotonic() - began > 30 else failures + 1
                wait = min(MAX_BACKOFF, 0.5 * 2 ** min(failures, 10)) * random.uniform(0.5, 1)
                level = logging.DEBUG if failures < 2 else logging.WARNING
                log.log(level, "watch of %s: %s; again in %.1f s", plural, error, wait)
                self._stopping.wait(max(wait, error.retry_after or 0))
            except Exception:
                log.exception("watch of %s failed; listing again", plural)
                version, failures = None, failures + 1
                self._stopping.wait(min(MAX_BACKOFF, 0.5 * 2 ** min(failures, 10)))
        self._pulse.end()

    def _list(self) -> str:
        what = self._collection
        listing = self._client.listing(
            what.resource, what.namespace, self._page, labelSelector=what.selector
        )
        objects = (self._read(piece) for piece in listing)
        changed = self._cache.replace(objects, lambda: int(listing.version), what.namespace)
        for group in set(changed):
            self._changed(group)
        if self._seen is not None:
            for value in self._cache.values():
                self._tell(value)
        return listing.version

    def _read(self, piece: Piece) -> Listed:
        self._pulse.beat()
        try:
            return read_object(piece, self._collection.shape)
        except Unreadable as error:
            return error.bare()

    def _watch(self, version: str) -> str:
        what = self._collection
        events = self._client.watch_unread(
            what.resource,
            what.namespace,
            version,
            timeout=WATCH_SECONDS,
            labelSelector=what.selector,
        )
        with contextlib.closing(events):
            for event in events:
                self._pulse.beat()
                version = self._take(event) or version
                if self._stopping.is_set():
                    break
        return version

    def _take(self, event: Piece) -> str | None:
        """Takes note of an event; returns the resource version up to where all is known.

        Raises:
            ApiError: The watch has failed.
        """
        obj: Listed
        try:
            kind, obj = read_event(event, self._collection.shape)
        except Unreadable as error:
            kind, obj = error.event, error.bare()
        if kind == "ERROR" and not isinstance(obj, Unreadable):
            raise _failure(obj)
        news = False
        if kind in ("ADDED", "MODIFIED"):
            news = self._cache.put(obj)
        elif kind == "DELETED":
            news = self._cache.remove(obj)
        if news:
            self._changed(self._cache.group_of(obj))
            if not isinstance(obj, Unreadable):
                self._tell(obj)
        if isinstance(obj, Unreadable):
            return str(obj.identity.version) if obj.identity and obj.identity.version else None
        version = (obj.get("metadata") or {}).get("resourceVersion")
        return version if isinstance(version, str) and version.isdecimal() else None

    def _tell(self, obj: Object) -> None:
        """What one object leads to is no matter of the others."""
        try:
            if self._seen is not None:
                self._seen(obj)
        except Exception:
            log.exception("%s %s leads to an error", self._collection.resource.plural, key_of(obj))


def _failure(status: Object) -> ApiError:
    code, reason, message = (status.get(k) for k in ("code", "reason", "message"))
    return ApiError(
        code if isinstance(code, int) else 0, str(reason or "Error"), str(message or "")[:1000]
    )
