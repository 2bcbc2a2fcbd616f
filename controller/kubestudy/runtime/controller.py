"""The loop: a key leaves the queue, the world is seen, the core decides, the plan is applied."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from datetime import datetime

from kubestudy.api.base import LABEL_MANAGED_BY, LABEL_STUDY, MANAGER
from kubestudy.api.metrics_source import SourceType
from kubestudy.api.study import Study
from kubestudy.api.trial import PENDING, RUNNING, Trial
from kubestudy.api.validation import InvalidObject, parse_study
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunFacts
from kubestudy.core.names import job_name
from kubestudy.core.plan import EarlierStudy, Snapshot
from kubestudy.core.pod_security import NOTHING, Allowed
from kubestudy.core.runs import lacks_pod
from kubestudy.runtime import logs, metrics
from kubestudy.runtime.apply import Applier, Conflict
from kubestudy.runtime.cache import Cache, Key
from kubestudy.runtime.client import (
    JOBS,
    PODS,
    STUDIES,
    TRIALS,
    ApiError,
    KubeClient,
    Object,
)
from kubestudy.runtime.collector import Collector
from kubestudy.runtime.kept_logs import LogKeeper
from kubestudy.runtime.obstacles import ASK_EVERY, Obstacles
from kubestudy.runtime.prometheus import Prometheus, PrometheusSettings
from kubestudy.runtime.pushed import PushedReports
from kubestudy.runtime.queue import WorkQueue
from kubestudy.runtime.reports import Reports, Source
from kubestudy.runtime.series import SeriesCollector
from kubestudy.runtime.watch import Informer
from kubestudy.workloads.job import as_kept, observe, observe_without_job, run_key
from kubestudy.workloads.pod import pod_ended
from kubestudy.workloads.pod_template import JobSettings

log = logging.getLogger(__name__)

OURS = f"{LABEL_MANAGED_BY}={MANAGER}"

CONFLICT_EVERY = 5.0


@dataclass(frozen=True)
class ControllerSettings:
    """What the administrator decides.

    Attributes:
        namespaces: Where Studies are run; empty for everywhere.
        workers: How many Studies are worked on at once.
        identity: The name that events and the lease tell.
        jobs: How Jobs are made.
        allowed: What pod templates may ask for.
        prometheus: Where metrics may be read from beside the logs; None for nowhere.
    """

    namespaces: tuple[str, ...] = ()
    workers: int = 4
    identity: str = "kubestudy-controller"
    jobs: JobSettings = field(default_factory=JobSettings)
    allowed: Allowed = NOTHING
    prometheus: PrometheusSettings | None = None


class Controller:
    """Runs Studies.

    Args:
        client: The API server.
        settings: The administrator's.
    """

    def __init__(self, client: KubeClient, settings: ControllerSettings):
        self.queue: WorkQueue[Key] = WorkQueue()
        self._workers: list[threading.Thread] = []
        self._client, self._settings = client, settings
        self.studies: Cache[Study | InvalidObject] = Cache(_read_study, _own_key)
        self.trials: Cache[Trial] = Cache(Trial.model_validate, _key_of_trial)
        self.jobs: Cache[Object] = Cache(as_kept, _annotated_key)
        self._gone: deque[str] = deque()
        self.pods: Cache[Object] = Cache(
            lambda o: o, _annotated_key, outlives=self._unjudged, dropped=self._gone.append
        )
        self.reports = Reports(self._sources())
        self._applier = Applier(
            client, self.studies, self.trials, self.jobs, settings.jobs, settings.identity
        )
        self._obstacles = Obstacles(client)
        self._informers: list[Informer] = []
        for namespace in settings.namespaces or (None,):
            for resource, cache, selector in (
                (STUDIES, self.studies, None),
                (TRIALS, self.trials, None),
                (JOBS, self.jobs, OURS),
                (PODS, self.pods, OURS),
            ):
                changed = self.reports.pod_changed if resource is PODS else None
                self._informers.append(
                    Informer(client, resource, namespace, cache, self._enqueue, changed, selector)
                )

    @property
    def synced(self) -> bool:
        """Whether everything has been seen once."""
        return all(i.synced.is_set() for i in self._informers)

    def start(self, stopping: threading.Event) -> bool:
        """Watches and, once everything has been seen, decides; False if told to stop first."""
        for informer in self._informers:
            informer.start()
        while not self.synced:
            if stopping.wait(0.02):
                return False
        log.info("caches are in: %d studies, %d trials", len(self.studies), len(self.trials))
        for pod in self.pods.values():
            self.reports.pod_changed(pod)
        self.reports.start()
        for i in range(self._settings.workers):
            thread = threading.Thread(target=self._work, name=f"worker-{i}", daemon=True)
            thread.start()
            self._workers.append(thread)
        return True

    def stop(self, timeout: float = 2.0) -> None:
        """Ends after the plans that are being carried out."""
        for informer in self._informers:
            informer.stop()
        self.reports.stop()
        self.queue.close()
        deadline = time.monotonic() + timeout
        for thread in self._workers:
            thread.join(max(0.0, deadline - time.monotonic()))

    def reconcile(self, key: Key) -> float | None:
        """Makes one Study as it should be, as far as it can be done now.

        Returns:
            Seconds after which to look again; None where only news should lead to that.
        """
        self.pods.sweep(key)
        self._forget_gone()
        study = self.studies.get(key)
        if study is None:
            self._applier.forget("/".join(key))
            return None
        if isinstance(study, InvalidObject):
            log.error("study %s/%s cannot be read: %s", *key, study)
            return None
        plan = decide(self._snapshot(key, study))
        wait = self._applier.apply(study, plan)
        self._forget_stored(key)
        return wait

    def _snapshot(self, key: Key, study: Study) -> Snapshot:
        pods: dict[str, list[Object]] = defaultdict(list)
        for pod in self.pods.group(key):
            for owner in pod["metadata"].get("ownerReferences") or ():
                if owner.get("controller"):
                    pods[owner["uid"]].append(pod)
        now = self._client.clock.now()
        runs = [
            self._run(job, pods.pop(job["metadata"]["uid"], []), now)
            for job in self.jobs.group(key)
        ]
        seen = [facts for facts in runs if facts is not None]
        known = {facts.key for facts in seen}
        left_over = (observe_without_job(left, now) for left in pods.values())
        seen += [facts for facts in left_over if facts is not None and facts.key not in known]
        reports = {
            facts.pod_uid: report
            for facts in seen
            if facts.pod_uid
            and (report := self.reports.report(facts.pod_uid, study.spec)) is not None
        }
        return Snapshot(
            study=study,
            trials=self._trials(key, study),
            runs=seen,
            reports=reports,
            now=now,
            allowed=self._settings.allowed,
            sources=self.reports.types,
            earlier=self._earlier(study),
        )

    def _trials(self, key: Key, study: Study) -> list[Trial]:
        """The trials of a Study; another one of the same name may have been here before."""
        trials = [
            t
            for t in self.trials.group(key)
            if t.metadata.owner is not None and t.metadata.owner.uid == study.metadata.uid
        ]
        return sorted(trials, key=lambda t: t.spec.index)

    def _earlier(self, study: Study) -> dict[str, EarlierStudy]:
        """The Studies that a Study starts from."""
        found = {}
        for name in study.spec.warm_start.studies if study.spec.warm_start else ():
            key = (study.metadata.namespace or "", name)
            other = self.studies.get(key)
            if isinstance(other, Study):
                found[name] = EarlierStudy(other, self._trials(key, other))
        return found

    def _run(self, job: Object, pods: list[Object], now: datetime) -> RunFacts | None:
        """What is seen of a run; where its Job is ahead of its pod, the API server is asked.

        Jobs and pods come by watches of their own, and that of the pods may be behind: the pod of a
        Job that has ended may not have been seen to end, to start, or at all.
        """
        facts = observe(job, pods, now)
        if facts is not None and lacks_pod(facts, now):
            self.queue.add(_annotated_key(job), ASK_EVERY)
            reason, message = self._obstacles.of(job) or (None, "")
            return replace(facts, reason=reason, message=message)
        if facts is None or not facts.ended_by_itself or any(map(pod_ended, pods)):
            return facts
        namespace = job["metadata"]["namespace"]
        trial = self.trials.get((namespace, facts.key.trial))
        if trial is None or trial.finished:
            return facts
        selector = f"batch.kubernetes.io/controller-uid={job['metadata']['uid']}"
        pods = self._client.list(PODS, namespace, labelSelector=selector)["items"]
        for pod in pods:
            if self.pods.put(pod):
                self.reports.pod_changed(pod)
        return observe(job, pods, now)

    def _work(self) -> None:
        while (key := self.queue.get()) is not None:
            with logs.reconciling(*key):
                self._work_on(key)

    def _work_on(self, key: Key) -> None:
        began = time.monotonic()
        outcome = "ok"
        try:
            wait = self.reconcile(key)
            self.queue.succeeded(key)
            if wait is not None:
                self.queue.add(key, wait)
        except ApiError as error:
            outcome = "api_error"
            wait = self.queue.failed(key, error.retry_after or 0)
            # A Conflict or NotFound only says that the world has moved on.
            level = logging.INFO if error.status in (404, 409) else logging.WARNING
            log.log(level, "study %s/%s: %s; again in %.1f s", *key, error, wait)
        except Conflict as error:
            outcome = "conflict"
            # At an even pace: that the name is free again is not seen, but found out.
            self.queue.succeeded(key)
            self.queue.add(key, CONFLICT_EVERY)
            log.warning("study %s/%s: %s; again in %g s", *key, error, CONFLICT_EVERY)
        except Exception as error:
            outcome = "error"
            wait = self.queue.failed(key, 1)
            log.exception("study %s/%s: again in %.1f s", *key, wait)
            self._tell_of(key, error)
        finally:
            self.queue.done(key)
            metrics.reconciled(outcome, time.monotonic() - began)

    def _tell_of(self, key: Key, error: Exception) -> None:
        """The Study says that its decision fails: nothing but our log would."""
        if (study := self._valid_study(key)) is None:
            return
        why = f"{type(error).__name__}: {error}; this is a bug of kubestudy's, please report it"
        try:
            self._applier.tell_of(study, None, "InternalError", why)
        except Exception:  # whatever is wrong with this Study, the worker lives on for the others
            log.exception("study %s/%s does not say so", *key)

    def _enqueue(self, study: Hashable) -> None:
        if isinstance(study, tuple):
            self.queue.add(study)

    def _wanted(self, pod: Object) -> bool:
        """Whether a pod's trial still waits for what it reports."""
        run = run_key(pod)
        if run is None:
            return False
        trial = self.trials.get((pod["metadata"]["namespace"], run.trial))
        return trial is not None and not trial.finished

    def _unjudged(self, pod: Object) -> bool:
        """Whether a pod has ended, and what became of its run is not stored yet."""
        return pod_ended(pod) and self._unstored(pod)

    def _unstored(self, pod: Object) -> bool:
        """Whether what becomes of a pod's run is not stored yet."""
        run = run_key(pod)
        if run is None or not self._wanted(pod):
            return False
        trial = self.trials.get((pod["metadata"]["namespace"], run.trial))
        stored = (trial.status.runs if trial and trial.status else None) or ()
        return all(r.job != job_name(run) or r.outcome in (PENDING, RUNNING) for r in stored)

    def _sources(self) -> dict[SourceType, Source]:
        """The places that reports are read from."""

        def wanted_from(source: SourceType) -> Callable[[Object], bool]:
            def wanted(pod: Object) -> bool:
                study = self._valid_study(_annotated_key(pod))
                return study is not None and source in study.spec.sources and self._wanted(pod)

            return wanted

        logs = wanted_from(SourceType.LOGS)
        sources: dict[SourceType, Source] = {
            SourceType.LOGS: Collector(
                self._client,
                self._valid_study,
                self.pods,
                logs,
                self.queue.add,
                LogKeeper(self._client, self.jobs, self.pods, self._unstored),
            )
        }
        if self._settings.prometheus is not None:
            sources[SourceType.PROMETHEUS] = SeriesCollector(
                Prometheus(self._settings.prometheus),
                self._settings.prometheus.scrape_interval,
                self._valid_study,
                self.pods,
                wanted_from(SourceType.PROMETHEUS),
                self.queue.add,
                lambda: self._client.clock.now().timestamp(),
            )
        if self._settings.jobs.push is not None:
            sources[SourceType.PUSH] = PushedReports(
                self._client, self.jobs, self.pods, wanted_from(SourceType.PUSH), self.queue.add
            )
        return sources

    def _forget_gone(self) -> None:
        with contextlib.suppress(IndexError):  # none is left, or another worker was faster
            while True:
                self.reports.forget(self._gone.popleft())

    def _forget_stored(self, key: Key) -> None:
        for pod in self.pods.group(key):
            if not self._wanted(pod):
                self.reports.forget(pod["metadata"]["uid"])

    def _valid_study(self, key: Key) -> Study | None:
        study = self.studies.get(key)
        return study if isinstance(study, Study) else None


def _read_study(obj: Object) -> Study | InvalidObject:
    try:
        return parse_study(obj)
    except InvalidObject as error:
        return error


def _own_key(obj: Object) -> Key:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _key_of_trial(obj: Object) -> Key:
    return obj["metadata"]["namespace"], obj["spec"]["study"]


def _annotated_key(obj: Object) -> Key:
    annotations = obj["metadata"].get("annotations") or {}
    return obj["metadata"]["namespace"], annotations.get(LABEL_STUDY, "")
