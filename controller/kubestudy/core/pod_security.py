"""What a pod template may not ask for, since the controller makes pods with its own rights.

The limits are those of Pod Security "baseline", and that a trial has no token. The chart's
ValidatingAdmissionPolicies say the same at ``kubectl apply``; here it holds without them too.
"""

from __future__ import annotations

from collections.abc import Iterator
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

# Fields of a security context, with the values that take nothing from the node's protection.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "privileged": (False,),
    "capabilities.add": ([],),
    "procMount": ("Default",),
    "seccompProfile.type": ("RuntimeDefault", "Localhost"),
    "appArmorProfile.type": ("RuntimeDefault", "Localhost"),
    "windowsOptions.hostProcess": (False,),
    "seLinuxOptions": (),
    "sysctls": ([],),
}


def pod_security_problems(spec: StudySpec, allowed: Allowed) -> Iterator[FieldError]:
    """Lists what the pod template of a Study asks for in vain.

    Args:
        spec: The Study's; what is malformed in its template is told elsewhere.
        allowed: The administrator's exceptions.

    Yields:
        Errors with the field's path within the spec.
    """
    for error in _forbidden(spec.trial.template, allowed):
        yield FieldError(f"trial.template.{error.field}", error.message)


def _forbidden(template: Any, allowed: Allowed) -> Iterator[FieldError]:
    for kind in ("labels", "annotations"):
        for key in _object(_get(template, f"metadata.{kind}")):
            if str(key).startswith(f"{GROUP}/"):
                yield FieldError(f"metadata.{kind}", f"{key} is set by the controller")
    pod = _get(template, "spec")
    containers = [
        (f"spec.{kind}[{i}]", container)
        for kind in ("containers", "initContainers")
        for i, container in enumerate(_list(_get(pod, kind)))
    ]
    volumes = [(f"spec.volumes[{i}]", v) for i, v in enumerate(_list(_get(pod, "volumes")))]
    if Power.HOST_NAMESPACES not in allowed.powers:
        yield from _host_namespaces(pod, containers)
    if Power.HOST_PATH not in allowed.powers:
        for path, volume in volumes:
            if "hostPath" in _object(volume):
                yield _refusal(f"{path}.hostPath", Power.HOST_PATH)
    if Power.PRIVILEGED not in allowed.powers:
        for path, part in [("spec", pod), *containers]:
            yield from _privileges(f"{path}.securityContext", _get(part, "securityContext"))
    yield from _service_account(pod, allowed)
    if Power.SERVICE_ACCOUNT_TOKEN not in allowed.powers:
        yield from _tokens(pod, volumes)


def _host_namespaces(pod: Any, containers: list[tuple[str, Any]]) -> Iterator[FieldError]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if _get(pod, field) not in (None, False):
            yield _refusal(f"spec.{field}", Power.HOST_NAMESPACES)
    for path, container in containers:
        for i, port in enumerate(_list(_get(container, "ports"))):
            if "hostPort" in _object(port):
                yield _refusal(f"{path}.ports[{i}].hostPort", Power.HOST_NAMESPACES)


def _privileges(path: str, context: Any) -> Iterator[FieldError]:
    for field, harmless in _HARMLESS.items():
        value = _get(context, field)
        # 0 == False in Python, but not in YAML.
        if value is not None and not any(
            value is h or (value == h and h is not False) for h in harmless
        ):
            yield _refusal(f"{path}.{field}", Power.PRIVILEGED)


def _service_account(pod: Any, allowed: Allowed) -> Iterator[FieldError]:
    accounts = ["default", *sorted(allowed.service_accounts)]
    for field in ("serviceAccountName", "serviceAccount"):
        name = _get(pod, field)
        if name is not None and name not in accounts:
            yield FieldError(
                f"spec.{field}", f"{name!r} is not allowed; it may be {' or '.join(accounts)}"
            )


def _tokens(pod: Any, volumes: list[tuple[str, Any]]) -> Iterator[FieldError]:
    if _get(pod, "automountServiceAccountToken") not in (None, False):
        yield _refusal("spec.automountServiceAccountToken", Power.SERVICE_ACCOUNT_TOKEN)
    for path, volume in volumes:
        for i, source in enumerate(_list(_get(volume, "projected.sources"))):
            if "serviceAccountToken" in _object(source):
                field = f"{path}.projected.sources[{i}].serviceAccountToken"
                yield _refusal(field, Power.SERVICE_ACCOUNT_TOKEN)


def _refusal(field: str, power: Power) -> FieldError:
    name = field.rsplit(".", 1)[-1]
    return FieldError(
        field,
        f"{name} is not allowed here; leave it out, or ask the administrator for {power} to be"
        " allowed (policies.allow of the chart)",
    )


def _get(part: Any, path: str) -> Any:
    for name in path.split("."):
        part = _object(part).get(name)
    return part


def _object(part: Any) -> dict[str, Any]:
    return part if isinstance(part, dict) else {}


def _list(part: Any) -> list[Any]:
    return part if isinstance(part, list) else []
