"""The controller's service account can do its work, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

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
