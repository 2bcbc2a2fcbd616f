"""The fields of a pod template, by name: what the API server lets into ``trial.template``.

Their values stay open, since a placeholder may stand for any of them, and since Kubernetes checks
them when a pod is made. A name that Kubernetes does not have is refused by ``kubectl apply``, and
is dropped where somebody writes past that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic.config import JsonDict

_OPEN: JsonDict = {"x-kubernetes-preserve-unknown-fields": True}
_TEXTS: JsonDict = {
    "type": "object",
    "maxProperties": 256,
    "additionalProperties": {"type": "string"},
}
_CONTAINER = """
    args command env envFrom image imagePullPolicy lifecycle livenessProbe name ports readinessProbe
    resizePolicy resources restartPolicy restartPolicyRules securityContext startupProbe stdin
    stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices volumeMounts
    workingDir
"""
_POD = """
    activeDeadlineSeconds affinity automountServiceAccountToken dnsConfig dnsPolicy
    enableServiceLinks ephemeralContainers hostAliases hostIPC hostNetwork hostPID hostUsers
    hostname hostnameOverride imagePullSecrets nodeName nodeSelector os overhead preemptionPolicy
    priority priorityClassName readinessGates resourceClaims resources restartPolicy
    runtimeClassName schedulerName schedulingGates securityContext serviceAccount serviceAccountName
    setHostnameAsFQDN shareProcessNamespace subdomain terminationGracePeriodSeconds tolerations
    topologySpreadConstraints volumes workloadRef
"""
CONTAINERS, INIT_CONTAINERS = "containers", "initContainers"
CONTAINER_LISTS = (CONTAINERS, INIT_CONTAINERS)
MAX_CONTAINERS = 64
_LIST: JsonDict = {
    "type": "array",
    "maxItems": MAX_CONTAINERS,
    "x-kubernetes-list-type": "atomic",
    "items": {"type": "object", "properties": dict.fromkeys(_CONTAINER.split(), _OPEN)},
}
POD_TEMPLATE: JsonDict = {
    "type": "object",
    "properties": {
        "metadata": {
            "type": "object",
            "properties": {"labels": _TEXTS, "annotations": _TEXTS, "name": _OPEN},
        },
        "spec": {
            "type": "object",
            "properties": {
                **dict.fromkeys(_POD.split(), _OPEN),
                **dict.fromkeys(CONTAINER_LISTS, _LIST),
            },
        },
    },
}
"""The schema, of Kubernetes 1.34."""


def unknown_fields(
    value: Any, path: str, schema: Any = POD_TEMPLATE
) -> Iterator[tuple[str, str, list[str]]]:
    """Finds the fields that a pod template does not have.

    Args:
        value: A template, or a part of one.
        path: Where it stands.
        schema: What it may have.

    Yields:
        The path of the object, the name that it does not have, and those that it has.
    """
    if isinstance(value, list) and "items" in schema:
        for i, item in enumerate(value):
            yield from unknown_fields(item, f"{path}[{i}]", schema["items"])
    if not isinstance(value, dict) or "properties" not in schema:
        return
    known = schema["properties"]
    if schema is POD_TEMPLATE:  # of which acceptance says what it has
        value = {name: inner for name, inner in value.items() if name in known}
    for name, inner in value.items():
        if name not in known:
            yield path, name, list(known)
        else:
            yield from unknown_fields(inner, f"{path}.{name}", known[name])
