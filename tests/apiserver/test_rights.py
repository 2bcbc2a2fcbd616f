"""The controller's service account can do its work, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.controller_process import ROOT
from tests.support.kubectl import Namespace, Refused
from tests.testcluster import ControlPlane

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize(
    "what",
    [
        "get secrets",
        "list configmaps",
        "create pods",
        "delete pods",
        "create pods --subresource=exec",
        "get pods --subresource=proxy",
        "patch studies",
        "delete studies",
        "patch trials",
        "delete trials",
        "create serviceaccounts",
        "impersonate users",
        "escalate clusterroles",
        "get leases",
        "update nodes",
    ],
)
def test_it_may_not(account: Path, namespace: Namespace, what: str) -> None:
    with pytest.raises(Refused):  # "no" is an exit status of 1
        Namespace(account, namespace.name).kubectl("auth", "can-i", *what.split())


def test_whoever_may_edit_a_namespace_may_run_studies_there(
    control_plane: ControlPlane, namespace: Namespace
) -> None:
    namespace.kubectl("create", "rolebinding", "dev", "--clusterrole=edit", "--group=devs")
    alice = Namespace(control_plane.kubeconfig_for("alice", ["devs"]), namespace.name)
    for verb in ("create", "patch", "delete"):
        assert alice.kubectl("auth", "can-i", verb, "studies").strip() == "yes"
    assert alice.kubectl("auth", "can-i", "delete", "trials").strip() == "yes"
    for what in (
        "create trials",
        "patch trials",
        "patch trials --subresource=status",
        "patch studies --subresource=status",
    ):
        with pytest.raises(Refused):
            alice.kubectl("auth", "can-i", *what.split())


def test_its_rights_are_those_of_the_documentation(account: Path, namespace: Namespace) -> None:
    def listed(place: str) -> dict[str, set[str]]:
        words = ("auth", "can-i", "--list", "--no-headers")
        rights: dict[str, set[str]] = {}
        for line in Namespace(account, place).kubectl(*words).splitlines():
            found = re.match(r"(\S*)\s+\[(.*?)\]\s+\[(.*?)\]\s+\[(.*?)\]", line)
            if found and found[1] and "selfsubject" not in found[1]:
                rights.setdefault(found[1], set()).update(found[4].split())
        return rights

    table = (ROOT / "docs/security.md").read_text()
    documented: dict[str, set[str]] = {}
    for resources, verbs in re.findall(r"(?m)^\| (`[^|]*) \| ([a-z, ]*)(?:;[^|]*)? \|", table):
        for resource in re.findall(r"`([^`]*)`", resources):
            own = resource.endswith(("/status", "/finalizers"))
            name = resource.replace("/", ".kubestudy.dev/") if own else resource
            documented[name] = set(verbs.split(", "))
    leases = documented.pop("leases.coordination.k8s.io")
    assert listed(namespace.name) == documented
    own = listed("kubestudy-system")
    assert own.pop("leases.coordination.k8s.io") == leases | {"get", "update"}
    assert own == documented
