"""Reads trials' metrics from Prometheus, and holds them until they are stored.

A running pod is looked at once a scrape interval. Once it has ended, one more interval is waited
for, in which Prometheus takes in what it scraped last, and then everything is read to the end.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from kubestudy.api.base import LABEL_STUDY
from kubestudy.api.study import Study
from kubestudy.core.promql import BoundQuery, PromQLError
from kubestudy.core.reports import LastWord, RunReport
from kubestudy.runtime.cache import Cache, Key, namespace_of
from kubestudy.runtime.client import Object
from kubestudy.runtime.prometheus import Prometheus, PrometheusError
from kubestudy.runtime.queue import WorkQueue
from kubestudy.sources.prometheus import SeriesReader, query_of
from kubestudy.sources.termination import last_word
from kubestudy.workloads.pod import (
    is_running,
    main_container,
    moment,
    pod_ended,
    termination_message,
)

log = logging.getLogger(__name__)

READERS = 4
MOST_OF_A_READER = 0.1
"""The share of its time that a reader may have for one pod."""
SETTLES = 2.0
"""What Prometheus takes to store a scrape, in seconds, at most."""
PATIENCE = 600.0
"""For how long the end of a run waits for a Prometheus that cannot be reached, in seconds."""
CHUNK = 3600.0
"""What one query asks for at most, in seconds: an answer stays small."""


@dataclass
class PodSeries:
    """The series of one pod, as far as they have been read.

    Attributes:
        read_to: Up to when, in seconds since the epoch.
        ended: When the pod's end was first seen, in the same.
    """

    study: Key
    query: BoundQuery
    reader: SeriesReader
    report: RunReport
    read_to: float
    ended: float | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class SeriesCollector:
    """Reads series in the background.

    Args:
        prometheus: The server.
        scrape_interval: Seconds between two scrapes of a pod.
        study_of: Finds a Study by its key.
        pods: The trials' pods, by key.
        wanted: Whether a pod's trial still waits for what Prometheus has of it.
        news: Told the Study's key when something was reported, or read to its end.
        clock: The time of the cluster, in seconds since the epoch.
    """

    def __init__(
        self,
        prometheus: Prometheus,
        scrape_interval: float,
        study_of: Callable[[Key], Study | None],
        pods: Cache[Object],
        wanted: Callable[[Object], bool],
        news: Callable[[Key, float], None],
        clock: Callable[[], float] = time.time,
    ):
        self._clock = clock
        self._prometheus, self._interval = prometheus, scrape_interval
        self._study_of, self._pods, self._wanted, self._news = study_of, pods, wanted, news
        self._series: dict[str, PodSeries] = {}
        self._lock = threading.Lock()
        self._queue: WorkQueue[Key] = WorkQueue(namespace_of)

    def start(self) -> None:
        """Begins to read."""
        for i in range(READERS):
            threading.Thread(target=self._work, name=f"series-{i}", daemon=True).start()

    def stop(self) -> None:
        """Ends."""
        self._queue.close()

    def pod_changed(self, pod: Object) -> None:
        """Takes note of a pod: one that runs is looked at after a while, one that ended soon."""
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"])
        if pod_ended(pod):
            self._queue.add(key)
        elif is_running(main_container(pod)):
            self._queue.add(key, self._interval)

    def report(self, pod_uid: str) -> RunReport | None:
        """What Prometheus had of a pod so far; None where nothing was read yet."""
        with self._lock:
            found = self._series.get(pod_uid)
        if found is None:
            return None
        with found.lock:
            return copy.deepcopy(found.report)

    def forget(self, pod_uid: str) -> None:
        """Lets go of what was read of a pod: it is stored now."""
        with self._lock:
            self._series.pop(pod_uid, None)

    def _work(self) -> None:
        while (key := self._queue.get()) is not None:
            began = time.monotonic()
            try:
                wait = self._look(key)
                self._queue.succeeded(key)
                if wait is not None:
                    self._queue.add(key, max(wait, self._rest(began)))
            except PrometheusError as error:
                log.warning("series of %s/%s: Prometheus %s", *key, error)
                wait = max(min(self._interval, 10.0), self._rest(began))
                self._queue.failed(key, at_least=wait)
            except Exception:
                log.exception("reading the series of %s/%s failed", *key)
                self._queue.failed(key, at_least=1.0)
            finally:
                self._queue.done(key)

    def _rest(self, began: float) -> float:
        """Seconds for which a pod lets others go first: no more than a share of a reader is its."""
        return (time.monotonic() - began) * (1 / MOST_OF_A_READER - 1)

    def _look(self, key: Key) -> float | None:
        """Reads what is new of a pod; returns the seconds until there may be more."""
        pod = self._pods.get(key)
        series = self._series_of(pod) if pod is not None else None
        if pod is None or series is None or series.report.complete:
            return None
        now = self._clock()
        if series.ended is None and pod_ended(pod):
            series.ended = _moment(pod, "finishedAt") or now
        last = None if series.ended is None else series.ended + self._interval + SETTLES
        try:
            news = self._read(series, now)
        except PrometheusError as error:
            if last is None or (error.passing and now < last + PATIENCE):
                raise
            self._close(pod, series, f"Prometheus {error}")
            return None
        if last is not None and now >= last:
            self._close(pod, series, series.reader.hint)
            return None
        if news:
            self._news(series.study, 0.0)
        return self._interval if last is None else last - now

    def _read(self, series: PodSeries, now: float) -> bool:
        news = False
        while True:
            until = min(now, series.read_to + CHUNK)
            seconds = max(1, round(until - series.read_to))
            step = max(1, round(self._interval))
            found = self._prometheus.query(
                series.query.over(seconds, step), until, series.reader.takes
            )
            with series.lock:
                for observation in series.reader.read(found):
                    series.report.add(observation)
                    news = True
            # A scrape that comes in late is not missed: what was read before is known again.
            series.read_to = max(series.read_to, until - 2 * self._interval)
            if until >= now:
                return news

    def _close(self, pod: Object, series: PodSeries, hint: str | None) -> None:
        word = last_word(termination_message(pod))
        with series.lock:
            for name in series.reader.ambiguous:
                series.report.metrics.pop(name, None)
            series.report.hint = hint
            # What became of the trial it says itself; its values are Prometheus' to tell.
            series.report.close(replace(word, metrics={}, seq=None) if word else LastWord({}))
        self._news(series.study, 0.0)

    def _series_of(self, pod: Object) -> PodSeries | None:
        """The series of a pod, where they are still of use."""
        uid = pod["metadata"]["uid"]
        with self._lock:
            found = self._series.get(uid)
        if found is not None or not self._wanted(pod):
            return found
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        key = (namespace, (pod["metadata"].get("annotations") or {}).get(LABEL_STUDY, ""))
        study = self._study_of(key)
        began = _moment(pod, "startedAt")
        if study is None:
            return None
        try:
            query = query_of(study.spec, namespace, name)
        except PromQLError as error:  # The Study was edited; it says so itself.
            log.warning("study %s/%s: %s", *key, error)
            return None
        report = RunReport.empty(study.spec)
        begin = (began or self._clock()) - 2 * self._interval
        new = PodSeries(key, query, SeriesReader(study.spec), report, begin)
        with self._lock:
            return self._series.setdefault(uid, new)


def _moment(pod: Object, which: str) -> float | None:
    """When the container that trains started or ended, in seconds since the epoch."""
    state = main_container(pod).get("state") or {}
    for kind in ("running", "terminated"):
        if found := moment((state.get(kind) or {}).get(which)):
            return found.timestamp()
    return None
