"""A run as a ``batch/v1`` Job with one pod."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kubestudy import __version__
from kubestudy.algorithms.rungs import levels
from kubestudy.api.algorithm import Resource
from kubestudy.api.base import (
    ANNOTATION_PUSHED,
    API_VERSION,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_RUN,
    LABEL_STUDY,
    LABEL_TRIAL,
    MANAGER,
)
from kubestudy.api.durations import parse_duration
from kubestudy.api.metrics_source import SourceType
from kubestudy.api.parameters import Parameter, Value
from kubestudy.api.repeats import CrossValidation
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.api.trial_template import TrialTemplate
from kubestudy.core import placeholders
from kubestudy.core.facts import RunFacts, RunKey, RunState
from kubestudy.core.names import job_name, label_value
from kubestudy.core.pushed import Pushed
from kubestudy.core.runs import folds_left
from kubestudy.workloads.pod import Manifest, deletion_asked, moment, pod_facts
from kubestudy.workloads.pushing import PushSettings, let_push, token_of
from kubestudy.workloads.scraping import METRICS_PORT, expose, scraping_env

DEFAULT_TRIAL_IMAGE = f"kubestudy-trial:{__version__}"
CHECKPOINTS = "/kubestudy/checkpoints"
OUTPUTS = "/kubestudy/outputs"

_CONTAINERS = ("containers", "initContainers")

UNBUFFERED = {"name": "PYTHONUNBUFFERED", "value": "1"}
"""A Python program that buffers its output would report only at its end."""

NOBODY = 65532
"""The user that short-form trials run as: not root, as Pod Security "restricted" asks."""


@dataclass(frozen=True)
class JobSettings:
    """What the administrator decides about Jobs.

    Attributes:
        trial_image: The image of a trial that names none.
        metrics_port: Where a trial's Prometheus endpoint listens; 0 for no endpoint.
        linger_seconds: How long it stays up after the trial's end, where the Study does not say.
        push: Where trials push their metrics; None for nowhere.
    """

    trial_image: str = DEFAULT_TRIAL_IMAGE
    metrics_port: int = METRICS_PORT
    linger_seconds: int = 0
    push: PushSettings | None = None


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
    spec = study.spec.trial
    labels = {
        LABEL_STUDY: label_value(study.metadata.name),
        LABEL_TRIAL: label_value(trial.metadata.name),
        LABEL_RUN: job_name(run),
        LABEL_MANAGED_BY: MANAGER,
        LABEL_COMPONENT: "trial",
    }
    template = _pod_template(study, trial, run, settings, token)
    metadata = template["metadata"] = template.get("metadata") or {}
    annotations = {
        LABEL_STUDY: study.metadata.name,
        LABEL_TRIAL: trial.metadata.name,
        LABEL_RUN: f"{run.rung}/{run.fold}/{run.attempt}",
    }
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
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
    if spec.timeout:
        seconds = int(parse_duration(spec.timeout).total_seconds())
        job["spec"]["activeDeadlineSeconds"] = seconds
    return job


def environment(study: Study, trial: Trial, run: RunKey) -> dict[str, str]:
    """What a trial's container is told, as in ``docs/trial-contract.md``."""
    space = study.spec.passed
    given = study.spec.passed_values(trial.spec.parameters, trial.spec.seed)
    values = {name: p.typed(given[name]) for name, p in space.items() if name in given}
    env = {
        "KUBESTUDY_PARAMETERS": json.dumps(values, ensure_ascii=False),
        "KUBESTUDY_STUDY": study.metadata.name,
        "KUBESTUDY_TRIAL": trial.metadata.name,
        "KUBESTUDY_OBJECTIVES": ",".join(study.spec.owed),
        "KUBESTUDY_ATTEMPT": str(run.attempt),
    }
    if trial.spec.seed is not None:
        env["KUBESTUDY_SEED"] = str(trial.spec.seed)
    if study.spec.algorithm.resource:
        env |= _resource(study.spec.algorithm.resource, trial.spec.until)
    if study.spec.cross_validation:
        env |= _fold(study.spec.cross_validation, _folds_of(study, trial, run))
    if study.spec.trial.checkpoints:
        env["KUBESTUDY_CHECKPOINT_DIR"] = _checkpoints(study, trial.metadata.name, run.fold)
        if trial.spec.inherits is not None:
            env["KUBESTUDY_INHERIT_FROM"] = _checkpoints(study, trial.spec.inherits, run.fold)
    if study.spec.trial.outputs:
        env["KUBESTUDY_OUTPUT_DIR"] = f"{OUTPUTS}/{study.metadata.uid}/{trial.metadata.name}"
    return env


def _checkpoints(study: Study, trial: str, fold: int) -> str:
    of_fold = "" if study.spec.one_pod else f"/fold-{fold}"
    return f"{CHECKPOINTS}/{study.metadata.uid}/{trial}{of_fold}"


def _resource(resource: Resource, until: int | None) -> dict[str, str]:
    told = {"KUBESTUDY_RESOURCE": resource.name, "KUBESTUDY_RESOURCE_MAX": str(resource.max)}
    if until is not None:
        return {**told, "KUBESTUDY_RESOURCE_UNTIL": str(until)}
    return {**told, "KUBESTUDY_RUNGS": ",".join(map(str, levels(resource)))}


def _folds_of(study: Study, trial: Trial, run: RunKey) -> list[int]:
    """The folds that a run trains."""
    if not study.spec.one_pod:
        return [run.fold]
    return folds_left((trial.status.runs if trial.status else None) or (), study.spec)


def _fold(cross_validation: CrossValidation, folds: Sequence[int]) -> dict[str, str]:
    return {
        "KUBESTUDY_FOLD": ",".join(map(str, folds)),
        "KUBESTUDY_FOLDS": str(cross_validation.folds),
        "KUBESTUDY_FOLD_SEED": str(cross_validation.seed),
        "KUBESTUDY_FOLD_STRATIFIED": str(cross_validation.stratified).lower(),
    }


def _pod_template(
    study: Study, trial: Trial, run: RunKey, settings: JobSettings, token: str
) -> Manifest:
    spec, space = study.spec.trial, study.spec.passed
    values = study.spec.passed_values(trial.spec.parameters, trial.spec.seed)
    if spec.template is None:
        template = _short_form(spec, space, values, settings)
    else:
        template = _filled(copy.deepcopy(spec.template), space, values)
    pod = template["spec"]
    pod["restartPolicy"] = "Never"
    pod.setdefault("automountServiceAccountToken", False)
    main = pod["containers"][0]
    scraping = scraping_env(study.spec, settings.metrics_port, settings.linger_seconds)
    if scraping:
        expose(template, main, settings.metrics_port)
    ours: list[Manifest] = [
        {"name": name, "value": placeholders.escape(value)}
        for name, value in {**environment(study, trial, run), **scraping}.items()
    ]
    if settings.push is not None and SourceType.PUSH in study.spec.sources:
        place = (study.metadata.namespace or "", job_name(run))
        ours += let_push(template, main, settings.push, *place, token)
    named = {e["name"] for e in ours}
    theirs = [e for e in main.get("env") or [] if e.get("name") not in named]
    if not any(e.get("name") == UNBUFFERED["name"] for e in theirs):
        ours.append(UNBUFFERED)
    # Ours come first, so that the user's own variables may refer to them.
    main["env"] = ours + theirs
    for folder, path in ((spec.checkpoints, CHECKPOINTS), (spec.outputs, OUTPUTS)):
        if folder is not None:
            name = path.rsplit("/", 1)[-1]
            claim = {"claimName": folder.claim_name}
            volume = {"name": name, "persistentVolumeClaim": claim}
            pod["volumes"] = [*(pod.get("volumes") or []), volume]
            mount = {"name": name, "mountPath": path}
            main["volumeMounts"] = [*(main.get("volumeMounts") or []), mount]
    return template


def _short_form(
    spec: TrialTemplate,
    space: Mapping[str, Parameter],
    values: Mapping[str, Value],
    settings: JobSettings,
) -> Manifest:
    container: Manifest = {
        "name": "trial",
        "image": spec.image or settings.trial_image,
        # A program that leaves no last word is quoted by the last lines of its log.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if spec.image_pull_policy:
        container["imagePullPolicy"] = spec.image_pull_policy
    if spec.command:
        container["command"] = list(spec.command)
    args = list(spec.args or [])
    env = [e.to_json() for e in spec.env or []]
    if args:
        container["args"] = args
    if env:
        container["env"] = env
    resources = copy.deepcopy(spec.resources or {})
    if spec.gpus:
        for kind in ("requests", "limits"):
            resources.setdefault(kind, {})[spec.gpu_resource] = spec.gpus
    if resources:
        container["resources"] = resources
    pod: Manifest = {
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    if spec.gpus:
        # PyTorch's data loaders share memory, and a container has only 64 MiB of it by default.
        pod["volumes"] = [{"name": "shm", "emptyDir": {"medium": "Memory"}}]
        container["volumeMounts"] = [{"name": "shm", "mountPath": "/dev/shm"}]
    template = _filled({"spec": pod}, space, values)
    if not placeholders.parameter_names([spec.command or [], args, env]):
        # After the placeholders are filled: a value that looks like one is none.
        main = template["spec"]["containers"][0]
        main["args"] = main.get("args", []) + [
            placeholders.escape(f"--{name}={parameter.text(values[name])}")
            for name, parameter in space.items()
            if name in values
        ]
    return template


def _filled(
    template: Manifest, space: Mapping[str, Parameter], values: Mapping[str, Value]
) -> Manifest:
    """Puts the values in: as text for what a container is started with, typed elsewhere."""
    started_with = ("command", "args", "env")
    result: Manifest = placeholders.fill(
        {**template, "spec": {k: v for k, v in template["spec"].items() if k not in _CONTAINERS}},
        values,
        space,
    )
    for kind in _CONTAINERS:
        if template["spec"].get(kind):
            result["spec"][kind] = [
                {
                    field: placeholders.fill(
                        placeholders.without_inactive(value, values, space),
                        values,
                        space,
                        for_container=True,
                    )
                    if field in started_with and isinstance(value, list)
                    else placeholders.fill(value, values, space)
                    for field, value in container.items()
                }
                for container in template["spec"][kind]
            ]
    return result


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
    verdict = _out_of_time(job, pod) or _job_verdict(job)
    ended = facts.get("state") in (RunState.SUCCEEDED, RunState.FAILED)
    # A Job that is past its deadline deletes its pod itself.
    deleted = facts.get("reason") in ("Deleted", "NodeLost")
    late = deleted and (verdict or {}).get("reason") == "DeadlineExceeded"
    if verdict is not None and not ended:
        facts |= verdict | {"lingering": pod is not None}
    elif verdict is not None and late:
        facts |= verdict
    return RunFacts(key=key, job=metadata["name"], **facts)


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
    return RunFacts(key=key, job=name, created=made, deleting=True, **facts)


def _age(pod: Manifest) -> tuple[str, str]:
    return pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]


def _suspended_since(job: Manifest) -> str | None:
    """When the Job was last suspended or resumed; a pod made before that was deleted for it."""
    for c in (job.get("status") or {}).get("conditions") or ():
        if c["type"] == "Suspended":
            since: str | None = c.get("lastTransitionTime")
            return since
    return None


def _out_of_time(job: Manifest, pod: Manifest | None) -> dict[str, Any] | None:
    """A pod that was deleted past its Job's deadline was so for that; the Job says it later."""
    seconds = job["spec"].get("activeDeadlineSeconds")
    began = moment((job.get("status") or {}).get("startTime"))
    deleted = deletion_asked(pod) if pod is not None else None
    if seconds is None or began is None or deleted is None:
        return None
    if deleted < began + timedelta(seconds=seconds):
        return None
    message = f"it was not done after {seconds} s"
    return {"state": RunState.FAILED, "reason": "DeadlineExceeded", "message": message}


def _job_verdict(job: Manifest) -> dict[str, Any] | None:
    """What the Job itself says of its end, such as its deadline."""
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
