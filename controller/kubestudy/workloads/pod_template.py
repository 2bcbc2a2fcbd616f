"""The pod that executes a run: the short form's or the user's own, with the values put in."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from kubestudy import __version__
from kubestudy.api.durations import parse_duration
from kubestudy.api.metrics_source import SourceType
from kubestudy.api.parameters import Parameter, Value
from kubestudy.api.pod_template import CONTAINER_LISTS
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.api.trial_template import TrialTemplate
from kubestudy.core import placeholders
from kubestudy.core.facts import RunKey
from kubestudy.core.names import job_name
from kubestudy.core.passing import follow_as_arguments
from kubestudy.workloads.pod import TRIAL, Manifest
from kubestudy.workloads.pushing import PushSettings, let_push
from kubestudy.workloads.scraping import METRICS_PORT, expose, scraping_env
from kubestudy.workloads.told import CHECKPOINTS, OUTPUTS, environment

DEFAULT_TRIAL_IMAGE = f"kubestudy-trial:{__version__}"


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


def pod_template(
    study: Study, trial: Trial, run: RunKey, settings: JobSettings, token: str
) -> Manifest:
    """Makes the pod template of a run.

    Args:
        study: Its Study.
        trial: Its Trial, as it is stored.
        run: Which run of it.
        settings: The administrator's.
        token: What it shows when it pushes.
    """
    spec, space = study.spec.trial, study.spec.passed
    values = study.spec.passed_values(trial.spec.parameters, trial.spec.seed)
    if spec.template is None:
        template = _short_form(spec, space, values, settings)
    else:
        template = _filled(copy.deepcopy(spec.template), space, values)
    pod = template["spec"]
    pod["restartPolicy"] = "Never"
    pod.setdefault("automountServiceAccountToken", False)
    if spec.timeout:
        # The pod's and not the Job's, which would count the wait for a GPU.
        pod["activeDeadlineSeconds"] = int(parse_duration(spec.timeout).total_seconds())
    main = trains(template)
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
    # A program that leaves no last word is quoted by the last lines of its log.
    main.setdefault("terminationMessagePolicy", "FallbackToLogsOnError")
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


def trains(template: Manifest) -> Manifest:
    """The container of a user's pod template that trains: the first one."""
    found: Manifest = template["spec"]["containers"][0]
    return found


def _short_form(
    spec: TrialTemplate,
    space: Mapping[str, Parameter],
    values: Mapping[str, Value],
    settings: JobSettings,
) -> Manifest:
    container: Manifest = {
        "name": TRIAL,
        "image": spec.image or settings.trial_image,
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
    if follow_as_arguments(spec):
        # After the placeholders are filled: a value that looks like one is none.
        main = trains(template)
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
        {
            **template,
            "spec": {k: v for k, v in template["spec"].items() if k not in CONTAINER_LISTS},
        },
        values,
        space,
    )
    for kind in CONTAINER_LISTS:
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
