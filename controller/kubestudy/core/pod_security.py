"""What a pod template may not ask for, since the controller makes pods with its own rights.

The limits are those of the Pod Security Standard "baseline" as of Kubernetes 1.34, and a few more:
a trial has no token, does not name its node, and mounts only kinds of volumes that are known here.
The chart's ValidatingAdmissionPolicy refuses the same at ``kubectl apply``; here it holds without.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kubestudy.api.base import GROUP
from kubestudy.api.study import StudySpec
from kubestudy.api.validation import FieldError


class Power(StrEnum):
    """What an administrator may allow to pod templates."""

    PRIVILEGED = "privileged"
    HOST_PATH = "hostPath"
    HOST_NAMESPACES = "hostNamespaces"
    NODE_CHOICE = "nodeChoice"
    SERVICE_ACCOUNT_TOKEN = "serviceAccountToken"


@dataclass(frozen=True)
class Allowed:
    """What the administrator allows to pod templates.

    Attributes:
        powers: What is not refused.
        service_accounts: What trials may run as, besides ``default``.
    """

    powers: frozenset[Power] = frozenset()
    service_accounts: frozenset[str] = frozenset()


NOTHING = Allowed()

CAPABILITIES = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
    *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
"""What a container may add: the capabilities that container runtimes give anyway."""

SYSCTLS = (
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies"),
    *("net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start"),
    *("net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time"),
    *("net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"),
    *("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
)
"""Those of the pod's own namespaces."""

SELINUX_TYPES = ("container_t", "container_init_t", "container_kvm_t", "container_engine_t")
PROFILE_TYPES = ("RuntimeDefault", "Localhost")
"""Of seccomp and AppArmor profiles."""

VOLUMES = (
    *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "configMap", "csi"),
    *("downwardAPI", "emptyDir", "ephemeral", "fc", "flexVolume", "gcePersistentDisk"),
    *("glusterfs", "image", "iscsi", "nfs", "persistentVolumeClaim", "portworxVolume"),
    *("projected", "quobyte", "rbd", "scaleIO", "secret", "storageos", "vsphereVolume"),
)
"""Kinds of volumes that do not reach the node's own files; what is new is refused until known."""

PROJECTIONS = ("clusterTrustBundle", "configMap", "downwardAPI", "secret")
"""Sources of projected volumes that carry no identity of the pod's."""

APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"
HOSTNAME_LABEL = "kubernetes.io/hostname"

_CONTAINERS = "spec.containers|initContainers[*]"
_CONTEXTS = ("spec.securityContext", f"{_CONTAINERS}.securityContext")
_HANDLERS = tuple(
    f"{_CONTAINERS}.{handler}.{action}.host"
    for handler in (
        *("livenessProbe", "readinessProbe", "startupProbe"),
        *("lifecycle.postStart", "lifecycle.preStop"),
    )
    for action in ("httpGet", "tcpSocket")
)
_NODE_AFFINITY = "spec.affinity.nodeAffinity"
_NODE_TERMS = (
    f"{_NODE_AFFINITY}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[*]",
    f"{_NODE_AFFINITY}.preferredDuringSchedulingIgnoredDuringExecution[*].preference",
)


@dataclass(frozen=True)
class _Limit:
    """What fields of a pod template may be.

    Attributes:
        power: What lets them be anything.
        paths: Where they stand, as ``_found`` reads it.
        accepts: Whether a value takes nothing from the node's protection; a placeholder never does.
        accepted: The values that do not, for a person; empty where the field must be left out.
    """

    power: Power
    paths: Sequence[str]
    accepts: Callable[[Any], bool]
    accepted: str = ""


def _one_of(power: Power, paths: Sequence[str], *values: Any) -> _Limit:
    # 0 == False in Python, but not in YAML.
    return _Limit(
        power,
        paths,
        lambda given: any(type(given) is type(v) and given == v for v in values),
        ", ".join(v for v in values if v and isinstance(v, str)),
    )


def _profile(given: Any) -> bool:
    return isinstance(given, dict) and given.get("type") in PROFILE_TYPES


def _apparmor(given: Any) -> bool:
    if not isinstance(given, Entry):
        return False
    value = given.value if isinstance(given.value, str) else "?"
    harmless = value in ("", "runtime/default") or value.startswith("localhost/")
    return harmless or not given.key.startswith(APPARMOR_ANNOTATION)


def _any_host(given: Any) -> bool:
    key = given.key if isinstance(given, Entry) else given
    return isinstance(key, str) and key != HOSTNAME_LABEL and not _is_placeholder(key)


_LIMITS = (
    _one_of(Power.HOST_NAMESPACES, ["spec.hostNetwork|hostPID|hostIPC"], False),
    _one_of(Power.HOST_NAMESPACES, [f"{_CONTAINERS}.ports[*].hostPort"], 0),
    # The kubelet would connect to it, from the node's network.
    _one_of(Power.HOST_NAMESPACES, _HANDLERS, ""),
    _one_of(Power.PRIVILEGED, [f"{_CONTAINERS}.securityContext.privileged"], False),
    _one_of(
        Power.PRIVILEGED, [f"{_CONTAINERS}.securityContext.capabilities.add[*]"], *CAPABILITIES
    ),
    _one_of(Power.PRIVILEGED, [f"{_CONTAINERS}.securityContext.procMount"], "Default"),
    _one_of(Power.PRIVILEGED, [f"{c}.windowsOptions.hostProcess" for c in _CONTEXTS], False),
    _one_of(Power.PRIVILEGED, [f"{c}.seLinuxOptions.type" for c in _CONTEXTS], "", *SELINUX_TYPES),
    _one_of(Power.PRIVILEGED, [f"{c}.seLinuxOptions.user|role" for c in _CONTEXTS], ""),
    _one_of(Power.PRIVILEGED, ["spec.securityContext.sysctls[*].name"], *SYSCTLS),
    _Limit(
        Power.PRIVILEGED,
        [f"{c}.seccompProfile|appArmorProfile" for c in _CONTEXTS],
        _profile,
        f"one of type {' or '.join(PROFILE_TYPES)}",
    ),
    _Limit(
        Power.PRIVILEGED, ["metadata.annotations.*"], _apparmor, "runtime/default or localhost/..."
    ),
    _Limit(Power.NODE_CHOICE, ["spec.nodeSelector.*"], _any_host, "another label"),
    _Limit(
        Power.NODE_CHOICE,
        [f"{term}.matchExpressions[*].key" for term in _NODE_TERMS],
        _any_host,
        "another label",
    ),
    _one_of(Power.NODE_CHOICE, [f"{term}.matchFields" for term in _NODE_TERMS], []),
    _one_of(Power.SERVICE_ACCOUNT_TOKEN, ["spec.automountServiceAccountToken"], False),
)


def pod_security_problems(spec: StudySpec, allowed: Allowed) -> Iterator[FieldError]:
    """Lists what the pod template of a Study asks for in vain.

    Args:
        spec: The Study's; what is malformed in its template is reported elsewhere.
        allowed: The administrator's exceptions.

    Yields:
        Errors with the field's path within the spec.
    """
    for error in template_problems(spec.trial.template, allowed):
        yield FieldError(f"trial.template.{error.field}", error.message)


def template_problems(template: Any, allowed: Allowed) -> Iterator[FieldError]:
    """Lists what a pod template asks for in vain.

    Args:
        template: JSON data; what is malformed in it is passed over.
        allowed: The administrator's exceptions.

    Yields:
        Errors with the field's path within the template.
    """
    for kind in ("labels", "annotations"):
        for _, entry in _found(template, f"metadata.{kind}.*"):
            if isinstance(entry, Entry) and entry.key.startswith(f"{GROUP}/"):
                yield FieldError(f"metadata.{kind}", f"{entry.key} is set by the controller")
    for limit in _LIMITS:
        if limit.power in allowed.powers:
            continue
        for pattern in limit.paths:
            for path, value in _found(template, pattern):
                if not limit.accepts(value):
                    yield _refusal(path, value, limit.power, limit.accepted)
    yield from _volumes(template, allowed)
    accounts = ["default", *sorted(allowed.service_accounts)]
    for path, name in _found(template, "spec.serviceAccountName|serviceAccount"):
        if name not in accounts:
            yield FieldError(path, f"{name!r} is not allowed; it may be {' or '.join(accounts)}")


def _volumes(template: Any, allowed: Allowed) -> Iterator[FieldError]:
    """Only what is known is mounted: kinds of volumes, and sources of projected ones."""
    for path, entry in _found(template, "spec.volumes[*].*"):
        kind = entry.key if isinstance(entry, Entry) else None
        if kind in ("name", *VOLUMES):
            continue
        if kind != "hostPath":
            yield FieldError(
                path, f"is no volume that may be used; use one of {', '.join(VOLUMES)}"
            )
        elif Power.HOST_PATH not in allowed.powers:
            yield _refusal(path, None, Power.HOST_PATH)
    for path, entry in _found(template, "spec.volumes[*].projected.sources[*].*"):
        source = entry.key if isinstance(entry, Entry) else None
        if source not in PROJECTIONS and Power.SERVICE_ACCOUNT_TOKEN not in allowed.powers:
            yield _refusal(
                path, None, Power.SERVICE_ACCOUNT_TOKEN, f"one of {', '.join(PROJECTIONS)}"
            )


def _refusal(path: str, value: Any, power: Power, accepted: str = "") -> FieldError:
    if isinstance(value, Entry):
        value = value.value
    what = repr(value) if isinstance(value, str | int) and value is not True else ""
    what = what or path.rsplit(".", 1)[-1]
    instead = f"use {accepted}, leave it out," if accepted else "leave it out,"
    return FieldError(
        path,
        f"{what} is not allowed here; {instead} or ask the administrator for {power} to be"
        " allowed (policies.allow of the chart)",
    )


@dataclass(frozen=True)
class Entry:
    """A key of an object with its value."""

    key: str
    value: Any


def _found(part: Any, pattern: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """Finds the values at a path, each with its own path.

    Args:
        part: A part of a pod template.
        pattern: Names of fields with points between them: ``a|b`` is either of two fields, ``a[*]``
            each item of a list, and ``*`` at the end each ``Entry`` of an object.
        path: Where the part stands.

    Yields:
        What is there and is not null. A placeholder in the place of an object or a list comes
        instead of what it may become.
    """
    if _is_placeholder(part):
        yield path, part
        return
    if not isinstance(part, dict):
        return
    step, _, rest = pattern.partition(".")
    if step == "*":
        yield from ((f"{path}.{key}", Entry(str(key), value)) for key, value in part.items())
        return
    for name in step.removesuffix("[*]").split("|"):
        value, here = part.get(name), f"{path}.{name}" if path else name
        items = [(here, value)]
        if step.endswith("[*]") and not _is_placeholder(value):
            listed = value if isinstance(value, list) else []
            items = [(f"{here}[{i}]", item) for i, item in enumerate(listed)]
        for at, item in items:
            if rest and item is not None:
                yield from _found(item, rest, at)
            elif item is not None:
                yield at, item


def _is_placeholder(value: Any) -> bool:
    return isinstance(value, str) and "${" in value
