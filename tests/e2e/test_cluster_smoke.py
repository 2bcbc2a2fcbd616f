"""The test cluster does what the other end-to-end tests take for granted."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.testcluster import GPUS, Access, Cluster, ClusterError, ControlPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(180)

AnyCluster = Access | ControlPlane


@pytest.fixture
def namespace(cluster: AnyCluster) -> Iterator[str]:
    name = f"smoke-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def create_pod(cluster: AnyCluster, namespace: str, script: str, gpus: int = 0) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "probe",
                    "image": "localhost/busybox:1",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", script],
                    "resources": {"limits": {"nvidia.com/gpu": str(gpus)}},
                }
            ],
        },
    }
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(pod))


def wait_for_pod(cluster: AnyCluster, namespace: str, condition: str, timeout: int = 60) -> None:
    words = ("wait", f"--for={condition}", "pod/probe", f"--timeout={timeout}s")
    cluster.kubectl("-n", namespace, *words)


def log_of_pod(cluster: AnyCluster, namespace: str, script: str, gpus: int = 0) -> str:
    """Runs a pod to its end and returns its log."""
    create_pod(cluster, namespace, script, gpus)
    wait_for_pod(cluster, namespace, "jsonpath={.status.phase}=Succeeded")
    return cluster.kubectl("-n", namespace, "logs", "probe")


def get(cluster: AnyCluster, *words: str) -> Any:
    return json.loads(cluster.kubectl("get", *words, "--output=json"))


def test_the_node_is_ready_with_its_gpus(cluster: AnyCluster) -> None:
    (node,) = get(cluster, "nodes")["items"]
    ready = {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"]
    assert ready == "True"
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == str(GPUS)


def test_a_pod_runs_and_its_log_is_read(cluster: AnyCluster, namespace: str) -> None:
    assert log_of_pod(cluster, namespace, "echo one; sleep 1; echo two").split() == ["one", "two"]


def test_a_pod_that_asks_for_gpus_runs(cluster: AnyCluster, namespace: str) -> None:
    assert log_of_pod(cluster, namespace, "echo trained", gpus=1) == "trained\n"


def test_a_pod_that_asks_for_too_many_gpus_waits(cluster: AnyCluster, namespace: str) -> None:
    create_pod(cluster, namespace, "true", gpus=GPUS + 1)
    condition = 'jsonpath={.status.conditions[?(@.type=="PodScheduled")].reason}=Unschedulable'
    wait_for_pod(cluster, namespace, condition)


def test_a_pod_reaches_the_api_server_by_its_service(cluster: AnyCluster, namespace: str) -> None:
    address = "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/version"
    script = f"wget --no-check-certificate -q -O - {address}"
    assert "gitVersion" in json.loads(log_of_pod(cluster, namespace, script))


def test_another_user_has_only_the_rights_that_rbac_gives(own_cluster: Cluster) -> None:
    nobody = Access(own_cluster.kubeconfig_for("nobody-in-particular", ["nothing:special"]))
    with pytest.raises(ClusterError, match="forbidden"):
        nobody.kubectl("get", "pods")


def test_bringing_up_what_is_up_is_quick(own_cluster: Cluster) -> None:
    started = time.monotonic()
    own_cluster.start()
    assert time.monotonic() - started < 5


def test_the_kubelet_comes_back_with_the_gpus(own_cluster: Cluster, namespace: str) -> None:
    create_pod(own_cluster, namespace, "sleep 3; echo lived through it", gpus=1)
    wait_for_pod(own_cluster, namespace, "condition=Ready")
    own_cluster.stop_kubelet()
    own_cluster.start_kubelet()
    wait_for_pod(own_cluster, namespace, "jsonpath={.status.phase}=Succeeded")
    assert "lived" in own_cluster.kubectl("-n", namespace, "logs", "probe")
    (node,) = get(own_cluster, "nodes")["items"]
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == str(GPUS)


def test_the_api_server_comes_back_with_its_objects(own_cluster: Cluster, namespace: str) -> None:
    own_cluster.restart_apiserver()
    assert get(own_cluster, "namespace", namespace)["status"]["phase"] == "Active"


def test_a_control_plane_runs_beside_the_cluster(own_cluster: Cluster) -> None:
    with ControlPlane() as other:
        other.kubectl("create", "configmap", "kept")
        other.restart_apiserver()
        assert get(other, "configmap", "kept")["metadata"]["name"] == "kept"
        assert other.server != own_cluster.server
        folder = other.state
    assert not folder.exists()
