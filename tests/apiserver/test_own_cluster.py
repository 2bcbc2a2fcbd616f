"""What needs a cluster of its own: the chart for a few namespaces, and CRDs that are upgraded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubestudy.api.manifests import dump, load_all
from tests.apiserver.conftest import ACCOUNT, ACCOUNT_GROUPS
from tests.support.controller_process import ROOT, ControllerProcess
from tests.support.helm import NAMESPACE, rendered
from tests.support.kubectl import Namespace, Refused, count, new_namespace
from tests.support.kubelet import Ending, Kubelet
from tests.support.studies import study
from tests.support.waiting import until
from tests.testcluster import ClusterError, ControlPlane

pytestmark = pytest.mark.timeout(120)

THREE = {"learning_rate": [1e-5, 2e-5, 3e-5]}


@pytest.fixture(scope="module")
def plane(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """A control plane with nothing of ours; where the other one comes up, so does this one."""
    with ControlPlane(controllers=True) as plane:
        plane.kubectl("create", "namespace", NAMESPACE)
        yield plane


def installed(plane: ControlPlane, *options: str) -> None:
    objects = rendered("--skip-tests", *options)
    plane.kubectl("apply", "--server-side", "-f", "-", stdin="---\n".join(map(dump, objects)))

    def served() -> bool:
        try:
            plane.kubectl("get", "studies,trials")
        except ClusterError:
            return False
        return True

    until(served, what="Studies and Trials are served", timeout=30)


def test_a_controller_of_one_namespace_needs_no_right_elsewhere(
    plane: ControlPlane, tmp_path: Path
) -> None:
    with new_namespace(plane, "team") as team, new_namespace(plane, "elsewhere") as elsewhere:
        installed(plane, f"--set=namespaces={{{team.name}}}")
        account = plane.kubeconfig_for(ACCOUNT, ACCOUNT_GROUPS)
        for right in ("list studies", "create jobs", "get pods"):
            with pytest.raises(Refused):
                Namespace(account, elsewhere.name).kubectl("auth", "can-i", *right.split())
        options = (f"--watch-namespace={team.name}", f"--lease-namespace={NAMESPACE}")
        with (
            ControllerProcess(account, tmp_path / "log", *options),
            Kubelet(team, lambda parameters, _: Ending(parameters["learning_rate"])),
        ):
            elsewhere.apply(study("ignored", THREE))
            team.apply(study("run", THREE))
            assert count(team.wait_for_end("run"), "succeeded") == 3
        assert "status" not in elsewhere.study("ignored")


def test_stored_objects_outlive_an_upgrade_of_the_crds(plane: ControlPlane) -> None:
    (crd,) = load_all((ROOT / "manifests/crds/studies.yaml").read_text())
    older = json.loads(json.dumps(crd.data))
    spec = older["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    # As if this version had given the first field and taken the second.
    del spec["properties"]["earlyStopping"]
    spec["properties"]["given"] = {"type": "string"}
    force = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    with new_namespace(plane, "upgrade") as place:
        plane.kubectl(*force, stdin=dump(older))
        until(lambda: _takes(place, study("old", THREE, given="up")), what="the older CRD serves")
        stored = place.study("old")
        assert stored["spec"]["given"] == "up"

        plane.kubectl(*force, stdin=dump(crd.data))
        stopping = {"earlyStopping": {"type": "Median"}}
        until(lambda: _takes(place, study("new", THREE, **stopping)), what="the newer CRD serves")
        assert place.study("old")["spec"]["parameters"] == stored["spec"]["parameters"]
        place.edit("old", {"budget": {"parallelism": 2}})
        edited = place.study("old")
        assert edited["metadata"]["uid"] == stored["metadata"]["uid"]
        assert edited["spec"] == {k: v for k, v in stored["spec"].items() if k != "given"} | {
            "budget": {"parallelism": 2}
        }


def _takes(place: Namespace, manifest: dict[str, object]) -> bool:
    try:
        place.apply(manifest)
    except Refused:
        return False
    return True
