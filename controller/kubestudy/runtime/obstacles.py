"""Why a Job has no pod, which the Job controller tells in an event and nowhere else.

A pod may be refused by a quota, by the namespace's Pod Security or by a webhook.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time

from kubestudy.runtime.client import EVENTS, ApiError, KubeClient
from kubestudy.runtime.objects import Object, read_object, version_of

log = logging.getLogger(__name__)

ASK_EVERY = 10.0
MOST = 1000
"""Jobs of a namespace of which an obstacle is remembered; of more, those told last."""
LONGEST = 1024
"""Characters of a note, which is as long as Kubernetes lets it be."""

Obstacle = tuple[str, str]
"""A reason in CamelCase, and the message."""


class Obstacles:
    """What stands in the way of Jobs, as far as was told; asked for once in a while.

    Args:
        client: The API server.
    """

    def __init__(self, client: KubeClient):
        self._client = client
        self._lock = threading.Lock()
        self._asked: dict[str, float] = {}
        self._told: dict[str, dict[str, Obstacle]] = {}

    def of(self, job: Object) -> Obstacle | None:
        """Why a Job's pod cannot be made; None where nothing is said."""
        namespace, now = job["metadata"]["namespace"], time.monotonic()
        with self._lock:
            due = now - self._asked.get(namespace, -ASK_EVERY) >= ASK_EVERY
            if due:
                self._asked[namespace] = now
        if due:
            told = self._ask(namespace)
            with self._lock:
                self._told[namespace] = told
        with self._lock:
            return self._told.get(namespace, {}).get(job["metadata"]["uid"])

    def _ask(self, namespace: str) -> dict[str, Obstacle]:
        """By the UID of the Job."""
        selector = "reason=FailedCreate,regarding.kind=Job"
        told: dict[str, tuple[int, Obstacle]] = {}
        try:
            for piece in self._client.listing(EVENTS, namespace, fieldSelector=selector):
                with contextlib.suppress(ValueError):  # one that cannot be read says nothing
                    event = read_object(piece)
                    uid, at = (event.get("regarding") or {}).get("uid"), version_of(event)
                    if uid and at >= told.get(uid, (0, None))[0]:
                        told[uid] = (at, _worded(str(event.get("note") or "")[:LONGEST]))
                        if len(told) > MOST:
                            del told[min(told, key=lambda u: told[u][0])]
        except ApiError as error:  # an explanation is not worth a failure
            log.info("why Jobs in %s have no pods is not known: %s", namespace, error)
        return {uid: obstacle for uid, (_, obstacle) in told.items()}


def _worded(note: str) -> Obstacle:
    """Without the name of the pod, which is another one each time."""
    message = note.partition(" is forbidden: ")[2] or note
    return ("QuotaExceeded" if "exceeded quota" in note else "FailedCreate"), message
