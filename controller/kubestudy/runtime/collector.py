"""Reads the logs of trials' pods, and holds what they reported until it is stored.

A pod's log is followed while it runs, as long as there are follows to spare, and polled
otherwise; once the pod has ended, the rest is read to the end. Every reading goes on where the
one before it stopped, by the timestamps that the kubelet puts before each line, so that a broken
stream loses nothing and counts nothing twice.

The kubelet gives out the newest file of a log only. What was written to an older one is had by a
follow that was open at the time, and by nothing else: so a follow begins early, is opened anew
within a second where it broke, and is not trusted where it is silent from its beginning on. And
what a long log has said is kept over a restart (`kept_logs`).
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable

from kubestudy.api.base import LABEL_STUDY
from kubestudy.api.study import Study
from kubestudy.core.reports import RunReport
from kubestudy.runtime.cache import Cache, Key, namespace_of
from kubestudy.runtime.client import READ_TIMEOUT, SILENT, ApiError, KubeClient, Object
from kubestudy.runtime.kept_logs import LogKeeper
from kubestudy.runtime.pod_log import PodLog
from kubestudy.runtime.queue import WorkQueue
from kubestudy.runtime.slots import Slots
from kubestudy.runtime.turns import Turns
from kubestudy.sources.log_lines import LineReader
from kubestudy.sources.termination import last_word
from kubestudy.workloads.pod import (
    is_running,
    main_container,
    main_name,
    pod_ended,
    termination_message,
)

log = logging.getLogger(__name__)

FOLLOWS = 100
FOLLOW_AFTER = 1.0
FOLLOW_AGAIN = 1.0
# Pods that run beyond the follows are polled; more often those that have much to say.
POLLERS = 4
POLL_EVERY = 10.0
POLL_BUSY_EVERY = 1.0
BUSY = 500  # lines since the last look
READERS = 8
# A log that takes longer than this to read to its end lets others go first.
TURN = 2.0
# A follow hangs, silently, if the kubelet rotates the log before the follow has caught up with
# it. So one that is silent is opened anew: at first soon, and ever later as long as it stays so.
FIRST_SILENCE = 2.0
SILENCE = 60.0
# A log that cannot be read at the end is tried again: for 3 s where the termination message has all
# that is owed, else for 100 s, in which a kubelet restarts. An API server that does not answer at
# all does not count.
FINAL_TRIES = 5
FINAL_TRIES_ALONE = 10


class Collector:
    """Reads logs in the background.

    Args:
        client: The API server.
        study_of: Finds a Study by its key.
        pods: The trials' pods, by key.
        wanted: Whether a pod's trial still waits for what it reports.
        news: Told the Study's key when something was reported, or read to its end.
        keeper: Keeps what long logs have said over a restart.
    """

    def __init__(
        self,
        client: KubeClient,
        study_of: Callable[[Key], Study | None],
        pods: Cache[Object],
        wanted: Callable[[Object], bool],
        news: Callable[[Key, float], None],
        keeper: LogKeeper,
    ):
        self._client, self._study_of, self._pods = client, study_of, pods
        self._wanted, self._news, self._keeper = wanted, news, keeper
        self._logs: dict[str, PodLog] = {}
        self._lock = threading.Lock()
        self._running: WorkQueue[Key] = WorkQueue(namespace_of)
        self._ended: WorkQueue[Key] = WorkQueue(namespace_of, READERS - 1)
        self._follows = Slots(FOLLOWS)
        self._turns = Turns()

    def start(self) -> None:
        """Begins to read."""
        crews = (
            (FOLLOWS + POLLERS, self._running, self._follow),
            (READERS, self._ended, self._finish),
        )
        for size, queue, task in crews:
            for _ in range(size):
                threading.Thread(target=self._work, args=(queue, task), daemon=True).start()
        self._keeper.start(self._logs)

    def stop(self) -> None:
        """Ends; streams that are open end with the process."""
        self._running.close()
        self._ended.close()
        self._keeper.stop()

    def pod_changed(self, pod: Object) -> None:
        """Takes note of a pod: a new one is followed after a while, one that ended is read."""
        self._look_at(pod, FOLLOW_AFTER)

    def _look_at(self, pod: Object, after: float) -> None:
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        if pod_ended(pod):
            self._ended.add(key)
        elif is_running(main_container(pod)):
            self._running.add(key, after)

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
        new = PodLog(key, LineReader(study.spec), RunReport.empty(study.spec), FIRST_SILENCE)
        if (kept := self._keeper.find(pod, study.spec)) is not None:
            new.report, new.cursor, new.kept = kept.report, kept.cursor, kept.cursor.size
        with self._lock:
            return self._logs.setdefault(uid, new)

    def _follow(self, key: Key) -> None:
        pod = self._pods.get(key)
        if pod is None or pod_ended(pod):
            return
        pod_log = self._log_of(pod)
        if pod_log is None:
            return
        followed = self._follows.take(namespace_of(key))
        again = FOLLOW_AGAIN if followed else POLL_EVERY
        try:
            with pod_log.reading:
                if followed:
                    again = self._read_on(pod, pod_log)
                elif self._read(pod, pod_log, turn=TURN) > BUSY:
                    again = POLL_BUSY_EVERY
        finally:
            if followed:
                self._follows.give_back(namespace_of(key))
            self._look_at(self._pods.get(key) or pod, again)

    def _read_on(self, pod: Object, pod_log: PodLog) -> float:
        """Follows a log until it ends or is silent; returns in how many seconds to go on."""
        patience, pod_log.patience = pod_log.patience, FIRST_SILENCE
        try:
            self._read(pod, pod_log, follow=patience)
        except ApiError as error:
            if error.reason != SILENT:
                raise
            pod_log.patience = min(2 * patience, SILENCE)
            return 0.0
        return FOLLOW_AGAIN

    def _finish(self, key: Key) -> None:
        pod = self._pods.get(key)
        pod_log = self._log_of(pod) if pod is not None else None
        if pod is None or pod_log is None or pod_log.report.complete:
            return
        if not pod_log.reading.acquire(blocking=False):
            return  # Its follow ends with its container, and asks for this then.
        problem = None
        try:
            if main_container(pod).get("state", {}).get("terminated", {}).get("startedAt"):
                began = time.monotonic()
                lines = self._read(pod, pod_log, turn=TURN, at_end=True)
                # There may be more, also where the stream has ended: when a kubelet is restarted,
                # the API server ends what it passes on as if it were whole.
                if lines and time.monotonic() - began > TURN:
                    self._ended.add(key)
                    return
        except ApiError as error:
            pod_log.tries += error.status != 0
            if error.status == 0 or (error.status != 404 and pod_log.tries < self._patience(pod)):
                raise
            problem = f"its log could not be read: {error}"
        finally:
            pod_log.reading.release()
        pod_log.close(last_word(termination_message(pod), pod_log.reader.wanted), problem)
        self._news(pod_log.study, 0.0)

    def _patience(self, pod: Object) -> int:
        """How often the end of a log is tried to be read."""
        study_name = (pod["metadata"].get("annotations") or {}).get(LABEL_STUDY, "")
        study = self._study_of((pod["metadata"]["namespace"], study_name))
        word = last_word(termination_message(pod))
        owed = set(study.spec.owed) if study else set()
        return FINAL_TRIES if word and owed <= word.metrics.keys() else FINAL_TRIES_ALONE

    def _turn(self, pod_log: PodLog) -> contextlib.AbstractContextManager[None]:
        own = pod_log.reader.has_own_expression
        return self._turns.own(namespace_of(pod_log.study)) if own else self._turns.common()

    def _read(
        self,
        pod: Object,
        pod_log: PodLog,
        *,
        follow: float | None = None,
        turn: float | None = None,
        at_end: bool = False,
    ) -> int:
        """Reads what is new in a log; returns how many lines that were.

        Args:
            pod: The pod.
            pod_log: Its log.
            follow: Whether to go on until so many seconds have been silent.
            turn: Seconds after which to leave the rest for later.
            at_end: Whether nothing will be written any more, so that the last line is whole.
        """
        stream = self._client.log_batches(
            pod["metadata"]["namespace"],
            pod["metadata"]["name"],
            follow=follow is not None,
            read_timeout=follow or READ_TIMEOUT,
            container=main_name(pod),
            timestamps="true",
            sinceTime=pod_log.cursor.reopen(),
        )
        lines, told, until = 0, -math.inf, None
        with contextlib.closing(stream):
            for batch, whole in stream:
                if not whole and not at_end:
                    break
                with self._turn(pod_log):
                    new, reports = pod_log.take(batch)
                now = time.monotonic()
                lines += new
                if reports and not at_end and now - told > 1:
                    told = now
                    self._news(pod_log.study, 1.0)
                if new and turn and now > (until := until or now + turn):
                    break
        return lines
