"""Why a Job has no pod, which the Job controller tells in an event and nowhere else.

A pod may be refused by a quota, by the namespace's Pod Security or by a webhook.
"""

from __future__ import annotations

import logging
import threading
import time

from kubestudy.runtime.client import EVENTS, ApiError, KubeClient, Object

log = logging.getLogger(__name__)

ASK_EVERY = 60.0


class Obstacles:
    """What stands in the way of Jobs; the API server is asked at most once a minute for each.

    Args:
        client: The API server.
    """

    def __init__(self, client: KubeClient):
        self._client = client
        self._lock = threading.Lock()
        self._found: dict[str, tuple[float, tuple[str, str] | None]] = {}

    def of(self, job: Object) -> tuple[str, str] | None:
        """Reason and message why a Job's pod cannot be made; None where nothing is said."""
        uid, now = job["metadata"]["uid"], time.monotonic()
        with self._lock:
            if uid in self._found and now - self._found[uid][0] < ASK_EVERY:
                return self._found[uid][1]
        found = self._ask(job)
        with self._lock:
            self._found = {u: f for u, f in self._found.items() if now - f[0] < ASK_EVERY}
            self._found[uid] = (now, found)
        return found

    def _ask(self, job: Object) -> tuple[str, str] | None:
        selector = f"regarding.uid={job['metadata']['uid']},reason=FailedCreate"
        namespace = job["metadata"]["namespace"]
        try:
            events = self._client.list(EVENTS, namespace, fieldSelector=selector)["items"]
        except ApiError as error:  # what explains is not worth a failure
            log.info("why Job %s has no pod: %s", job["metadata"]["name"], error)
            return None
        newest = max(events, key=lambda e: int(e["metadata"]["resourceVersion"]), default=None)
        return _worded(newest["note"]) if newest is not None else None


def _worded(note: str) -> tuple[str, str]:
    """Reason and message, without the name of the pod, which is another one each time."""
    message = note.partition(" is forbidden: ")[2] or note
    return ("QuotaExceeded" if "exceeded quota" in note else "FailedCreate"), message
