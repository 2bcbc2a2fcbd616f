"""The cluster that the end-to-end tests run on."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# The tests run from the repository, which pytest puts on the path only where it is told to.
sys.path.insert(0, str(Path(__file__).parents[2]))

from kubestudy.runtime.client import PODS
from tests.support import images
from tests.support.controller_process import ROOT
from tests.support.kubectl import CONTROLLER, Namespace, new_namespace
from tests.support.node import Usage
from tests.support.surroundings import give_up
from tests.testcluster import Access, Cluster, ControlPlane, existing, reason_unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INSTALL = str(ROOT / "manifests/install.yaml")
ENFORCE = "pod-security.kubernetes.io/enforce"
CLAIM = "checkpoints"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Access | ControlPlane]:
    """A real cluster.

    The one that `KUBESTUDY_TEST_KUBECONFIG` names, if it names one; else ours, which stays up if
    it was up before, or if `KUBESTUDY_KEEP_CLUSTER` is set. Both have `kubeconfig` and
    `kubectl()`; only a `Cluster` can have images built for it and faults put into it.
    """
    theirs = existing()
    if theirs is not None:
        yield theirs
        return
    reason = reason_unavailable()
    if reason:
        give_up(f"no cluster can be brought up here: {reason}")
    ours = Cluster()
    was_up = ours.healthy()
    ours.start()
    yield ours
    if not was_up and not os.environ.get("KUBESTUDY_KEEP_CLUSTER"):
        ours.stop()


@pytest.fixture
def own_cluster(cluster: Access | ControlPlane) -> Cluster:
    """Our own cluster, for tests that look into its node or disturb it."""
    if not isinstance(cluster, Cluster):
        pytest.skip("needs the cluster of tests/testcluster, not one that is given")
    return cluster


@pytest.fixture(scope="session")
def controller_image(cluster: Access | ControlPlane) -> str:
    """The controller's image, on the node."""
    if not isinstance(cluster, Cluster):
        return images.CONTROLLER
    return cluster.provide_image(images.controller())


@pytest.fixture(scope="session")
def controller(cluster: Access | ControlPlane, controller_image: str) -> Iterator[Namespace]:
    """The controller in its pod, installed by the plain manifests; gives its namespace."""
    system = ("-n", "kubestudy-system")
    was_there = cluster.kubectl(*system, "get", CONTROLLER, "--ignore-not-found", "-o", "name")
    kinds = cluster.kubectl("get", "crd", "-o", "name")
    ours = ["controller"] if "kubestudy.dev" in kinds else ["controller", "crds"]
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", INSTALL)
    if was_there:
        cluster.kubectl(*system, "rollout", "restart", CONTROLLER)  # the image may be another
    cluster.kubectl(*system, "rollout", "status", CONTROLLER, "--timeout=120s")
    yield Namespace(cluster.kubeconfig, "kubestudy-system")
    if not was_there:
        for part in ours:
            cluster.kubectl("delete", "-f", str(ROOT / "manifests" / part), "--timeout=120s")


@pytest.fixture
def controller_use(own_cluster: Cluster, controller: Namespace) -> Callable[[], Usage]:
    """Tells what the controller's process has used so far."""

    def use() -> Usage:
        labels = "app.kubernetes.io/component=controller"
        found = controller.client.list(PODS, controller.name, labelSelector=labels)["items"]
        # One of an earlier rollout may still be on its way out.
        (pod,) = (p for p in found if "deletionTimestamp" not in p["metadata"])
        return Usage.of(pod)

    return use


@pytest.fixture
def place(
    cluster: Access | ControlPlane, controller: Namespace, request: pytest.FixtureRequest
) -> Iterator[Namespace]:
    """A namespace of its own for a test, in which Studies are run.

    Pod Security "restricted" is enforced in it, as many clusters do.
    """
    with new_namespace(cluster, request.node.originalname.removeprefix("test_")) as namespace:
        cluster.kubectl("label", "namespace", namespace.name, f"{ENFORCE}=restricted")
        failed = request.session.testsfailed
        yield namespace
        if request.session.testsfailed > failed:
            log = ("logs", CONTROLLER, "--tail=50")
            print(controller.kubectl(*log))


@pytest.fixture
def volume(place: Namespace, own_cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    """A claim on a folder of the node, which all pods may write to."""
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o777)
    storage = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    size = {"storage": "4Gi"}
    name = f"{place.name}-{CLAIM}"
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": storage | {"capacity": size, "hostPath": {"path": str(tmp_path)}},
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM},
        "spec": storage | {"volumeName": name, "resources": {"requests": size}},
    }
    place.apply(volume)
    place.apply(claim)
    yield CLAIM
    own_cluster.kubectl("delete", "pv", name, "--wait=false")


@pytest.fixture(scope="session")
def trial_with_data(cluster: Access | ControlPlane) -> str:
    """The trial's image with the example data, on the node.

    The first time this builds an environment with torch, which takes minutes; `make` has it built.
    """
    if not isinstance(cluster, Cluster):
        return images.TRIAL_WITH_DATA
    return cluster.provide_image(images.trial_with_data())
