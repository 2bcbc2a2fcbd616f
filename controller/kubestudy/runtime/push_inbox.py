"""Takes what trials push, and stores it on their Jobs.

What is stored is all that there is: any replica may answer, and the one that decides reads it from
the Job. A post that brings nothing that a Study decides by is not stored; one in the middle of a
training may wait a little, so that the API server is not written to without end; the last one is
stored at once. What could not be stored is tried again for as long as this process lives.
"""

from __future__ import annotations

import copy
import hmac
import logging
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from http import HTTPStatus

from kubestudy.api.base import ANNOTATION_PUSHED
from kubestudy.core.pushed import Pushed
from kubestudy.runtime.cache import Key, namespace_of
from kubestudy.runtime.client import JOBS, ApiError, KubeClient, Object
from kubestudy.runtime.queue import WorkQueue
from kubestudy.sources.push import Post, read_post, take
from kubestudy.workloads.pushing import token_of

log = logging.getLogger(__name__)

STORE_EVERY = 15.0
"""Seconds between two writes of one run, but for its last."""
AGAIN = 2.0
"""Seconds until a write is tried again: well within ``LATE`` of what reads it (``pushed.py``)."""
POSTS_PER_SECOND, POSTS_AT_ONCE = 1.0, 10
"""Of one run. The callback posts every five seconds, and once more at both ends of a training."""
LOOKUPS_PER_SECOND, LOOKUPS_AT_ONCE = 20.0, 100
"""Jobs that the API server is asked for, since anybody may ask by a wrong token."""
GOODBYE = 2.0
"""Seconds in which what is held is stored when this process ends."""
HELD = 100
"""Posts of one run that wait to be stored; of more, the newest."""
KNOWN = 4096
"""Runs that are remembered; the others are looked up again."""
CONFLICTS = 5


class Rate:
    """Lets through so many a second, and some more at once after a pause."""

    def __init__(self, per_second: float, at_once: int):
        self._per_second, self._most = per_second, float(at_once)
        self._left, self._since = self._most, time.monotonic()
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether one more may pass now."""
        with self._lock:
            now = time.monotonic()
            self._left = min(self._most, self._left + (now - self._since) * self._per_second)
            self._since = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


class Rates:
    """A rate for each of many sources, of which those that were not seen for long are forgotten.

    Args:
        per_second: How often in the long run, for each.
        at_once: How often after a silence.
    """

    MOST = 4096

    def __init__(self, per_second: float, at_once: int):
        self._per_second, self._at_once = per_second, at_once
        self._of: OrderedDict[str, Rate] = OrderedDict()
        self._lock = threading.Lock()

    def allows(self, source: str) -> bool:
        """Whether a source may do it once more now."""
        with self._lock:
            rate = self._of.get(source) or Rate(self._per_second, self._at_once)
            self._of[source] = rate
            self._of.move_to_end(source)
            if len(self._of) > self.MOST:
                self._of.popitem(last=False)
        return rate.allows()


@dataclass(frozen=True)
class Sender:
    """Who sends a post.

    Attributes:
        token: What should prove that it is a run.
        source: The address that it comes from.
    """

    token: str
    source: str


@dataclass
class _Run:
    """A run as its Job says it, and the posts that are not stored there yet, each with its pod."""

    token: str
    version: str
    pushed: Pushed
    posts: list[tuple[str, Post]] = field(default_factory=list)
    stored: float = -STORE_EVERY
    rate: Rate = field(default_factory=lambda: Rate(POSTS_PER_SECOND, POSTS_AT_ONCE))
    storing: threading.Lock = field(default_factory=threading.Lock)


class PushInbox:
    """Takes posts.

    Args:
        client: The API server. It is written to by standbys too.
    """

    def __init__(self, client: KubeClient):
        self._client = client
        self._runs: OrderedDict[Key, _Run] = OrderedDict()
        self._lock = threading.Lock()
        self._lookups = Rate(LOOKUPS_PER_SECOND, LOOKUPS_AT_ONCE)
        self._lookups_of = Rates(LOOKUPS_PER_SECOND / 8, LOOKUPS_AT_ONCE // 8)
        self._later: WorkQueue[Key] = WorkQueue(namespace_of)

    def start(self) -> None:
        """Begins to store what has to wait."""
        threading.Thread(target=self._work, name="pushes", daemon=True).start()

    def stop(self) -> None:
        """Stores what waits, as far as it can be done at once, and ends."""
        self._later.close()
        self._client = self._client.hasty(GOODBYE / 2)
        until = time.monotonic() + GOODBYE
        for key, run in [(k, r) for k, r in self._runs.items() if r.posts]:
            left = until - time.monotonic()
            try:
                if left < 0 or not run.storing.acquire(timeout=left):
                    raise ApiError(0, "Timeout", "there is no time left")
                run.storing.release()
                self._store(key, run)
            except ApiError as error:
                log.warning("what %s/%s pushed is not stored: %s", *key, error)
                if error.status == 0:
                    break

    def take(self, key: Key, pod: str, sender: Sender, body: bytes) -> HTTPStatus:
        """Takes one post.

        Args:
            key: Namespace and name of the Job that it says to be from.
            pod: UID of the Job's pod that it says to be from.
            sender: Who sends it.
            body: What it says.

        Returns:
            OK where all that counts is stored, ACCEPTED where it is held and will be; else why not.
        """
        try:
            run = self._find(key, sender)
        except ApiError as error:
            log.debug("the run %s/%s, which pushes, cannot be read: %s", *key, error)
            return HTTPStatus.SERVICE_UNAVAILABLE
        if run is None:
            return HTTPStatus.UNAUTHORIZED
        if not run.rate.allows():
            return HTTPStatus.TOO_MANY_REQUESTS
        post = read_post(body)
        if post is None:
            return HTTPStatus.BAD_REQUEST
        with self._lock:
            run.posts.append((pod, post))
            del run.posts[:-HELD]
        wait = run.stored + STORE_EVERY - time.monotonic()
        if wait > 0 and not post.final:
            self._later.add(key, wait)
            return HTTPStatus.ACCEPTED
        try:
            self._store(key, run)
        except ApiError as error:
            log.warning("what %s/%s pushed is not stored yet: %s", *key, error)
            self._later.add(key, AGAIN)
            return HTTPStatus.SERVICE_UNAVAILABLE
        return HTTPStatus.OK

    def _find(self, key: Key, sender: Sender) -> _Run | None:
        """The run that a token is of; an unknown run looks like a known one of another token."""
        run = self._runs.get(key)
        if run is None or not _same(run.token, sender.token):
            run = self._look_up(key, sender)
        if run is not None:
            with self._lock:
                # Another thread may have looked it up as well.
                known = self._runs.get(key)
                if known is not None and known.token == run.token:
                    run = known
                if key not in self._runs and len(self._runs) >= KNOWN:
                    self._make_room()
                self._runs[key] = run
                self._runs.move_to_end(key)
        return run

    def _make_room(self) -> None:
        """Forgets the run that has posted nothing for longest; none that still holds a post."""
        oldest = next((k for k, r in self._runs.items() if not r.posts), None)
        if oldest is None:
            raise ApiError(429, "TooManyRequests", "too many runs wait to be stored")
        del self._runs[oldest]

    def _look_up(self, key: Key, sender: Sender) -> _Run | None:
        token = sender.token
        if not (self._lookups_of.allows(sender.source) and self._lookups.allows()):
            raise ApiError(429, "TooManyRequests", "too many runs are looked up")
        job: Object = {"metadata": {}, "spec": {"template": {}}}
        try:
            job = self._client.get(JOBS, *key)
        except ApiError as error:
            if error.status not in (403, 404):
                raise
        pushed = _pushed(job)
        if not _same(token_of(job), token) or pushed is None:
            return None
        return _Run(token, _version(job), pushed)

    def _store(self, key: Key, run: _Run) -> None:
        """Stores the posts that wait, if they bring anything."""
        with run.storing:
            for _ in range(CONFLICTS):
                with self._lock:
                    posts = list(run.posts)
                pushed, news = copy.deepcopy(run.pushed), False
                for pod, post in posts:
                    if pod in pushed.before:
                        continue
                    pushed = pushed.by(pod)
                    news = take(pushed, post) or news
                if news and not self._write(key, run, pushed):
                    continue
                with self._lock:
                    run.posts = [p for p in run.posts if p not in posts]
                return
        raise ApiError(409, "Conflict", "the Job changes all the time")

    def _write(self, key: Key, run: _Run, pushed: Pushed) -> bool:
        """Writes what was pushed; False where the Job has changed, and was read again."""
        annotations = {ANNOTATION_PUSHED: pushed.text()}
        body = {"metadata": {"resourceVersion": run.version, "annotations": annotations}}
        try:
            job = self._client.patch(JOBS, *key, body)
        except ApiError as error:
            if error.status != 409:
                raise
            job = self._client.get(JOBS, *key)
            run.version, run.pushed = _version(job), _pushed(job) or run.pushed
            return False
        run.version, run.pushed, run.stored = _version(job), pushed, time.monotonic()
        return True

    def _work(self) -> None:
        while (key := self._later.get()) is not None:
            run = self._runs.get(key)
            try:
                if run is not None:
                    self._store(key, run)
            except ApiError as error:
                if error.status in (403, 404, 422):
                    log.warning("what %s/%s pushed is never stored: %s", *key, error)
                    self._runs.pop(key, None)
                else:
                    self._later.add(key, AGAIN)
            except Exception:
                log.exception("storing what %s/%s pushed failed", *key)
                self._later.add(key, AGAIN)
            finally:
                self._later.done(key)


def _same(a: str, b: str) -> bool:
    """Whether two tokens are one, told in the same time in either case; no token is none's."""
    return hmac.compare_digest(a.encode(), b.encode()) and bool(a)


def _version(job: Object) -> str:
    return str(job["metadata"]["resourceVersion"])


def _pushed(job: Object) -> Pushed | None:
    return Pushed.read((job["metadata"].get("annotations") or {}).get(ANNOTATION_PUSHED))
