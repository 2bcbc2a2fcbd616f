"""A run as a ``batch/v1`` Job with one pod."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from kubestudy.api.base import (
    ANNOTATION_CONTAINER,
    ANNOTATION_LOG,
    ANNOTATION_PUSHED,
    ANNOTATION_SUSPENDED,
    API_VERSION,
    GROUP,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_QUEUE,
    LABEL_QUEUE_PRIORITY,
    LABEL_RUN,
    LABEL_STUDY,
    LABEL_TRIAL,
    MANAGER,
)
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.core.facts import RunFacts, RunKey, RunState
from kubestudy.core.names import job_name, label_value
from kubestudy.core.pushed import Pushed
from kubestudy.workloads.pod import Manifest, moment, pod_ended, pod_facts
from kubestudy.workloads.pod_template import JobSettings, pod_template, trains
from kubestudy.workloads.projection import CONDITION, METADATA, SCALAR, Fields, project
from kubestudy.workloads.pushing import token_of

KEPT_OF_JOB: Fields = {
    "metadata": {
        **METADATA,
        "labels": {LABEL_QUEUE: SCALAR},
        "annotations": {
            LABEL_STUDY: SCALAR,
            LABEL_TRIAL: SCALAR,
            LABEL_RUN: SCALAR,
            ANNOTATION_PUSHED: SCALAR,
            ANNOTATION_LOG: SCALAR,
            ANNOTATION_SUSPENDED: SCALAR,
        },
    },
    "spec": {"suspend": SCALAR},
    "status": {"conditions": [CONDITION]},
}
"""All that is looked at of a Job that is there; `observe` and its like read nothing else."""

JOB_LABELS = (LABEL_QUEUE, LABEL_QUEUE_PRIORITY)
"""Labels of a Study, or of its pod template, that its Jobs have as well."""

_SUSPEND: Manifest = {"f:spec": {"f:suspend": {}}}


def build(
    study: Study, trial: Trial, run: RunKey, settings: JobSettings, token: str = ""
) -> Manifest:
    """Makes the Job that executes a run.

    Args:
        study: Its Study.
        trial: Its Trial, as it is stored.
        run: Which run of it.
        settings: The administrator's.
        token: A new one, by which its posts are known where its Study has them.
    """
    labels = {
        LABEL_STUDY: label_value(study.metadata.name),
        LABEL_TRIAL: label_value(trial.metadata.name),
        LABEL_RUN: job_name(run),
        LABEL_MANAGED_BY: MANAGER,
        LABEL_COMPONENT: "trial",
    }
    template = pod_template(study, trial, run, settings, token)
    metadata = template["metadata"] = template.get("metadata") or {}
    annotations = {
        LABEL_STUDY: study.metadata.name,
        LABEL_TRIAL: trial.metadata.name,
        LABEL_RUN: f"{run.rung}/{run.fold}/{run.attempt}",
    }
    asked = {**(study.metadata.labels or {}), **(metadata.get("labels") or {})}
    queue = {k: asked[k] for k in JOB_LABELS if k in asked}
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    named = {ANNOTATION_CONTAINER: trains(template)["name"]}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations, **named}
    job: Manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(run),
            "namespace": study.metadata.namespace,
            "labels": {**queue, **labels},
            "annotations": annotations,
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "Trial",
                    "name": trial.metadata.name,
                    "uid": trial.metadata.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            "backoffLimit": 0,
            # So that a Job whose pod is gone still tells that the cluster took it away.
            "podFailurePolicy": {
                "rules": [
                    {"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget"}]},
                ]
            },
            "podReplacementPolicy": "Failed",
            "template": template,
        },
    }
    if token_of(job):
        job["metadata"]["annotations"] |= {ANNOTATION_PUSHED: Pushed.nothing(study.spec).text()}
    return job


def controller_of(obj: Manifest) -> Manifest | None:
    """The owner reference of what controls an object: a run's Trial, or a pod's Job."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((o for o in owners if o.get("controller")), None)


def is_of_trial(job: Manifest) -> bool:
    """Whether a Trial controls a Job, whatever its labels and annotations say.

    Only the controller makes such Jobs: an admission policy sees to it.
    """
    owner = controller_of(job) or {}
    return owner.get("kind") == "Trial" and str(owner.get("apiVersion")).startswith(f"{GROUP}/")


def suspension(job: Manifest, suspend: bool) -> Manifest:
    """Makes the merge patch by which a Job is held back for its Study's suspension, or let go on.

    It marks the hold as ours, and is refused where the Job is not as it was seen.
    """
    return {
        "metadata": {
            "resourceVersion": job["metadata"].get("resourceVersion"),
            "annotations": {ANNOTATION_SUSPENDED: "true" if suspend else None},
        },
        "spec": {"suspend": suspend},
    }


def run_key(job: Manifest) -> RunKey | None:
    """Which run a Job executes; None for a Job that is not one of ours."""
    annotations = job["metadata"].get("annotations") or {}
    trial, run = annotations.get(LABEL_TRIAL), annotations.get(LABEL_RUN)
    if trial is None or run is None:
        return None
    try:
        rung, fold, attempt = map(int, run.split("/"))
    except ValueError:
        return None
    return RunKey(trial, rung, fold, attempt)


def kept_of(job: Manifest) -> Manifest:
    """What is kept of a Job; of what its log has said, that there is something.

    Raises:
        ValueError: It is no Job as Kubernetes has them.
    """
    kept = project(job, KEPT_OF_JOB)
    annotations = (kept.get("metadata") or {}).get("annotations") or {}
    if ANNOTATION_LOG in annotations:
        annotations[ANNOTATION_LOG] = ""
    if holders := _holders(job):
        kept["metadata"]["managedFields"] = holders
    return kept


def pushed_text(job: Manifest) -> str:
    """What a run has pushed, as it is kept on its Job; empty where there is nothing."""
    text: str = (job["metadata"].get("annotations") or {}).get(ANNOTATION_PUSHED) or ""
    return text


def without_pushed(job: Manifest) -> Manifest:
    """A Job of which it is not kept what its run has pushed."""
    metadata = job["metadata"]
    annotations = metadata.get("annotations") or {}
    rest = {name: text for name, text in annotations.items() if name != ANNOTATION_PUSHED}
    return {**job, "metadata": {**metadata, "annotations": rest}}


def observe(job: Manifest, pods: Iterable[Manifest], now: datetime) -> RunFacts | None:
    """Says what is seen of a run.

    Args:
        job: Its Job.
        pods: The Job's pods.
        now: The time.

    Returns:
        The facts; None for a Job that is not one of ours.
    """
    key = run_key(job)
    if key is None:
        return None
    metadata = job["metadata"]
    created = moment(metadata.get("creationTimestamp"))
    deleting = metadata.get("deletionTimestamp") is not None
    since = _suspended_since(job)
    pod = max((p for p in pods if not _of_before(p, since)), key=_age, default=None)
    facts: dict[str, Any] = {"created": created, "deleting": deleting, **_hold(job)}
    verdict = _job_verdict(job)
    if verdict is not None:
        facts |= {"suspended": False, "held_by": None, "reason": None, "message": ""}
    if pod is not None and (verdict is not None or not job["spec"].get("suspend")):
        facts |= pod_facts(pod, now)
    elif any(not pod_ended(p) for p in pods):
        facts["lingering"] = True
    ended = facts.get("state") in (RunState.SUCCEEDED, RunState.FAILED)
    if verdict is not None and not ended:
        facts |= verdict | {"lingering": pod is not None}
    return RunFacts(key=key, job=metadata["name"], job_uid=metadata.get("uid"), **facts)


def observe_without_job(pods: Sequence[Manifest], now: datetime) -> RunFacts | None:
    """Says what is seen of a run whose Job was deleted by hand, while pods of it are still there.

    Until such a pod has ended it is at work, and may write to its checkpoints.

    Args:
        pods: The pods of the Job that is gone.
        now: The time.

    Returns:
        The facts; None for pods that are not ours.
    """
    pod = max(pods, key=_age)
    key = run_key(pod)
    if key is None:
        return None
    name, made = job_name(key), moment(pod["metadata"]["creationTimestamp"])
    facts = pod_facts(pod, now)
    if facts.get("reason") == "Deleted":
        facts["message"] = f"Job {name} was deleted"
    owner = controller_of(pod) or {}
    return RunFacts(
        key=key, job=name, job_uid=owner.get("uid"), created=made, deleting=True, **facts
    )


def _age(pod: Manifest) -> tuple[str, str]:
    return pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]


def _holders(job: Manifest) -> list[Manifest]:
    """Of a Job's managedFields, which are long, those of who holds it back or has let it go."""
    return [
        {"manager": owner.get("manager"), "time": owner.get("time"), "fieldsV1": _SUSPEND}
        for owner in job["metadata"].get("managedFields") or ()
        if "f:suspend" in ((owner.get("fieldsV1") or {}).get("f:spec") or {})
    ]


def _hold(job: Manifest) -> dict[str, Any]:
    """Who holds a Job back, as fields of ``RunFacts``.

    Ours is only what bears our mark. A queue outranks it, as it lets Jobs go by its own measure.
    """
    metadata = job["metadata"]
    marked = ANNOTATION_SUSPENDED in (metadata.get("annotations") or {})
    queue = (metadata.get("labels") or {}).get(LABEL_QUEUE)
    if not job["spec"].get("suspend"):
        return {"theirs": marked or queue is not None or _suspended_by_others(job)}
    if queue is not None:
        reason, who = "Queued", f"Kueue, in queue {queue}"
    elif marked:
        return {"suspended": True}
    else:
        reason, who = "HeldBack", f"{_suspender(job)} set spec.suspend of its Job"
    return {"theirs": True, "held_by": who, "reason": reason, "message": f"held back by {who}"}


def _suspended_by_others(job: Manifest) -> bool:
    """Whether anybody else has ever said whether the Job may go; what they let go is theirs."""
    owners = job["metadata"].get("managedFields") or ()
    return any(owner.get("manager") not in (None, MANAGER) for owner in owners)


def _suspender(job: Manifest) -> str:
    """Who set spec.suspend, as far as that is known; what a webhook sets is its creator's."""
    owners = job["metadata"].get("managedFields") or ()
    last: Manifest = max(owners, key=lambda owner: owner.get("time") or "", default={})
    manager = last.get("manager")
    return f"{manager}, which" if manager not in (None, MANAGER) else "somebody else, who"


def _of_before(pod: Manifest, since: str | None) -> bool:
    """Whether a pod was deleted as its Job was suspended.

    That it was made before then is not enough: where a Job is resumed, its controller makes the new
    pod a moment before it says so, which may be in an earlier second.
    """
    metadata = pod["metadata"]
    if since is None or not metadata.get("deletionTimestamp"):
        return False
    return bool(metadata["creationTimestamp"] < since)


def _suspended_since(job: Manifest) -> str | None:
    """When the Job was last suspended or resumed."""
    for c in (job.get("status") or {}).get("conditions") or ():
        if c["type"] == "Suspended":
            since: str | None = c.get("lastTransitionTime")
            return since
    return None


def _job_verdict(job: Manifest) -> dict[str, Any] | None:
    """What the Job itself says of its end, for where its pod says nothing."""
    for c in (job.get("status") or {}).get("conditions") or ():
        if c["status"] != "True":
            continue
        if c["type"] in ("Failed", "FailureTarget"):
            return {
                "state": RunState.FAILED,
                "reason": c.get("reason"),
                "message": c.get("message", ""),
                "ended": moment(c.get("lastTransitionTime")),
            }
        if c["type"] == "Complete":
            return {"state": RunState.SUCCEEDED, "ended": moment(c.get("lastTransitionTime"))}
    return None
