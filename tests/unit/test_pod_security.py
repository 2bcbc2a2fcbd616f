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


def near(**terms: Any) -> dict[str, Any]:
    """A pod that only some nodes will do for."""
    required = {"nodeSelectorTerms": [terms]}
    affinity = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    return template({"affinity": {"nodeAffinity": affinity}})


REQUIRED = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
KEY = "container.apparmor.security.beta.kubernetes.io/trial"
TOKEN = [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]

DANGEROUS: dict[str, dict[str, Any]] = {
    "spec.hostNetwork": template({"hostNetwork": True}),
    "spec.hostPID": template({"hostPID": "${parameters.lr}"}),
    "spec.hostIPC": template({"hostIPC": True}),
    "spec.containers[0].ports[0].hostPort": template(ports=[{"containerPort": 1, "hostPort": 1}]),
    "spec.volumes[0].hostPath": template({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
    "spec.containers[0].securityContext.privileged": confined(privileged=True),
    "spec.containers[0].securityContext.capabilities.add[0]": confined(
        capabilities={"add": ["SYS_ADMIN"]}
    ),
    "spec.containers[0].securityContext.procMount": confined(procMount="Unmasked"),
    "spec.initContainers[0].securityContext.privileged": template(
        {"initContainers": [NAME | {"securityContext": {"privileged": True}}]}
    ),
    "spec.securityContext.seccompProfile": template(
        {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}
    ),
    "spec.securityContext.sysctls[0].name": template(
        {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}
    ),
    "spec.serviceAccountName": template({"serviceAccountName": "trainer"}),
    "spec.serviceAccount": template({"serviceAccount": "trainer"}),
    "spec.automountServiceAccountToken": template({"automountServiceAccountToken": True}),
    "spec.volumes[0].projected.sources[0].serviceAccountToken": template({"volumes": TOKEN}),
    "spec.volumes[0].projected.sources[0].podCertificate": template(
        {"volumes": [{"name": "c", "projected": {"sources": [{"podCertificate": {}}]}}]}
    ),
    "spec.containers[0].livenessProbe.httpGet.host": template(
        livenessProbe={"httpGet": {"port": 80, "host": "169.254.169.254"}}
    ),
    "spec.containers[0].lifecycle.preStop.tcpSocket.host": template(
        lifecycle={"preStop": {"tcpSocket": {"port": 80, "host": "127.0.0.1"}}}
    ),
    f"metadata.annotations.{KEY}": template() | {"metadata": {"annotations": {KEY: "unconfined"}}},
    "spec.containers[0].securityContext.appArmorProfile": confined(
        appArmorProfile={"type": "Unconfined"}
    ),
    "spec.containers[0].securityContext.windowsOptions.hostProcess": confined(
        windowsOptions={"hostProcess": True}
    ),
    "spec.containers[0].securityContext.seLinuxOptions.type": confined(
        seLinuxOptions={"type": "spc_t"}
    ),
    "spec.containers[0].securityContext.seLinuxOptions.role": confined(
        seLinuxOptions={"role": "system_r"}
    ),
    "spec.nodeSelector.kubernetes.io/hostname": template(
        {"nodeSelector": {"kubernetes.io/hostname": "node1"}}
    ),
    f"{REQUIRED}.nodeSelectorTerms[0].matchFields": near(
        matchFields=[{"key": "metadata.name", "operator": "In", "values": ["node1"]}]
    ),
    f"{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key": near(
        matchExpressions=[{"key": "${parameters.size}", "operator": "In", "values": ["node1"]}]
    ),
    "spec.containers[0].securityContext.capabilities.add": confined(
        capabilities={"add": "${parameters.size}"}
    ),
}


@pytest.mark.parametrize("field", DANGEROUS)
def test_it_is_refused_unless_it_is_allowed(field: str) -> None:
    of = study(trial={"template": DANGEROUS[field]})
    assert {e.field for e in problems(of)} == {f"spec.trial.template.{field}"}
    assert problems(of, EVERYTHING) == []


def test_a_volume_of_a_kind_that_is_not_known_is_refused_whatever_is_allowed() -> None:
    volumes = [{"name": "new", "nodeFiles": {"path": "/"}}]
    (error,) = problems(study(trial={"template": template({"volumes": volumes})}), EVERYTHING)
    assert error.field == "spec.trial.template.spec.volumes[0].nodeFiles"
    assert "use one of" in error.message and "persistentVolumeClaim" in error.message


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
        capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        seccompProfile={"type": "RuntimeDefault"},
        appArmorProfile={"type": "Localhost", "localhostProfile": "trial"},
        seLinuxOptions={"type": "container_t", "level": "s0:c1,c2"},
        procMount="Default",
    )
    harmless["metadata"] = {"annotations": {KEY: "runtime/default", "team": "vision"}}
    harmless["spec"]["containers"][0] |= {
        "ports": [{"containerPort": 80, "hostPort": 0}],
        "readinessProbe": {"httpGet": {"port": 80}},
    }
    harmless["spec"] |= {
        "hostNetwork": False,
        "automountServiceAccountToken": False,
        "serviceAccountName": "default",
        "nodeSelector": {"gpu": "a100"},
        "securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    }
    assert problems(study(trial={"template": harmless})) == []


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "containers[0].env": (template(env={"A": "1"}), "must be a list"),
    "containers[0].env[0]": (template(env=["A=1"]), "must be an object, not"),
    "containers[0].env[0].name": (template(env=[{"value": "1"}]), "is required"),
    "containers[0].env[0].value": (template(env=[{"name": "A", "value": 1}]), 'quote it: "1"'),
    "containers[0].args[0]": (
        template(args=[True]),
        "must be a string, not true",
    ),
    "containers[0].volumeMounts": (template(volumeMounts="data"), "must be a list"),
    "containers[0].resources.limits": (template(resources={"limits": 1}), "must be an object"),
    "initContainers[0]": (template({"initContainers": [None]}), "must be an object, not"),
    "volumes": (template({"volumes": {}}), "must be a list"),
    "volumes[0].name": (template({"volumes": [{"emptyDir": {}}]}), "is required"),
    "nodeSelector.gpu": (template({"nodeSelector": {"gpu": True}}), 'or "true"'),
}


@pytest.mark.parametrize("field", ODD)
def test_a_template_of_another_shape_is_refused_by_the_field(field: str) -> None:
    odd, message = ODD[field]
    (error,) = problems(study(trial={"template": odd}))
    assert error.field == f"spec.trial.template.spec.{field}"
    assert message in error.message
