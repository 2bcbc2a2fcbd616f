"""Pod templates are refused exactly where Pod Security "baseline" refuses, or our page says more.

Three judges see the same 200 templates: the admission plugin of the real API server, the chart's
policy on Studies, and the controller's own acceptance.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from kubestudy.core.pod_security import (
    APPARMOR_ANNOTATION,
    CAPABILITIES,
    NOTHING,
    SELINUX_TYPES,
    SYSCTLS,
    VOLUMES,
    template_problems,
)
from kubestudy.runtime.client import PODS, STUDIES, Object
from tests.support.kubectl import Namespace, new_namespace
from tests.support.studies import study
from tests.testcluster import ControlPlane

TEMPLATES = 200
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


@dataclass(frozen=True)
class Piece:
    """Something that a template may ask for.

    Attributes:
        parts: What is merged into the pod template.
        more: Whether docs/security.md refuses it, though "baseline" does not look at it.
    """

    parts: Object
    more: bool = False


def pod(**spec: Any) -> Object:
    return {"spec": spec}


def trains(**container: Any) -> Object:
    return pod(containers=[container])


def prepares(**container: Any) -> Object:
    return pod(initContainers=[{"name": "init", "image": "busybox", **container}])


def volume(kind: str, **settings: Any) -> Object:
    return pod(volumes=[{"name": "v", kind: settings}])


def projection(source: str, **settings: Any) -> Object:
    return volume("projected", sources=[{source: settings}])


def node_affinity(**rules: Any) -> Object:
    return pod(affinity={"nodeAffinity": rules})


def _of_both(context: Object) -> Iterator[Piece]:
    """What the pod and its containers may ask for alike."""
    yield Piece(pod(securityContext=context))
    yield Piece(trains(securityContext=context))


def _pieces() -> Iterator[Piece]:
    for shared in ("hostNetwork", "hostPID", "hostIPC"):
        yield Piece(pod(**{shared: True}))
        yield Piece(pod(**{shared: False}))
    for port in (0, 8080):
        yield Piece(trains(ports=[{"containerPort": 8080, "hostPort": port}]))
    for privileged in (True, False):
        yield Piece(trains(securityContext={"privileged": privileged}))
        yield Piece(prepares(securityContext={"privileged": privileged}))
    for capability in (*CAPABILITIES, "SYS_ADMIN", "NET_RAW", "ALL", "chown", "CAP_CHOWN"):
        yield Piece(trains(securityContext={"capabilities": {"add": [capability]}}))
    yield Piece(prepares(securityContext={"capabilities": {"add": ["NET_ADMIN"]}}))
    yield Piece(trains(securityContext={"capabilities": {"drop": ["ALL"]}}))
    yield Piece(trains(securityContext={"procMount": "Default"}))
    yield Piece(
        {"spec": {"hostUsers": False} | trains(securityContext={"procMount": "Unmasked"})["spec"]}
    )
    for profile in ("RuntimeDefault", "Unconfined"):
        yield from _of_both({"seccompProfile": {"type": profile}})
        yield from _of_both({"appArmorProfile": {"type": profile}})
    local = {"type": "Localhost", "localhostProfile": "profiles/trial.json"}
    yield from _of_both({"seccompProfile": local})
    for type_ in (*SELINUX_TYPES, "spc_t", ""):
        yield from _of_both({"seLinuxOptions": {"type": type_, "level": "s0:c1,c2"}})
    yield from _of_both({"seLinuxOptions": {"user": "system_u"}})
    yield from _of_both({"seLinuxOptions": {"role": "system_r"}})
    for name in (*SYSCTLS, "kernel.msgmax", "net.core.somaxconn"):
        yield Piece(pod(securityContext={"sysctls": [{"name": name, "value": "1"}]}))
    # The API server takes such a process only on the node's network.
    windows = {"hostProcess": True, "runAsUserName": "NT AUTHORITY\\SYSTEM"}
    yield Piece(pod(hostNetwork=True, securityContext={"windowsOptions": windows}))
    for value in ("runtime/default", "localhost/trial", "unconfined"):
        yield Piece({"metadata": {"annotations": {f"{APPARMOR_ANNOTATION}trial": value}}})
    yield Piece({"metadata": {"annotations": {"team": "unconfined"}, "labels": {"team": "a"}}})
    for host in ({}, {"host": "169.254.169.254"}):
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            yield Piece(trains(**{probe: {"httpGet": {"port": 80, **host}}}))
            yield Piece(trains(**{probe: {"tcpSocket": {"port": 80, **host}}}))
        for handler in ("postStart", "preStop"):
            yield Piece(trains(lifecycle={handler: {"httpGet": {"port": 80, **host}}}))
            yield Piece(trains(lifecycle={handler: {"tcpSocket": {"port": 80, **host}}}))
    yield Piece(volume("hostPath", path="/"))
    yield Piece(volume("emptyDir"))
    yield Piece(volume("secret", secretName="s"))
    yield Piece(volume("configMap", name="c"))
    yield Piece(volume("persistentVolumeClaim", claimName="c"))
    yield Piece(volume("nfs", server="files", path="/data"))
    yield Piece(volume("csi", driver="csi.example.com"))
    yield Piece(volume("gitRepo", repository="https://example.com/r.git"), more=True)
    yield Piece(projection("secret", name="s"))
    yield Piece(projection("configMap", name="c"))
    yield Piece(projection("serviceAccountToken", path="token"), more=True)
    yield Piece(pod(automountServiceAccountToken=True), more=True)
    yield Piece(pod(automountServiceAccountToken=False))
    yield Piece(pod(serviceAccountName="trainer"), more=True)
    yield Piece(pod(nodeSelector={"gpu": "a100"}))
    yield Piece(pod(nodeSelector={"kubernetes.io/hostname": "node1"}), more=True)
    for key, more in (("gpu", False), ("kubernetes.io/hostname", True)):
        term = {"matchExpressions": [{"key": key, "operator": "In", "values": ["a"]}]}
        yield Piece(node_affinity(**{REQUIRED: {"nodeSelectorTerms": [term]}}), more)
        yield Piece(node_affinity(**{PREFERRED: [{"weight": 1, "preference": term}]}), more)
    by_name = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node1"]}]}
    yield Piece(node_affinity(**{REQUIRED: {"nodeSelectorTerms": [by_name]}}), more=True)


PIECES = list(_pieces())


def merged(left: Any, right: Any) -> Any:
    """One template of two: objects by key, lists by place."""
    if isinstance(left, dict) and isinstance(right, dict):
        both = {k: merged(left[k], right[k]) for k in left.keys() & right.keys()}
        return {**left, **right, **both}
    if isinstance(left, list) and isinstance(right, list):
        pairs = [merged(a, b) for a, b in zip(left, right, strict=False)]
        return [*pairs, *left[len(pairs) :], *right[len(pairs) :]]
    return copy.deepcopy(right)


def template(pieces: list[Piece]) -> Object:
    """A template that asks for all of this; a later piece may take the place of an earlier one."""
    made: Object = trains(name="trial", image="busybox")
    for piece in pieces:
        made = merged(made, piece.parts)
    for kind in made["spec"].get("volumes", ()):
        # A volume is of one kind; the last one counts.
        for extra in [k for k in kind if k != "name"][:-1]:
            del kind[extra]
    return made


def generated() -> Iterator[list[Piece]]:
    """Each piece by itself, then some together, without end."""
    chance = random.Random(34)
    yield from ([piece] for piece in PIECES)
    while True:
        yield chance.sample(PIECES, chance.randint(2, 4))


@pytest.fixture(scope="module")
def baseline(control_plane: ControlPlane) -> Iterator[Namespace]:
    """A namespace that enforces Pod Security "baseline"."""
    with new_namespace(control_plane, "baseline") as namespace:
        label = "pod-security.kubernetes.io/enforce=baseline"
        control_plane.kubectl("label", "namespace", namespace.name, label)
        namespace.kubectl("create", "serviceaccount", "trainer")
        yield namespace


class Malformed(Exception):
    """No Pod at all: the API server does not ask who may have it."""


def refusal(plane: ControlPlane, path: str, manifest: Object) -> str | None:
    """What the API server's admission says against an object; None if it would take it.

    Raises:
        Malformed: It breaks a rule that has nothing to do with security.
    """
    status, said = plane.api.try_out(path, manifest)
    if status == 422 and "denied request" not in said:
        raise Malformed(said)
    return None if status == 201 else said


@pytest.mark.timeout(300)
def test_a_template_is_refused_where_baseline_refuses_or_our_page_says_more(
    control_plane: ControlPlane, baseline: Namespace
) -> None:
    verdicts = {True: 0, False: 0}
    pods, studies = (r.path(baseline.name) for r in (PODS, STUDIES))
    for pieces in generated():
        made = template(pieces)
        as_pod = {"apiVersion": "v1", "kind": "Pod", **copy.deepcopy(made)}
        as_pod["metadata"] = {**made.get("metadata", {}), "name": "pod"}
        as_study = study("study", {"learning_rate": [1e-5]}, trial={"template": made})
        try:
            by_kubernetes = refusal(control_plane, pods, as_pod)
        except Malformed:
            assert len(pieces) > 1, made
            continue
        by_policy = refusal(control_plane, studies, as_study)
        by_controller = list(map(str, template_problems(made, NOTHING)))
        said = (made, by_kubernetes, by_policy, by_controller)
        assert by_kubernetes is None or 'violates PodSecurity "baseline' in by_kubernetes, said
        refused = by_kubernetes is not None or _asks_for_more(pieces, made)
        assert bool(by_controller) == refused, said
        assert (by_policy is not None) == refused, said
        verdicts[refused] += 1
        if sum(verdicts.values()) == TEMPLATES:
            break
    assert min(verdicts.values()) >= TEMPLATES // 4


def _asks_for_more(pieces: list[Piece], made: Object) -> bool:
    """Whether a piece of ours is still in the template that was made of them."""
    return any(piece.more and merged(made, piece.parts) == made for piece in pieces)


def test_every_volume_that_is_allowed_is_one_that_kubernetes_knows(
    control_plane: ControlPlane,
) -> None:
    schemas = control_plane.api.get("/openapi/v3/api/v1")["components"]["schemas"]
    known = set(schemas["io.k8s.api.core.v1.Volume"]["properties"]) - {"name"}
    unsafe = {"hostPath", "gitRepo", "flocker", "photonPersistentDisk"}
    assert known - unsafe == set(VOLUMES)
