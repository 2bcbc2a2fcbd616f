"""Reads the logs of trials' pods, and holds what they reported until it is stored.

A pod's log is followed while it runs, as long as there are follows to spare, and polled
otherwise; once the pod has ended, the rest is read to the end. Every reading goes on where the
one before it stopped, by the timestamps that the kubelet puts before each line, so that a broken
stream loses nothing and counts nothing twice.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kubestudy.api.base import LABEL_STUDY
from kubestudy.api.study import Study
from kubestudy.core.facts import RunReport
from kubestudy.runtime.cache import Cache, Key
from kubestudy.runtime.client import ApiError, KubeClient, Object
from kubestudy.runtime.queue import WorkQueue
from kubestudy.sources.log_lines import LineReader
from kubestudy.sources.termination import last_word
from kubestudy.workloads.pod import main_container, pod_ended, termination_message

log = logging.getLogger(__name__)

FOLLOWS = 32
FOLLOW_AFTER = 3.0
POLL_EVERY = 10.0
# A line of more bytes is passed over; of a shorter one counts what a progress bar left at its end.
LONGEST = 1 << 19
READERS = 8
# A follow can hang when the kubelet rotates the log; a silent one is opened anew.
SILENCE = 60.0
# A log that cannot be read at the end is tried again: for 3 s where the termination message has all
# that is owed, else for 100 s, in which a kubelet restarts. An API server that does not answer at
# all does not count.
FINAL_TRIES = 5
FINAL_TRIES_ALONE = 10


@dataclass
class Cursor:
    """How far a log has been read: the newest timestamp, and how many lines had it."""

    newest: tuple[str, str] = ("", "")
    lines: int = 0
    _replayed: int = 0

    def reopen(self) -> str | None:
        """Begins another reading; returns what to ask for as ``sinceTime``, None for all."""
        self._replayed = 0
        return f"{self.newest[0]}Z" if self.newest[0] else None

    def passes(self, timestamp: str) -> bool:
        """Whether a line of this time has not been read before."""
        seconds, _, fraction = timestamp.rstrip("Z").partition(".")
        moment = (seconds, fraction.ljust(9, "0"))
        if moment < self.newest:
            return False
        if moment == self.newest:
            self._replayed += 1
            if self._replayed <= self.lines:
                return False
            self.lines += 1
            return True
        self.newest, self.lines, self._replayed = moment, 1, 1
        return True


@dataclass
class PodLog:
    """The log of one pod, as far as it has been read."""

    study: Key
    reader: LineReader
    report: RunReport
    cursor: Cursor = field(default_factory=Cursor)
    lock: threading.Lock = field(default_factory=threading.Lock)
    reading: threading.Lock = field(default_factory=threading.Lock)
    tries: int = 0

    def take(self, raw: bytes) -> bool:
        """Takes one line with its timestamp; returns whether it was a report."""
        timestamp, _, text = raw.partition(b" ")
        with self.lock:
            if not self.cursor.passes(timestamp.decode("ascii", "replace")):
                return False
            if len(text) > LONGEST:
                return False
            observation = self.reader.read(text.decode("utf-8", "replace"))
            if observation is None:
                return False
            self.report.add(observation)
            return True

    def snapshot(self) -> RunReport:
        """What has been reported so far, as a copy."""
        with self.lock:
            return copy.deepcopy(self.report)


class Collector:
    """Reads logs in the background.

    Args:
        client: The API server.
        study_of: Finds a Study by its key.
        pods: The trials' pods, by key.
        wanted: Whether a pod's trial still waits for what it reports.
        news: Told the Study's key when something was reported, or read to its end.
    """

    def __init__(
        self,
        client: KubeClient,
        study_of: Callable[[Key], Study | None],
        pods: Cache[Object],
        wanted: Callable[[Object], bool],
        news: Callable[[Key, float], None],
    ):
        self._client, self._study_of, self._pods = client, study_of, pods
        self._wanted, self._news = wanted, news
        self._logs: dict[str, PodLog] = {}
        self._lock = threading.Lock()
        self._running: WorkQueue[Key] = WorkQueue()
        self._ended: WorkQueue[Key] = WorkQueue()
        self._follows = threading.BoundedSemaphore(FOLLOWS)

    def start(self) -> None:
        """Begins to read."""
        crews = ((FOLLOWS + 4, self._running, self._follow), (READERS, self._ended, self._finish))
        for size, queue, task in crews:
            for _ in range(size):
                threading.Thread(target=self._work, args=(queue, task), daemon=True).start()

    def stop(self) -> None:
        """Ends; streams that are open end with the process."""
        self._running.close()
        self._ended.close()

    def pod_changed(self, pod: Object) -> None:
        """Takes note of a pod: a new one is followed after a while, one that ended is read."""
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        if pod_ended(pod):
            self._ended.add(key)
        elif (main_container(pod).get("state") or {}).get("running"):
            self._running.add(key, FOLLOW_AFTER)

    def report(self, pod_uid: str) -> RunReport | None:
        """What a pod has reported so far; None where nothing was read yet."""
        with self._lock:
            found = self._logs.get(pod_uid)
        return found.snapshot() if found else None

    def forget(self, pod_uid: str) -> None:
        """Lets go of what a pod reported: it is stored now."""
        with self._lock:
            self._logs.pop(pod_uid, None)

    def _work(self, queue: WorkQueue[Key], task: Callable[[Key], None]) -> None:
        while (key := queue.get()) is not None:
            try:
                task(key)
                queue.succeeded(key)
            except ApiError as error:
                if error.status != 404:
                    log.debug("log of %s/%s: %s", *key, error)
                    queue.failed(key, error.retry_after or 0)
            except Exception:
                log.exception("reading the log of %s/%s failed", *key)
                queue.failed(key)
            finally:
                queue.done(key)

    def _log_of(self, pod: Object) -> PodLog | None:
        """The log of a pod, where it is still of use."""
        uid = pod["metadata"]["uid"]
        with self._lock:
            found = self._logs.get(uid)
        if found is not None or not self._wanted(pod):
            return found
        study_name = (pod["metadata"].get("annotations") or {}).get(LABEL_STUDY, "")
        key = (pod["metadata"]["namespace"], study_name)
        study = self._study_of(key)
        if study is None:
            return None
        new = PodLog(key, LineReader(study.spec), RunReport.empty(study.spec))
        with self._lock:
            return self._logs.setdefault(uid, new)

    def _follow(self, key: Key) -> None:
        pod = self._pods.get(key)
        if pod is None or pod_ended(pod):
            return
        pod_log = self._log_of(pod)
        if pod_log is None:
            return
        followed = self._follows.acquire(blocking=False)
        try:
            with pod_log.reading:
                self._read(pod, pod_log, follow=followed)
        finally:
            if followed:
                self._follows.release()
            self._running.add(key, 1.0 if followed else POLL_EVERY)

    def _finish(self, key: Key) -> None:
        pod = self._pods.get(key)
        pod_log = self._log_of(pod) if pod is not None else None
        if pod is None or pod_log is None or pod_log.report.complete:
            return
        problem = None
        # The follow of an ended container ends by itself, if it has not hung.
        reading = pod_log.reading.acquire(timeout=SILENCE)
        try:
            if main_container(pod).get("state", {}).get("terminated", {}).get("startedAt"):
                self._read(pod, pod_log, follow=False)
        except ApiError as error:
            pod_log.tries += error.status != 0
            if error.status == 0 or (error.status != 404 and pod_log.tries < self._patience(pod)):
                raise
            problem = f"its log could not be read: {error}"
        finally:
            if reading:
                pod_log.reading.release()
        with pod_log.lock:
            pod_log.report.problem = problem
            pod_log.report.close(last_word(termination_message(pod), pod_log.reader.wanted))
        self._news(pod_log.study, 0.0)

    def _patience(self, pod: Object) -> int:
        """How often the end of a log is tried to be read."""
        study_name = (pod["metadata"].get("annotations") or {}).get(LABEL_STUDY, "")
        study = self._study_of((pod["metadata"]["namespace"], study_name))
        word = last_word(termination_message(pod))
        owed = set(study.spec.owed) if study else set()
        return FINAL_TRIES if word and owed <= word.metrics.keys() else FINAL_TRIES_ALONE

    def _read(self, pod: Object, pod_log: PodLog, *, follow: bool) -> None:
        stream = self._client.logs(
            pod["metadata"]["namespace"],
            pod["metadata"]["name"],
            follow=follow,
            read_timeout=SILENCE,
            container=pod["spec"]["containers"][0]["name"],
            timestamps="true",
            sinceTime=pod_log.cursor.reopen(),
        )
        told = time.monotonic()
        for raw in stream:
            if pod_log.take(raw) and follow and time.monotonic() - told > 1:
                told = time.monotonic()
                self._news(pod_log.study, 1.0)
