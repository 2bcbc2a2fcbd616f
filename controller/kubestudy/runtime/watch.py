"""List and watch: keeps a cache true to the API server, whatever happens on the way.

What the official client's informer was seen to do wrong is done right here: it asks for
bookmarks, has a read timeout and a signal that the first list is in, backs off on every failure,
resumes where it can and lists again where it must, and replaces the cache before it tells anyone.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

from kubestudy.runtime.cache import Cache
from kubestudy.runtime.client import ApiError, KubeClient, Object, Resource

log = logging.getLogger(__name__)

PAGE = 500
WATCH_SECONDS = 290
MAX_BACKOFF = 10.0


class Informer:
    """Keeps one cache true to one collection of the API server.

    Args:
        client: The API server.
        resource: The kind.
        namespace: Where; None for everywhere.
        cache: What to keep.
        changed: Told the group of each object that changed, after the cache has it.
        seen: Told each object as it is, or was at last, after the cache has it.
        selector: Label selector of the objects wanted.
    """

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        namespace: str | None,
        cache: Cache[Any],
        changed: Callable[[Hashable], None],
        seen: Callable[[Object], None] | None = None,
        selector: str | None = None,
    ):
        self._client, self._resource, self._namespace = client, resource, namespace
        self._cache, self._changed, self._seen = cache, changed, seen
        self._selector = selector
        self._stopping = threading.Event()
        self.synced = threading.Event()

    def start(self) -> None:
        """Begins to list and watch, in a thread of its own."""
        threading.Thread(
            target=self._run, name=f"watch-{self._resource.plural}", daemon=True
        ).start()

    def stop(self) -> None:
        """Ends after the current event."""
        self._stopping.set()

    def _run(self) -> None:
        failures = 0
        version: str | None = None
        while not self._stopping.is_set():
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
                    if known is not None:
                        # A server that was restarted says this of what it no longer remembers.
                        log.debug("watch of %s: %s; listing again", self._resource.plural, error)
                        failures = 1
                        self._stopping.wait(random.uniform(0.1, 0.5))
                        continue
                # A stream that had lived for a while is no sign of trouble.
                failures = 0 if time.monotonic() - began > 30 else failures + 1
                wait = min(MAX_BACKOFF, 0.5 * 2 ** min(failures, 10)) * random.uniform(0.5, 1)
                level = logging.DEBUG if failures < 2 else logging.WARNING
                log.log(
                    level, "watch of %s: %s; again in %.1f s", self._resource.plural, error, wait
                )
                self._stopping.wait(max(wait, error.retry_after or 0))
            except Exception:
                log.exception("watch of %s failed; listing again", self._resource.plural)
                version, failures = None, failures + 1
                self._stopping.wait(min(MAX_BACKOFF, 0.5 * 2 ** min(failures, 10)))

    def _list(self) -> str:
        objects: list[Object] = []
        token: str | None = None
        while True:
            page = self._client.list(
                self._resource,
                self._namespace,
                labelSelector=self._selector,
                limit=PAGE,
                **{"continue": token},
            )
            objects += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                break
        version: str = page["metadata"]["resourceVersion"]
        for group in set(self._cache.replace(objects, int(version))):
            self._changed(group)
        for obj in objects:
            if self._seen is not None:
                self._seen(obj)
        return version

    def _watch(self, version: str) -> str:
        events = self._client.watch(
            self._resource,
            self._namespace,
            version,
            timeout=WATCH_SECONDS,
            labelSelector=self._selector,
        )
        for event in events:
            obj = event["object"]
            match event["type"]:
                case "ERROR":
                    raise ApiError(
                        obj.get("code", 0), obj.get("reason", "Error"), obj.get("message", "")
                    )
                case "ADDED" | "MODIFIED":
                    if self._cache.put(obj):
                        self._changed(self._cache.group_of(obj))
                        if self._seen is not None:
                            self._seen(obj)
                case "DELETED":
                    if self._cache.remove(obj):
                        self._changed(self._cache.group_of(obj))
                        if self._seen is not None:
                            self._seen(obj)
            version = obj["metadata"]["resourceVersion"]
            if self._stopping.is_set():
                break
        return version
