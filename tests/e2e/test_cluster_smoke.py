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


def run_pod(cluster: AnyCluster, namespace: str, script: str, **resources: str) -> str:
    """Runs a pod to its end and returns its log."""
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
                    "resources": {"limits": resources},
                }
            ],
        },
    }
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(pod))
    done = "--for=jsonpath={.status.phase}=Succeeded"
    cluster.kubectl("-n", namespace, "wait", done, "pod/probe", "--timeout=60s")
    return cluster.kubectl("-n", namespace, "logs", "probe")


def get(cluster: AnyCluster, *words: str) -> Any:
    return json.loads(cluster.kubectl("get", *words, "--output=json"))


def test_the_node_is_ready_with_its_gpus(cluster: AnyCluster) -> None:
    (node,) = get(cluster, "nodes")["items"]
    ready = {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"]
    assert ready == "True"
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == str(GPUS)


def test_a_pod_runs_and_its_log_is_read(cluster: AnyCluster, namespace: str) -> None:
    assert run_pod(cluster, namespace, "echo one; echo two >&2").split() == ["one", "two"]


def test_the_scheduler_counts_gpus(cluster: AnyCluster, namespace: str) -> None:
    run_pod(cluster, namespace, "true", **{"nvidia.com/gpu": str(GPUS)})
    with pytest.raises(ClusterError):
        cluster.kubectl("-n", namespace, "delete", "pod", "absent")
    cluster.kubectl("-n", namespace, "delete", "pod", "probe")
    with pytest.raises(ClusterError, match="timed out"):
        too_many = (
            '{"spec": {"containers": [{"name": "probe", "image": "localhost/busybox:1",'
            f'"resources": {{"limits": {{"nvidia.com/gpu": "{GPUS + 1}"}}}}}}]}}}}'
        )
        cluster.kubectl(
            "-n", namespace, "run", "probe", "--image=localhost/busybox:1",
            f"--overrides={too_many}",
        )  # fmt: skip
        cluster.kubectl(
            "-n", namespace, "wait", "--for=condition=PodScheduled", "pod/probe", "--timeout=3s"
        )


def test_a_pod_reaches_the_api_server_by_its_service(cluster: AnyCluster, namespace: str) -> None:
    # busybox has no TLS that checks certificates; that the port answers is the network's part.
    script = "nc -w 5 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null && echo reached"
    assert run_pod(cluster, namespace, script).strip() == "reached"


def test_another_user_has_only_the_rights_that_rbac_gives(own_cluster: Cluster) -> None:
    nobody = Access(own_cluster.kubeconfig_for("nobody-in-particular", ["nothing:special"]))
    with pytest.raises(ClusterError, match="forbidden"):
        nobody.kubectl("get", "pods")


def test_bringing_up_what_is_up_is_quick(own_cluster: Cluster) -> None:
    started = time.monotonic()
    own_cluster.start()
    assert time.monotonic() - started < 5


def test_a_control_plane_runs_beside_the_cluster(own_cluster: Cluster) -> None:
    with ControlPlane() as other:
        other.kubectl("create", "configmap", "kept")
        other.restart_apiserver()
        assert get(other, "configmap", "kept")["metadata"]["name"] == "kept"
        assert other.server != own_cluster.server
        folder = other.state
    assert not folder.exists()
