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
from functools import partial

from kubestudy.api.base import LABEL_MANAGED_BY, LABEL_STUDY, MANAGER
from kubestudy.api.metrics_source import SourceType
from kubestudy.api.study import Study
from kubestudy.api.trial import PENDING, RUNNING, Trial
from kubestudy.api.validation import read
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunFacts
from kubestudy.core.names import job_name
from kubestudy.core.plan import EarlierStudy, Snapshot
from kubestudy.core.pod_security import NOTHING, Allowed
from kubestudy.core.runs import lacks_pod
from kubestudy.runtime import logs, metrics
from kubestudy.runtime.apply import Applier, Conflict
from kubestudy.runtime.cache import Bound, Cache, Key, namespace_of
from kubestudy.runtime.client import (
    JOBS,
    PODS,
    STUDIES,
    TRIALS,
    ApiError,
    KubeClient,
)
from kubestudy.runtime.collector import Collector
from kubestudy.runtime.kept_logs import LogKeeper
from kubestudy.runtime.objects import PLAIN, Object, Shape, read_object
from kubestudy.runtime.obstacles import ASK_EVERY, Obstacles
from kubestudy.runtime.prometheus import Prometheus, PrometheusSettings
from kubestudy.runtime.pushed import PushedReports
from kubestudy.runtime.queue import WorkQueue
from kubestudy.runtime.reports import Reports, Source
from kubestudy.runtime.series import SeriesCollector
from kubestudy.runtime.studies import OVER_SHARE, InvalidStudy, Studies
from kubestudy.runtime.studies import SHAPE as STUDY
from kubestudy.runtime.vital_signs import Pulse, VitalSigns
from kubestudy.runtime.watch import Collection, Informer
from kubestudy.workloads.job import (
    controller_of,
    is_of_trial,
    kept_of,
    observe,
    observe_without_job,
    pushed_text,
    run_key,
    without_pushed,
)
from kubestudy.workloads.pod import KEPT_OF_POD, pod_ended
from kubestudy.workloads.pod_template import JobSettings
from kubestudy.workloads.projection import project

log = logging.getLogger(__name__)

OURS = f"{LABEL_MANAGED_BY}={MANAGER}"

CONFLICT_EVERY = 5.0
# A Study that there was no room for is looked at again: others may have gone.
ROOM_EVERY = 60.0
# A watch is silent for 90 s at most; an answer is waited for as long, or less.
WATCH_PATIENCE = 300.0
# All that one decision may take, with all its requests.
WORK_PATIENCE = 900.0

# What trials push is kept on their Jobs, and is all of them that may be large.
JOBS_BOUND: Bound[Object] = Bound(
    lambda job: 1024 + len(pushed_text(job)), 16 << 20, 48 << 20, without_pushed
)
JOB = Shape(PLAIN.left_out | {("spec", "template")})


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
        signs: Where its threads show that they move.
    """

    def __init__(
        self, client: KubeClient, settings: ControllerSettings, signs: VitalSigns | None = None
    ):
        signs = signs or VitalSigns()
        # One worker is always left to the others, however long a namespace's decisions take.
        self.queue: WorkQueue[Key] = WorkQueue(namespace_of, max(1, settings.workers - 1))
        self._workers: list[threading.Thread] = []
        self._client, self._settings = client, settings
        self._pulses = [signs.pulse("workers", WORK_PATIENCE) for _ in range(settings.workers)]
        self.studies = Studies()
        self.trials: Cache[Trial] = Cache(partial(read, Trial), _key_of_trial)
        self.jobs: Cache[Object] = Cache(kept_of, _key_of_job, bound=JOBS_BOUND)
        self._gone: deque[str] = deque()
        self.pods: Cache[Object] = Cache(
            lambda o: project(o, KEPT_OF_POD),
            _annotated_key,
            outlives=self._unjudged,
            dropped=self._gone.append,
        )
        self.reports = Reports(self._sources())
        self._applier = Applier(
            client, self.studies.cache, self.trials, self.jobs, settings.jobs, settings.identity
        )
        self._obstacles = Obstacles(client)
        self._informers: list[Informer] = []
        for namespace in settings.namespaces or (None,):
            for collection, cache in (
                (Collection(STUDIES, namespace, shape=STUDY), self.studies.cache),
                (Collection(TRIALS, namespace), self.trials),
                (Collection(JOBS, namespace, OURS, JOB), self.jobs),
                (Collection(PODS, namespace, OURS), self.pods),
            ):
                plural = collection.resource.plural
                seen = self.reports.pod_changed if collection.resource is PODS else None
                pulse = signs.pulse(f"watch of {plural} in {namespace or '*'}", WATCH_PATIENCE)
                self._informers.append(
                    Informer(client, collection, cache, self._enqueue, seen, pulse)
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
            with contextlib.suppress(Exception):  # its watch has said so
                self.reports.pod_changed(pod)
        self.reports.start()
        for i, pulse in enumerate(self._pulses):
            name = f"worker-{i}"
            thread = threading.Thread(target=self._work, args=(pulse,), name=name, daemon=True)
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
        if isinstance(study, InvalidStudy):
            return self._refuse(study)
        plan = decide(self._snapshot(key, study))
        wait = self._applier.apply(study, plan)
        self._forget_stored(key)
        return wait

    def _refuse(self, study: InvalidStudy) -> float | None:
        """Says of a Study why nothing is decided about it; what runs already goes on."""
        key = study.identity.key
        if study.reason == OVER_SHARE and self.studies.cache.has_room(key[0], study.packed_size):
            self.studies.cache.put(self._client.get(STUDIES, *key), again=True)
            return 1.0
        again = self._applier.refuse(study)
        return ROOM_EVERY if again is None and study.reason == OVER_SHARE else again

    def _snapshot(self, key: Key, study: Study) -> Snapshot:
        pods: dict[str, list[Object]] = defaultdict(list)
        for pod in self.pods.group(key):
            if self._is_of_run(pod):
                pods[(controller_of(pod) or {})["uid"]].append(pod)
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
        pods = []
        for piece in self._client.listing(PODS, namespace, labelSelector=selector):
            with contextlib.suppress(ValueError):  # one that cannot be read is as good as gone
                pods.append(project(read_object(piece), KEPT_OF_POD))
        for pod in pods:
            if self.pods.put(pod):
                self.reports.pod_changed(pod)
        return observe(job, pods, now)

    def _work(self, pulse: Pulse) -> None:
        pulse.rest()
        while (key := self.queue.get()) is not None:
            pulse.beat()
            with logs.reconciling(*key):
                self._work_on(key)
            pulse.rest()
        pulse.end()

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
        try:
            study = self.studies.valid(key)
        except Exception:  # that is what fails
            study = None
        if study is None:
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
        if run is None or not self._is_of_run(pod):
            return False
        trial = self.trials.get((pod["metadata"]["namespace"], run.trial))
        return trial is not None and not trial.finished

    def _is_of_run(self, pod: Object) -> bool:
        """Whether a run's Job made a pod; labels and annotations can be given to any pod."""
        owner, run = controller_of(pod) or {}, run_key(pod)
        if "uid" not in owner or run is None:
            return False
        namespace, uid = pod["metadata"]["namespace"], owner["uid"]
        job = self.jobs.get((namespace, job_name(run)))
        made = job is not None and is_of_trial(job) and job["metadata"]["uid"] == uid
        if made or self.jobs.knew(uid):
            return True
        trial = self.trials.get((namespace, run.trial))
        stored = (trial.status.runs if trial and trial.status else None) or ()
        return any(r.job_uid == uid for r in stored)

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
                study = self.studies.valid(_annotated_key(pod))
                return study is not None and source in study.spec.sources and self._wanted(pod)

            return wanted

        logs = wanted_from(SourceType.LOGS)
        sources: dict[SourceType, Source] = {
            SourceType.LOGS: Collector(
                self._client,
                self.studies.valid,
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
                self.studies.valid,
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


def _key_of_trial(obj: Object) -> Key:
    return obj["metadata"]["namespace"], obj["spec"]["study"]


def _key_of_job(job: Object) -> Key | None:
    return _annotated_key(job) if is_of_trial(job) else None


def _annotated_key(obj: Object) -> Key:
    annotations = obj["metadata"].get("annotations") or {}
    return obj["metadata"]["namespace"], annotations.get(LABEL_STUDY, "")
