"""Carries out plans: an action is a request, and what the server answers goes into the cache."""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from typing import Any

from kubestudy.api.base import API_VERSION, GROUP
from kubestudy.api.meta import rfc3339
from kubestudy.api.study import Study
from kubestudy.api.study_status import StudyStatus
from kubestudy.api.trial import Trial
from kubestudy.core.plan import (
    Action,
    CreateTrial,
    Event,
    Plan,
    StartRun,
    StopRun,
    SuspendRun,
    WriteTrialStatus,
)
from kubestudy.core.status import blocked
from kubestudy.runtime import metrics
from kubestudy.runtime.cache import Cache, Key
from kubestudy.runtime.client import (
    APPLY,
    EVENTS,
    JOBS,
    STUDIES,
    TRIALS,
    ApiError,
    KubeClient,
    Object,
    Resource,
)
from kubestudy.runtime.studies import InvalidStudy
from kubestudy.workloads.job import build, suspension
from kubestudy.workloads.pod_template import JobSettings

log = logging.getLogger(__name__)

REFUSAL_MANAGER = "kubestudy-refusal"
REFUSE_AGAIN = 0.5
STUDY_EVERY = 1.0
LIVE_EVERY = 15.0


class Conflict(Exception):
    """An object of the wanted name belongs to somebody else."""


class Applier:
    """Carries out the plans of one Study at a time.

    Args:
        client: The API server.
        studies: The Studies that were seen.
        trials: Their Trials.
        jobs: The Jobs of their runs.
        settings: How Jobs are made.
        identity: Who reports events.
    """

    def __init__(
        self,
        client: KubeClient,
        studies: Cache[Any],
        trials: Cache[Trial],
        jobs: Cache[Object],
        settings: JobSettings,
        identity: str,
    ):
        self._client, self._settings, self._identity = client, settings, identity
        self._studies, self._trials, self._jobs = studies, trials, jobs
        self._written: dict[str, float] = {}
        self._refused: dict[str, tuple[str, int, str]] = {}
        self._refusing = threading.Lock()

    def apply(self, study: Study, plan: Plan) -> float | None:
        """Carries out a plan, up to the first failure.

        Returns:
            Seconds after which to decide again; None where only news should lead to that.

        Raises:
            ApiError: A request failed; what was done until then stays done.
            Conflict: A name is taken by somebody else's object.
        """
        waits = [plan.look_again] if plan.look_again is not None else []
        for action in plan.actions:
            try:
                wait = self._carry_out(study, action)
            except Conflict as conflict:
                self.tell_of(study, plan.status, "NameConflict", str(conflict))
                raise
            except ApiError as error:
                if isinstance(action, CreateTrial | StartRun) and (why := _refusal(error)):
                    self.tell_of(study, plan.status, why, str(error))
                raise
            if wait is not None:
                waits.append(wait)
        held_back = False
        if plan.status is not None:
            wait = None if _is_news(study, plan.status) else self._too_soon(study.key, STUDY_EVERY)
            if wait is None:
                self._write_study_status(study, plan.status)
            else:
                waits.append(wait)
                held_back = True
        for event in plan.events:
            if event.trial is not None or not held_back:
                self._tell(study, event)
        return min(waits, default=None)

    def tell_of(self, study: Study, planned: StudyStatus | None, reason: str, message: str) -> None:
        """The Study itself says that it cannot go on, until its next status takes that back."""
        status = blocked(study, planned, reason, message, self._client.clock.now())
        if status != study.status:
            self._write_study_status(study, status)
            self._tell(study, Event(reason, message, warning=True))

    def refuse(self, study: InvalidStudy) -> float | None:
        """Says of a Study that it cannot be run, without knowing more of it than its name.

        Its other conditions, and the rest of its status, stay: they are applied by another manager.

        Returns:
            Seconds after which to try again; None where that is not needed.
        """
        found, key = study.identity, "/".join(study.identity.key)
        told = (found.uid, found.generation, study.message)
        if study.said or found.deleting or self._refused.get(key) == told:
            return None
        generation = {"observedGeneration": found.generation} if found.generation else {}
        conditions = [
            {
                "type": type_,
                "status": "False",
                "reason": study.reason,
                "message": study.message,
                "lastTransitionTime": rfc3339(self._client.clock.now()),
                **generation,
            }
            for type_ in ("Accepted", "Progressing")
        ]
        body = {
            "apiVersion": API_VERSION,
            "kind": "Study",
            "metadata": {
                "name": found.name,
                "namespace": found.namespace,
                **({"uid": found.uid} if found.uid else {}),
            },
            "status": {"conditions": conditions, **generation},
        }
        # One by one: the API server takes seconds for a large object, and others wait for workers.
        if not self._refusing.acquire(blocking=False):
            return REFUSE_AGAIN
        try:
            self._client.apply_unread(STUDIES, found.key, body, "status", REFUSAL_MANAGER)
        finally:
            self._refusing.release()
        log.error("study %s is refused: %s", key, study.message)
        self._refused[key] = told
        return None

    def forget(self, key: str) -> None:
        """Lets go of what is remembered of a Study that is gone."""
        self._refused.pop(key, None)
        for known in [k for k in self._written if k == key or k.startswith(f"{key}/")]:
            self._written.pop(known, None)

    def _carry_out(self, study: Study, action: Action) -> float | None:
        namespace = study.metadata.namespace or ""
        match action:
            case CreateTrial(trial):
                self._create(TRIALS, trial.to_json(), study.metadata.uid or "", self._trials)
            case StartRun(run):
                stored = self._trials.get((namespace, run.trial))
                if stored is not None:
                    token = secrets.token_urlsafe()
                    body = build(study, stored, run, self._settings, token)
                    self._create(JOBS, body, stored.metadata.uid or "", self._jobs)
            case StopRun(_, job_name):
                # In the foreground: the Job is seen until its pods are gone.
                self._client.delete(JOBS, namespace, job_name, propagation="Foreground")
            case SuspendRun(_, job_name, suspend):
                job = self._jobs.get((namespace, job_name))
                if job is not None:
                    body = suspension(job, suspend)
                    self._jobs.put(self._client.patch(JOBS, namespace, job_name, body))
            case WriteTrialStatus(name, status, urgent):
                key = f"{study.key}/{name}"
                if not urgent and (wait := self._too_soon(key, LIVE_EVERY)) is not None:
                    return wait
                known = self._trials.get((namespace, name))
                # As it was seen: nobody else writes Trials, but a leader that was.
                identity = {
                    "uid": known.metadata.uid if known else None,
                    "resourceVersion": known.metadata.resource_version if known else None,
                }
                written = self._write_status(TRIALS, "Trial", (namespace, name), identity, status)
                self._trials.put(written)
                if status.finished and not (known and known.finished):
                    metrics.trial_finished(status)
                self._written[key] = time.monotonic()
        return None

    def _create(self, resource: Resource, body: Object, owner: str, cache: Cache[Any]) -> None:
        """Creates an object; one that is there already is as good, if it has the same owner."""
        try:
            cache.put(self._client.create(resource, body))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            metadata = body["metadata"]
            found = self._client.get(resource, metadata["namespace"], metadata["name"])
            owners = found["metadata"].get("ownerReferences") or []
            if not any(o.get("controller") and o["uid"] == owner for o in owners):
                raise Conflict(
                    f"{resource.plural}.{resource.group} {metadata['name']!r} already exists and"
                    " does not belong to this Study; delete it, or name the Study differently"
                ) from error
            cache.put(found)
            if cache.get((metadata["namespace"], metadata["name"])) is None:
                raise Conflict(
                    f"{resource.plural}.{resource.group} {metadata['name']!r} cannot be read;"
                    " delete it, and it is made again"
                ) from error

    def _write_study_status(self, study: Study, status: StudyStatus) -> None:
        key = (study.metadata.namespace or "", study.metadata.name)
        # With its UID, so that the status of one object never lands on its successor.
        identity = {"uid": study.metadata.uid}
        written = self._write_status(STUDIES, "Study", key, identity, status)
        self._studies.put(written)
        self._written[study.key] = time.monotonic()

    def _write_status(
        self, resource: Resource, kind: str, key: Key, identity: Object, status: Any
    ) -> Object:
        body = {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": key[1], "namespace": key[0], **identity},
            "status": status.to_json(),
        }
        return self._client.patch(resource, *key, body, sub="status", content_type=APPLY)

    def _too_soon(self, key: str, every: float) -> float | None:
        left = self._written.get(key, -every) + every - time.monotonic()
        return left if left > 0 else None

    def _tell(self, study: Study, event: Event) -> None:
        """Tells an event; its name is made from what it says, so that it is told once."""
        namespace = study.metadata.namespace or ""
        regarding: Object = {
            "apiVersion": API_VERSION,
            "kind": "Study",
            "name": study.metadata.name,
            "namespace": namespace,
            "uid": study.metadata.uid,
        }
        if event.trial is not None and (trial := self._trials.get((namespace, event.trial))):
            regarding |= {"kind": "Trial", "name": event.trial, "uid": trial.metadata.uid}
        digest = hashlib.sha256(
            f"{regarding['uid']}/{event.reason}/{event.message}".encode()
        ).hexdigest()[:16]
        body = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{regarding['name'][:200]}.{digest}", "namespace": namespace},
            "eventTime": self._client.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "reportingController": f"{GROUP}/controller",
            "reportingInstance": self._identity[:128],
            "action": "Reconcile",
            "reason": event.reason,
            "type": "Warning" if event.warning else "Normal",
            "regarding": regarding,
            "note": event.message[:1024],
        }
        try:
            self._client.create(EVENTS, body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                log.warning("event %s of %s was not told: %s", event.reason, study.key, error)


def _refusal(error: ApiError) -> str | None:
    """Why an object will not be taken as it is, however often it is tried; None where it may be."""
    if error.status == 403 and "exceeded quota" in error.message:
        return "QuotaExceeded"
    if error.status == 403 and "being terminated" in error.message:
        return "NamespaceTerminating"
    return {400: "Invalid", 403: "Forbidden", 422: "Invalid"}.get(error.status)


def _is_news(study: Study, status: StudyStatus) -> bool:
    """Whether more than counts has changed: a condition's status or reason, or the spec seen."""

    def essence(s: StudyStatus | None) -> Any:
        if s is None:
            return None
        conditions = [(c.type, c.status, c.reason) for c in s.conditions or ()]
        return s.observed_generation, conditions

    return bool(essence(study.status) != essence(status))
