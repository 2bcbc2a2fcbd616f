"""How a run is told where to push its metrics, and proves that a post is its own.

Its token is an annotation of its pod, which the kubelet writes into a file: no Secret is made, and
the Job remembers the token for as long as it counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from kubestudy.api.base import ANNOTATION_PUSH_CA, ANNOTATION_PUSH_TOKEN

FOLDER = "/kubestudy/push"
POD_UID = "KUBESTUDY_POD_UID"
PATH = "/v1/runs/{namespace}/{job}/{pod}"


@dataclass(frozen=True)
class PushSettings:
    """What the administrator says of the endpoint.

    Attributes:
        url: Where trials reach it.
        ca: The certificates, as PEM, by which they know it; those of their system where empty.
    """

    url: str
    ca: str = ""

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
            raise ValueError(f"{self.url!r} is no http or https URL")


def let_push(
    template: dict[str, Any],
    container: dict[str, Any],
    settings: PushSettings,
    namespace: str,
    job: str,
    token: str,
) -> list[dict[str, Any]]:
    """Lets the container of a pod template push.

    Args:
        template: The template, whose annotations and volumes are added to.
        container: The container that trains, whose mounts are added to.
        settings: The administrator's.
        namespace: Of the run's Job.
        job: Its name.
        token: A new one, for this run alone.

    Returns:
        The variables that transformers' ``KubeflowCallback`` reads.
    """
    files = {"token": (ANNOTATION_PUSH_TOKEN, token), "ca.crt": (ANNOTATION_PUSH_CA, settings.ca)}
    metadata = template["metadata"] = template.get("metadata") or {}
    given = {annotation: text for annotation, text in files.values() if text}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **given}
    items = [
        {"path": path, "fieldRef": {"fieldPath": f"metadata.annotations['{annotation}']"}}
        for path, (annotation, text) in files.items()
        if text
    ]
    pod = template["spec"]
    volume = {"name": "kubestudy-push", "downwardAPI": {"items": items}}
    pod["volumes"] = [*(pod.get("volumes") or []), volume]
    mount = {"name": "kubestudy-push", "mountPath": FOLDER, "readOnly": True}
    container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]
    # The kubelet puts the pod's UID in: a pod is not known before it is made.
    path = PATH.format(namespace=namespace, job=job, pod=f"$({POD_UID})")
    url = settings.url.rstrip("/") + path
    env: list[dict[str, Any]] = [
        {"name": POD_UID, "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        {"name": "KUBEFLOW_TRAINER_SERVER_URL", "value": url},
        {"name": "KUBEFLOW_TRAINER_SERVER_TOKEN", "value": f"{FOLDER}/token"},
    ]
    if settings.ca:
        env.append({"name": "KUBEFLOW_TRAINER_SERVER_CA_CERT", "value": f"{FOLDER}/ca.crt"})
    return env


def token_of(job: dict[str, Any]) -> str:
    """The token of a run; empty where its pod may not push."""
    metadata = job["spec"]["template"].get("metadata") or {}
    token: str = (metadata.get("annotations") or {}).get(ANNOTATION_PUSH_TOKEN, "")
    return token
