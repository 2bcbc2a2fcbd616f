"""A run as a ``batch/v1`` Job with one pod."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from kubestudy.api.base import (
    ANNOTATION_CONTAINER,
    ANNOTATION_PUSHED,
    API_VERSION,
    GROUP,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
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
from kubestudy.workloads.pod import Manifest, moment, pod_facts
from kubestudy.workloads.pod_template import JobSettings, pod_template, trains
from kubestudy.workloads.pushing import token_of


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
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    named = {ANNOTATION_CONTAINER: trains(template)["name"]}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations, **named}
    job: Manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(run),
            "namespace": study.metadata.namespace,
            "labels": labels,
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
    suspended = bool(job["spec"].get("suspend"))
    since = _suspended_since(job)
    pod = max(
        (p for p in pods if since is None or p["metadata"]["creationTimestamp"] >= since),
        key=_age,
        default=None,
    )
    facts: dict[str, Any] = {"created": created, "deleting": deleting, "suspended": suspended}
    if pod is not None and not suspended:
        facts |= pod_facts(pod, now)
    verdict = _job_verdict(job)
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


def _suspended_since(job: Manifest) -> str | None:
    """When the Job was last suspended or resumed; a pod made before that was deleted for it."""
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
