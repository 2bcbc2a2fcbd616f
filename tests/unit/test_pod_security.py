"""What a pod template may not ask for, and what the administrator can allow."""

from __future__ import annotations

from typing import Any

import pytest

from kubestudy.core.acceptance import problems
from kubestudy.core.pod_security import Allowed, Power
from tests.unit.build import study

NAME = {"name": "trial", "image": "busybox"}
EVERYTHING = Allowed(frozenset(Power), frozenset({"trainer"}))


def template(pod: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    return {"spec": {"containers": [NAME | container], **(pod or {})}}


def confined(**context: Any) -> dict[str, Any]:
    return template(securityContext=context)


TOKEN = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]

DANGEROUS: dict[str, dict[str, Any]] = {
    "spec.hostNetwork": template({"hostNetwork": True}),
    "spec.hostPID": template({"hostPID": "${parameters.lr}"}),
    "spec.hostIPC": template({"hostIPC": True}),
    "spec.containers[0].ports[0].hostPort": template(ports=[{"containerPort": 1, "hostPort": 1}]),
    "spec.volumes[0].hostPath": template({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
    "spec.containers[0].securityContext.privileged": confined(privileged=True),
    "spec.containers[0].securityContext.capabilities.add": confined(
        capabilities={"add": ["SYS_ADMIN"]}
    ),
    "spec.containers[0].securityContext.procMount": confined(procMount="Unmasked"),
    "spec.initContainers[0].securityContext.privileged": template(
        {"initContainers": [NAME | {"securityContext": {"privileged": True}}]}
    ),
    "spec.securityContext.seccompProfile.type": template(
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}
    ),
    "spec.securityContext.sysctls": template(
        {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}
    ),
    "spec.serviceAccountName": template({"serviceAccountName": "trainer"}),
    "spec.serviceAccount": template({"serviceAccount": "trainer"}),
    "spec.automountServiceAccountToken": template({"automountServiceAccountToken": True}),
    "spec.volumes[0].projected.sources[0].serviceAccountToken": template({"volumes": TOKEN}),
}


@pytest.mark.parametrize("field", DANGEROUS)
def test_it_is_refused_unless_it_is_allowed(field: str) -> None:
    of = study(trial={"template": DANGEROUS[field]})
    assert [e.field for e in problems(of)] == [f"spec.trial.template.{field}"]
    assert problems(of, EVERYTHING) == []


@pytest.mark.parametrize("kind", ["labels", "annotations"])
def test_the_controllers_own_keys_are_never_allowed(kind: str) -> None:
    pod = template() | {"metadata": {kind: {"kubestudy.dev/study": "another"}}}
    (error,) = problems(study(trial={"template": pod}), EVERYTHING)
    assert error.field == f"spec.trial.template.metadata.{kind}"


def test_a_service_account_may_not_come_from_a_parameter() -> None:
    named = [{"name": "account", "choices": ["default", "admin"]}]
    pod = template({"serviceAccountName": "${parameters.account}"})
    (error,) = problems(study(parameters=named, trial={"template": pod}))
    assert error.field == "spec.trial.template.spec.serviceAccountName"


def test_what_takes_nothing_from_the_nodes_protection_is_fine() -> None:
    harmless = confined(
        privileged=False,
        allowPrivilegeEscalation=False,
        capabilities={"drop": ["ALL"]},
        seccompProfile={"type": "RuntimeDefault"},
    )
    harmless["spec"] |= {
        "hostNetwork": False,
        "automountServiceAccountToken": False,
        "serviceAccountName": "default",
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    }
    assert problems(study(trial={"template": harmless})) == []
