"""A cluster in memory: carries out plans action by action, and watches that no promise is broken.

The world (Study, Trials, Jobs, pods, logs) moves on its own: a Job controller, a kubelet, a
garbage collector and people who edit and delete. The controller under test sees it through caches
that may lag behind the world but never behind the controller's own writes, and it may die between
any two actions; then its caches and what it has read of the logs are gone.
"""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from kubestudy.api.base import ANNOTATION_SUSPENDED, LABEL_QUEUE
from kubestudy.api.meta import condition, is_true, rfc3339
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.core.decide import decide
from kubestudy.core.plan import (
    CreateTrial,
    Plan,
    Snapshot,
    StartRun,
    StopRun,
    SuspendRun,
    WriteTrialStatus,
)
from kubestudy.core.reports import RunReport
from kubestudy.sources.log_lines import LineReader
from kubestudy.workloads import job as jobs_of
from kubestudy.workloads.pod import LOST_AFTER, moment, pod_ended
from tests.unit.build import T0

COLLECTIONS = ("study", "trials", "jobs", "pods")
Object = dict[str, Any]


class Crash(Exception):
    """The controller dies."""


class Stale(Exception):
    """A write is refused: the object is not as the controller saw it."""


class BrokenPromise(AssertionError):
    """Something happened that must never happen."""


def value_of(parameters: dict[str, Any], seed: int | None = None) -> float:
    """What a trial with these parameters measures: an arbitrary function with ties."""
    if seed is not None:
        return value_of(parameters) + (hash_of(f"{parameters} {seed}") % 5 - 2)
    return round(sum(len(str(v)) * 7 % 5 + hash_of(str(v)) % 4 for v in parameters.values()), 3)


def hash_of(text: str) -> int:
    """A hash that is the same in every process."""
    return sum(ord(c) * (i + 1) for i, c in enumerate(text))


def as_go_writes(value: Any) -> Any:
    """JSON data as the API server gives it back: a whole number has no point."""
    if isinstance(value, dict):
        return {k: as_go_writes(v) for k, v in value.items()}
    if isinstance(value, list):
        return [as_go_writes(v) for v in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


M = TypeVar("M", Study, Trial)


def stored(model: M) -> M:
    """A model after its way through the API server; what it cannot hold is an error."""
    text = json.dumps(model.to_json(), allow_nan=False)
    return type(model).model_validate(as_go_writes(json.loads(text)))


def clone(value: Any) -> Any:
    """A copy that shares nothing that could be changed in place."""
    return pickle.loads(pickle.dumps(value)) if isinstance(value, dict) else value


def is_over(pod: Object) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


def job_ended(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return any(c["type"] in ("Complete", "Failed") for c in conditions)


def is_suspended(job: Object) -> bool:
    return bool(job["spec"].get("suspend"))


def is_marked(job: Object) -> bool:
    return ANNOTATION_SUSPENDED in job["metadata"]["annotations"]


def is_ours(job: Object) -> bool:
    """Whether we hold a Job back."""
    queued = LABEL_QUEUE in job["metadata"]["labels"]
    return is_suspended(job) and is_marked(job) and not queued


@dataclass
class FakeCluster:
    """The world and, through lagging caches, what the controller sees of it."""

    study: Study
    seconds: float = 0.0
    trials: dict[str, Trial] = field(default_factory=dict)
    jobs: dict[str, Object] = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)

    writes: Counter[str] = field(default_factory=Counter)
    conflicts: int = 0
    hands_off: bool = True
    quota: int | None = None
    """How many Jobs Kueue lets run at once; None where there is no Kueue."""

    _serial: int = 0
    _lagging: set[str] = field(default_factory=set)
    _cache: dict[str, Any] = field(default_factory=dict)
    _read: dict[str, RunReport] = field(default_factory=dict)
    _suggested: dict[int, dict[str, Any]] = field(default_factory=dict)
    _finished: dict[str, Any] = field(default_factory=dict)
    _epochs: dict[str, int] = field(default_factory=dict)
    _admitted: set[str] = field(default_factory=set)
    _held: Counter[Any] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.restart()

    @property
    def now(self):
        return T0 + timedelta(seconds=self.seconds)

    # What the controller sees and does.

    def restart(self) -> None:
        """A new process: its caches are fresh lists, and no log has been read."""
        self._lagging.clear()
        self._read.clear()
        self._cache = {c: self._copy(c) for c in COLLECTIONS}

    def lag(self, collection: str) -> None:
        """From now on, the controller sees no news of one collection but its own writes."""
        self._sync()
        self._lagging.add(collection)

    def catch_up(self) -> None:
        self._lagging.clear()

    def snapshot(self) -> Snapshot:
        """What the controller sees now."""
        self._sync()
        seen = self._cache
        pods_of: dict[str, list[Object]] = {}
        for pod in seen["pods"].values():
            pods_of.setdefault(pod["metadata"]["ownerReferences"][0]["uid"], []).append(pod)
        runs = [
            jobs_of.observe(job, pods_of.pop(job["metadata"]["uid"], []), self.now)
            for job in seen["jobs"].values()
        ]
        of_jobs = {r.key for r in runs if r is not None}
        left = [jobs_of.observe_without_job(pods, self.now) for pods in pods_of.values()]
        runs += [r for r in left if r is not None and r.key not in of_jobs]
        uid = seen["study"].metadata.uid
        trials = [t for t in seen["trials"].values() if t.metadata.owner.uid == uid]
        return Snapshot(
            seen["study"],
            sorted(trials, key=lambda t: t.spec.index),
            sorted((r for r in runs if r is not None), key=lambda r: r.key),
            dict(self._read),
            self.now,
        )

    def reconcile(self, crash_after: int | None = None) -> Plan:
        """Decides and acts; with ``crash_after``, dies after so many writes."""
        snapshot = self.snapshot()
        plan = decide(snapshot)
        try:
            self._apply(plan, crash_after)
        except Crash:
            self.restart()
        except Stale:
            pass  # it is decided again, once the news is here
        return plan

    def _apply(self, plan: Plan, crash_after: int | None) -> None:
        steps: list[Callable[[], None]] = [
            lambda action=action: self._carry_out(action) for action in plan.actions
        ]
        if plan.status is not None:
            steps.append(lambda: self._write_study_status(plan))
        for done, step in enumerate(steps):
            if done == crash_after:
                raise Crash
            step()
            self.check()
        if crash_after is not None and crash_after >= len(steps):
            raise Crash

    def _carry_out(self, action: Any) -> None:
        self.writes[type(action).__name__] += 1
        match action:
            case CreateTrial(trial):
                self._create_trial(trial)
            case StartRun(run):
                self._start(run)
            case StopRun(_, name):
                if name in self.jobs:  # in the foreground
                    self.jobs[name]["metadata"]["deletionTimestamp"] = rfc3339(self.now)
            case SuspendRun(_, name, suspend):
                if name in self.jobs:
                    self._suspend(name, suspend)
            case WriteTrialStatus(name, status):
                self._write_trial_status(name, status)
            case _:
                raise AssertionError(action)

    def _create_trial(self, trial: Trial) -> None:
        name, index = trial.metadata.name, trial.spec.index
        if name in self.trials:
            owner = self.trials[name].metadata.owner
            if owner is None or owner.uid != self.study.metadata.uid:
                self.conflicts += 1
                return
        else:
            meta = trial.metadata.model_copy(
                update={"uid": self._uid("trial"), "creation_timestamp": self.now}
            )
            self.trials[name] = stored(trial.model_copy(update={"metadata": meta}))
            known = self._suggested.setdefault(index, trial.spec.parameters)
            if known != trial.spec.parameters:
                raise BrokenPromise(f"trial {index} was suggested as {known} and now anew")
            self._promise_checkpoint(trial)
        self._through("trials", name)

    def _promise_checkpoint(self, trial: Trial) -> None:
        if trial.spec.inherits is None or not self.hands_off:
            return
        parent = self.trials[trial.spec.inherits]
        if parent.state != "Succeeded":
            raise BrokenPromise(f"{trial.metadata.name} inherits from a trial that {parent.state}")
        until = trial.spec.until or 0
        early = [t for t in self.trials.values() if (t.spec.until or 0) < until and not t.finished]
        if early:
            raise BrokenPromise(f"{trial.metadata.name} does not wait for the generation before")

    def _start(self, run: Any) -> None:
        trial = self._cache["trials"].get(run.trial)
        if trial is None:
            raise BrokenPromise(f"a run of the unknown trial {run.trial} was started")
        job = jobs_of.build(self._cache["study"], trial, run, jobs_of.JobSettings())
        name = job["metadata"]["name"]
        if name in self.jobs:
            owner = self.jobs[name]["metadata"]["ownerReferences"][0]["uid"]
            if owner != trial.metadata.uid:
                self.conflicts += 1
                return
        else:
            if trial.finished:
                raise BrokenPromise(f"a run of the finished trial {run.trial} was started")
            self._promise_folds(job, trial)
            self._promise_slots(job)
            self._promise_checkpoints(run)
            job["metadata"] |= {"uid": self._uid("job"), "creationTimestamp": rfc3339(self.now)}
            job["status"] = {}
            if self.quota is not None:  # Kueue's webhook
                job["metadata"]["labels"].setdefault(LABEL_QUEUE, "default")
                job["spec"]["suspend"] = True
            self.jobs[name] = job
        self._through("jobs", name)

    def _suspend(self, name: str, suspend: bool) -> None:
        job, seen = self.jobs[name], self._cache["jobs"][name]
        if job != seen:
            raise Stale
        self._promise_hold(job, suspend)
        self._promise_slots(job if not suspend else None)
        patch = jobs_of.suspension(seen, suspend)
        annotations = job["metadata"]["annotations"] | patch["metadata"]["annotations"]
        job["metadata"]["annotations"] = {k: v for k, v in annotations.items() if v is not None}
        job["spec"] |= patch["spec"]
        self._through("jobs", name)

    def _promise_hold(self, job: Object, suspend: bool) -> None:
        """Only our own hold is taken back, and none is laid over another's."""
        name, ours = job["metadata"]["name"], is_ours(job)
        if not (ours if not suspend else not (is_suspended(job) or is_marked(job))):
            raise BrokenPromise(f"suspend={suspend} is written to {name}, which others hold")
        if LABEL_QUEUE in job["metadata"]["labels"]:
            raise BrokenPromise(f"suspend={suspend} is written to {name}, which is in a queue")
        deed = (job["metadata"]["uid"], self.study.metadata.generation, suspend)
        self._held[deed] += 1
        if self._held[deed] > 1:
            raise BrokenPromise(f"suspend={suspend} is written to {name} again")

    def _promise_folds(self, starting: Object, trial: Trial) -> None:
        folds = variables(starting["spec"]["template"]).get("KUBESTUDY_FOLD")
        done = {str(fold) for fold in trial.status.folds} if trial.status else set()
        if folds is not None and (not folds or done & set(folds.split(","))):
            raise BrokenPromise(f"the folds {folds!r} are started, and {done} are done")

    def _promise_slots(self, starting: Object | None) -> None:
        if starting is None:
            return
        told = condition(self.study.status and self.study.status.conditions, "Progressing")
        if told and told.reason == "Stopping" and self.hands_off and not self._continued():
            raise BrokenPromise(f"a run starts in a Study that is stopping: {told.message}")
        allowed = self._cache["study"].spec.budget.parallelism
        others = [self._as_seen(j) for j in self.jobs.values() if j is not starting]
        active = sum(map(self.is_active, others))
        active += len(self._left_at_work())
        if active >= allowed:
            raise BrokenPromise(f"{active + 1} runs with parallelism {allowed}")

    def _as_seen(self, job: Object) -> Object:
        """A Job as it is, except that who holds it back is as the controller has seen it."""
        seen = self._cache["jobs"].get(job["metadata"]["name"], job)
        return job | {"metadata": seen["metadata"], "spec": seen["spec"]}

    def _promise_checkpoints(self, run: Any) -> None:
        """Nothing else writes to the checkpoints of a run that is started."""
        for pod in self._left_at_work():
            key = jobs_of.run_key(pod)
            if key is not None and (key.trial, key.fold) == (run.trial, run.fold):
                raise BrokenPromise(f"{run} starts while {key} is at work")

    def _left_at_work(self) -> list[Object]:
        """The pods at work whose Job is gone, as far as the controller has seen them."""
        uids = {j["metadata"]["uid"] for j in self.jobs.values()}
        return [
            p
            for p in self.pods.values()
            if p["metadata"]["ownerReferences"][0]["uid"] not in uids
            and p["metadata"]["name"] in self._cache["pods"]
            and not (is_over(p) or self.is_lost(p))
        ]

    def _write_trial_status(self, name: str, status: Any) -> None:
        known = self._cache["trials"].get(name)
        trial = self.trials.get(name)
        if trial is None or known is None or known.metadata.uid != trial.metadata.uid:
            return  # the API server refuses a status for another UID
        if trial.finished and trial.status != status:
            raise BrokenPromise(f"the status of finished trial {name} was written again")
        self.writes[f"status of {name}"] += 1
        self.trials[name] = stored(trial.model_copy(update={"status": status}))
        self._through("trials", name)

    def _write_study_status(self, plan: Plan) -> None:
        self.writes["StudyStatus"] += 1
        self.study = stored(self.study.model_copy(update={"status": plan.status}))
        self._through("study", None)

    def _copy(self, collection: str) -> Any:
        if collection == "study":
            return self.study  # models are never changed in place
        if collection == "trials":
            return dict(self.trials)
        return clone(getattr(self, collection))

    def _sync(self) -> None:
        for collection in COLLECTIONS:
            if collection not in self._lagging:
                self._cache[collection] = self._copy(collection)

    def _through(self, collection: str, name: str | None) -> None:
        """What the server answers to a write goes into the cache."""
        if collection == "study":
            self._cache["study"] = self.study
        else:
            self._cache[collection][name] = clone(getattr(self, collection)[name])

    # What the world does.

    def is_active(self, job: Object) -> bool:
        """Whether a Job has, or may have at any moment, a pod at work."""
        if job_ended(job) or is_ours(job):
            return False
        return not any(is_over(p) or self.is_lost(p) for p in self.pods_of(job))

    def is_lost(self, pod: Object) -> bool:
        """Whether a pod should have been gone for so long that its node must be lost."""
        gone = moment(pod["metadata"].get("deletionTimestamp"))
        patience = LOST_AFTER if "nodeName" in pod["spec"] else timedelta()
        return gone is not None and not is_over(pod) and self.now >= gone + patience

    def pods_of(self, job: Object) -> list[Object]:
        uid = job["metadata"].get("uid")
        return [p for p in self.pods.values() if p["metadata"]["ownerReferences"][0]["uid"] == uid]

    def tick(self) -> None:
        """One round of the kubelet, the Job controller and the garbage collector."""
        for pod in self.pods.values():
            if self._out_of_time(pod):
                if not pod_ended(pod):
                    self.end_pod(pod, 75)
                pod["status"] |= {"phase": "Failed", "reason": "DeadlineExceeded"}
        uids = {j["metadata"]["uid"] for j in self.jobs.values()}
        for name, pod in list(self.pods.items()):
            if pod["metadata"]["ownerReferences"][0]["uid"] not in uids:
                if pod["status"]["phase"] == "Running":
                    self.end_pod(pod, 143, deleted=True)
                else:
                    del self.pods[name]
        self._kueue()
        uids = {t.metadata.uid for t in self.trials.values()}
        for name, job in list(self.jobs.items()):
            if job["metadata"]["ownerReferences"][0]["uid"] not in uids:
                self.delete_job(name)
                continue
            pods = self.pods_of(job)
            if job["metadata"].get("deletionTimestamp"):
                for pod in pods:
                    del self.pods[pod["metadata"]["name"]]
                del self.jobs[name]
            elif not job_ended(job):
                self._control(job, pods)
        self.check()

    def _kueue(self) -> None:
        """Kueue admits what its quota has room for, and insists on what it has admitted."""
        queued = [j for j in self.jobs.values() if LABEL_QUEUE in j["metadata"]["labels"]]
        if self.quota is None:
            return
        waiting = [
            j for j in queued if not (job_ended(j) or j["metadata"].get("deletionTimestamp"))
        ]
        self._admitted &= {j["metadata"]["uid"] for j in waiting}
        for job in waiting:
            uid = job["metadata"]["uid"]
            if len(self._admitted) < self.quota:
                self._admitted.add(uid)
            job["spec"]["suspend"] = uid not in self._admitted

    def evict(self, name: str) -> None:
        """Kueue takes back what it has given to a Job."""
        self._admitted.discard(self.jobs[name]["metadata"]["uid"])
        self.jobs[name]["spec"]["suspend"] = True

    def _control(self, job: Object, pods: list[Object]) -> None:
        phases = [p["status"]["phase"] for p in pods]
        if "Succeeded" in phases:
            self._end(job, "Complete", None)
        elif "Failed" in phases:
            taken = any(is_disrupted(p) for p in pods)
            self._end(job, "Failed", "PodFailurePolicy" if taken else "BackoffLimitExceeded")
        elif is_suspended(job):
            for pod in pods:
                del self.pods[pod["metadata"]["name"]]
            return
        elif not phases:
            self._make_pod(job)
        for pod in pods:
            if pod["metadata"].get("deletionTimestamp") and is_over(pod):
                del self.pods[pod["metadata"]["name"]]

    def _out_of_time(self, pod: Object) -> bool:
        limit = pod["spec"].get("activeDeadlineSeconds")
        began = moment(pod["status"].get("startTime"))
        if limit is None or began is None or is_over(pod):
            return False
        return self.now >= began + timedelta(seconds=limit)

    def _make_pod(self, job: Object) -> None:
        uid = self._uid("pod")
        name = f"{job['metadata']['name']}-{uid}"
        template = job["spec"]["template"]
        self.pods[name] = {
            "metadata": {
                "name": name,
                "uid": uid,
                "creationTimestamp": rfc3339(self.now),
                "ownerReferences": [{"controller": True, "uid": job["metadata"]["uid"]}],
                "annotations": template["metadata"]["annotations"],
            },
            "spec": clone(template["spec"]),
            "status": {"phase": "Pending"},
        }
        self.logs[uid] = []

    def _end(self, job: Object, type_: str, reason: str | None) -> None:
        job["status"]["conditions"] = [
            {
                "type": type_,
                "status": "True",
                "reason": reason,
                "message": f"the Job says {reason}",
                "lastTransitionTime": rfc3339(self.now),
            }
        ]

    def start_pod(self, pod: Object) -> None:
        state = {"running": {"startedAt": rfc3339(self.now)}}
        pod["status"] = {
            "phase": "Running",
            "startTime": rfc3339(self.now),
            "containerStatuses": [{"name": "trial", "state": state}],
        }
        pod["spec"]["nodeName"] = "n1"

    def report(self, pod: Object, last: bool = False) -> None:
        """The trial prints a line: its final value, or what it has come to after one more epoch."""
        env = variables(pod)
        space = self.study.spec.parameter
        given = json.loads(env["KUBESTUDY_PARAMETERS"])
        value = value_of({n: v for n, v in given.items() if n in space}, given.get("seed"))
        log = self.logs[pod["metadata"]["uid"]]
        if "KUBESTUDY_FOLDS" in env:
            self._report_folds(log, env, value, last)
            return
        record = {"seq": len(log), "step": len(log) + 1, "accuracy": value}
        if (resource := self.study.spec.algorithm.resource) is not None:
            done = self._epochs.get(env["KUBESTUDY_TRIAL"], 0) + 1
            epoch = resource.max if last else min(done, resource.max)
            self._epochs[env["KUBESTUDY_TRIAL"]] = epoch
            record |= {"epoch": epoch, "accuracy": value - (resource.max - epoch) / 8}
        log.append(json.dumps(record))

    def _report_folds(self, log: list[str], env: dict[str, str], value: float, last: bool) -> None:
        """Two epochs of each fold of the pod; the folds differ, and their mean is the value."""
        folds = [int(fold) for fold in env["KUBESTUDY_FOLD"].split(",")]
        middle = (int(env["KUBESTUDY_FOLDS"]) - 1) / 2
        while len(log) < 2 * len(folds):
            fold, epoch = folds[len(log) // 2], len(log) % 2 + 1
            record = {"seq": len(log), "step": epoch, "fold": fold, "final": epoch == 2}
            log.append(json.dumps(record | {"accuracy": value + fold - middle - (epoch == 1)}))
            if not last:
                return

    def end_pod(
        self,
        pod: Object,
        code: int,
        deleted: bool = False,
        disrupted: bool = False,
        lingers: bool = False,
    ) -> None:
        """The pod's container ends; with code 0 it has reported its value.

        Args:
            pod: Which.
            code: The exit code.
            deleted: Whether somebody deleted the pod.
            disrupted: Whether the cluster took it away.
            lingers: Whether a container beside it lives on.
        """
        containers = pod["status"].get("containerStatuses") or [{}]
        started = (containers[0].get("state") or {}).get("running", {}).get("startedAt")
        if code == 0:
            self.report(pod, last=True)
        pod["status"] |= {
            "phase": "Succeeded" if code == 0 else "Failed",
            "containerStatuses": [
                {
                    "name": "trial",
                    "state": {
                        "terminated": {
                            "exitCode": code,
                            "reason": "Completed" if code == 0 else "Error",
                            "startedAt": started or rfc3339(self.now),
                            "finishedAt": rfc3339(self.now),
                        }
                    },
                }
            ],
        }
        if lingers:
            pod["status"]["phase"] = "Running"
            beside = {"name": "side", "state": {"running": {"startedAt": rfc3339(self.now)}}}
            pod["status"]["containerStatuses"].append(beside)
        if deleted:
            pod["metadata"]["deletionTimestamp"] = rfc3339(self.now)
        if disrupted:
            pod["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]

    def read_log(self, pod: Object) -> None:
        """The controller reads all that a pod said; only an ended one is read to its end."""
        report = RunReport.empty(self.study.spec)
        reader = LineReader(self.study.spec)
        for line in self.logs[pod["metadata"]["uid"]]:
            reader.take(line, report)
        if pod_ended(pod):
            report.close(None)
            reader.explain(report)
        self._read[pod["metadata"]["uid"]] = report

    # What people do.

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """A user edits the spec."""
        document = self.study.to_json()
        change(document["spec"])
        document["metadata"]["generation"] = (self.study.metadata.generation or 0) + 1
        self.study = Study.model_validate(document)

    def delete_job(self, name: str) -> None:
        """In the background: the Job is gone before its pods are."""
        for pod in self.pods_of(self.jobs.pop(name)):
            pod["metadata"]["deletionTimestamp"] = rfc3339(self.now)

    def hold(self, name: str, suspend: bool) -> None:
        """Somebody writes spec.suspend of a Job by hand."""
        self.jobs[name]["spec"]["suspend"] = suspend

    def let_go(self) -> None:
        """Whoever held Jobs by hand lets them go."""
        for name, job in self.jobs.items():
            if is_suspended(job) and not is_ours(job):
                self.hold(name, suspend=False)

    def delete_trial(self, name: str) -> None:
        self.hands_off = False
        self._finished.pop(self.trials[name].metadata.uid, None)
        learns = self.study.spec.algorithm.type in ("TPE", "PBT")
        if learns or self.study.spec.confirm is not None:
            # What it suggests for the same index now may have more to learn from; and where the
            # search has ended without it, its index may be another's that confirms the best.
            self._suggested.pop(self.trials[name].spec.index, None)
        del self.trials[name]

    # What must never happen.

    def check(self) -> None:
        """Raises where a promise is broken."""
        indexes = [t.spec.index for t in self.trials.values()]
        if len(indexes) != len(set(indexes)):
            raise BrokenPromise(f"two trials have one index: {sorted(indexes)}")
        at_work = Counter(
            (j["metadata"]["ownerReferences"][0]["uid"], fold_of(j))
            for j in self.jobs.values()
            if self.is_active(j)
        )
        progress = self.study.status.progress if self.study.status else None
        finished, _, total = (progress or "0/-").partition("/")
        if total != "-" and int(finished) > int(total):
            raise BrokenPromise(f"{progress} trials have finished")
        if twice := [uid for uid, n in at_work.items() if n > 1]:
            raise BrokenPromise(f"{twice} runs twice at once")
        for trial in self.trials.values():
            if trial.spec.parameters != self._suggested[trial.spec.index]:
                raise BrokenPromise(f"the suggestion of {trial.metadata.name} has changed")
            if trial.finished:
                before = self._finished.setdefault(trial.metadata.uid, trial.status)
                if before != trial.status:
                    raise BrokenPromise(f"{trial.metadata.name} was finished and has changed")
        status = self.study.status
        if status and self.study.ended and at_work and not self._continued():
            raise BrokenPromise(f"the Study has ended and {dict(at_work)} go on")
        ends = [is_true(status.conditions, t) for t in ("Complete", "Failed")] if status else []
        if all(ends) and ends:
            raise BrokenPromise("the Study is both Complete and Failed")

    def check_words(self) -> None:
        """Raises where a Trial says what is not so, though nothing is left to do."""
        for trial in self.trials.values():
            told = condition(trial.status and trial.status.conditions, "Pending")
            if trial.finished or told is None or told.status != "True":
                continue
            if told.reason == "Suspended" and not self.study.spec.suspend:
                raise BrokenPromise(f"{trial.metadata.name} says that the Study is suspended")

    def _continued(self) -> bool:
        """Whether the spec was changed after the end was told, so that it may go on."""
        assert self.study.status is not None
        return self.study.status.observed_generation != self.study.metadata.generation

    # To the end.

    def drive(self, rounds: int = 400, code: int = 0, doomed: int = 0) -> None:
        """Lets everything that can happen happen, until nothing is left to do.

        Containers end with ``code``, but those of the first ``doomed`` trials with 1.
        """
        self.catch_up()
        idle = 0
        for _ in range(rounds):
            plan = self.reconcile()
            before = self._everything()
            self.tick()
            running = [p for p in self.pods.values() if p["status"]["phase"] == "Running"]
            ending = [p["metadata"]["name"] for p in running[: len(running) // 2 + 1]]
            for name, pod in list(self.pods.items()):
                if pod["status"]["phase"] == "Pending":
                    self.start_pod(pod)
                elif name not in ending and pod["status"]["phase"] == "Running":
                    self.report(pod)
                elif name in ending:
                    env = pod["spec"]["containers"][0]["env"]
                    trial = next(e["value"] for e in env if e["name"] == "KUBESTUDY_TRIAL")
                    fails = int(trial.rsplit("-", 1)[1]) < doomed
                    self.end_pod(pod, 1 if fails else code)
                self.read_log(pod)
            self.seconds += 3
            quiet = not plan.actions and plan.status is None and before == self._everything()
            idle = idle + 1 if quiet else 0
            if idle > 3:
                if plan.look_again is None:
                    return
                self.seconds += plan.look_again
                idle = 0
        raise BrokenPromise(f"no rest after {rounds} rounds; the last plan was {plan}")

    def _everything(self) -> Any:
        return self.study, dict(self.trials), clone(self.jobs), clone(self.pods)

    def _uid(self, kind: str) -> str:
        self._serial += 1
        return f"{kind}{self._serial}"


def variables(pod: Object) -> dict[str, str]:
    """The environment of a pod's container."""
    return {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}


def fold_of(job: Object) -> int:
    key = jobs_of.run_key(job)
    assert key is not None
    return key.fold


def is_disrupted(pod: Object) -> bool:
    return any(c["type"] == "DisruptionTarget" for c in pod["status"].get("conditions") or ())
