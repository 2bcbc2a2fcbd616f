"""Writes down everything of a kind that was ever made: what is gone again is not forgotten."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from kubestudy.runtime.client import ApiError, KubeClient, Object, Resource
from tests.support.kubectl import Namespace


class Recorder:
    """Watches one kind of object in a namespace, from entry to exit.

    Attributes:
        made: The objects as they were when they were first seen, in that order, by UID.
        seen: Every version of each, with the time by our clock.
    """

    def __init__(self, namespace: Namespace, resource: Resource) -> None:
        self._client: KubeClient = namespace.client
        self._namespace, self._resource = namespace.name, resource
        self._stopping = threading.Event()
        self._version = ""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.made: dict[str, Object] = {}
        self.seen: list[tuple[float, Object]] = []

    def __enter__(self) -> Self:
        listed = self._client.list(self._resource, self._namespace)
        self._version = listed["metadata"]["resourceVersion"]
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()

    @property
    def names(self) -> list[str]:
        """The names of all that was made; one that was made twice stands here twice."""
        return [o["metadata"]["name"] for o in list(self.made.values())]

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except ApiError as error:
                if error.status == 410 or error.reason == "Expired":
                    raise  # something would be missed, and a test would believe us
                self._stopping.wait(0.2)

    def _follow(self) -> None:
        events = self._client.watch(self._resource, self._namespace, self._version, timeout=30)
        for event in events:
            obj = event["object"]
            if event["type"] == "ERROR":
                raise ApiError(obj["code"], obj["reason"], obj["message"])
            self._version = obj["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self.seen.append((time.monotonic(), obj))
                self.made.setdefault(obj["metadata"]["uid"], obj)
            if self._stopping.is_set():
                return
