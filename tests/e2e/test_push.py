"""Trials in pods push to the controller in its pod, through its Service and over TLS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubestudy.api.manifests import dump
from tests.e2e.conftest import INSTALL
from tests.support import helm as chart
from tests.support.kubectl import CONTROLLER, Namespace, condition, count
from tests.support.studies import study
from tests.support.waiting import until
from tests.testcluster import Access, ControlPlane
from tests.testcluster.certs import Authority

pytestmark = pytest.mark.timeout(420, func_only=True)

SYSTEM = ("-n", chart.NAMESPACE)
ROLLED_OUT = (*SYSTEM, "rollout", "status", CONTROLLER, "--timeout=120s")
SERVICE = "service/kubestudy-push"
CONTROLLERS = "--selector=app.kubernetes.io/component=controller"

# As transformers' KubeflowCallback posts, said again in a few lines.
PROGRAM = """
import json, os, ssl, sys, urllib.request
accuracy = 1 / (1 + float(sys.argv[1].removeprefix("--rate=")))
token = open(os.environ["KUBEFLOW_TRAINER_SERVER_TOKEN"], encoding="utf-8").read().strip()
trust = ssl.create_default_context(cafile=os.environ["KUBEFLOW_TRAINER_SERVER_CA_CERT"])
for progress, value in ((0, None), (50, accuracy / 2), (100, accuracy)):
    status = {"lastUpdatedTime": "2026-01-01T00:00:00+00:00", "progressPercentage": progress}
    if value is not None:
        status["metrics"] = [{"name": "accuracy", "value": str(value)}]
    request = urllib.request.Request(
        os.environ["KUBEFLOW_TRAINER_SERVER_URL"],
        data=json.dumps({"trainerStatus": status}).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="POST",
    )
    with urllib.request.urlopen(request, timeout=5, context=trust) as answer:
        assert answer.status in (200, 202)
"""


@pytest.fixture
def endpoint(
    cluster: Access | ControlPlane, controller: Namespace, tmp_path: Path
) -> Iterator[None]:
    """The controller as the chart installs it with `push.enabled` and `push.tlsSecret`."""

    def apply(*options: str) -> None:
        objects = chart.rendered("--set=push.enabled=true", *options)
        ours = [o for o in objects if o["kind"] in ("Deployment", "Service")]
        words = ("apply", "--server-side", "--force-conflicts", "-f", "-")
        cluster.kubectl(*words, stdin="---\n".join(map(dump, ours)))

    try:
        apply()
        address = cluster.kubectl(*SYSTEM, "get", SERVICE, "-o=jsonpath={.spec.clusterIP}")
        files = certificate(tmp_path, address)
        given = [f"--from-file={name}={path}" for name, path in files.items()]
        cluster.kubectl(*SYSTEM, "create", "secret", "generic", "push", *given)
        # By its address: this cluster may have no DNS.
        apply("--set=push.tlsSecret=push", f"--set=push.url=https://{address}:8090")
        cluster.kubectl(*ROLLED_OUT)
        # The one before leads until it has ended, and knows nothing of the certificate.
        until(
            lambda: cluster.kubectl(*SYSTEM, "get", "pods", CONTROLLERS, "-o=name").split(),
            lambda names: len(names) == 1,
            what="the controller before is gone",
            timeout=60,
        )
        yield
    finally:
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", INSTALL)
        cluster.kubectl(*SYSTEM, "delete", SERVICE, "secret/push", "--ignore-not-found")
        cluster.kubectl(*ROLLED_OUT)


def certificate(folder: Path, address: str) -> dict[str, Path]:
    """The files of a certificate for an address, as cert-manager names them."""
    authority = Authority(folder / "pki")
    authority.create()
    pair = authority.issue("push", "kubestudy-push", hosts=[address])
    trusted = authority.pair.certificate
    return {"tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": trusted}


@pytest.mark.usefixtures("endpoint")
def test_pods_push_over_tls(place: Namespace, controller_image: str) -> None:
    trial = {
        "image": controller_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", PROGRAM, "--rate=${parameters.rate}"],
    }
    place.apply(study("pushed", {"rate": [1, 2, 4]}, metrics=[{"type": "Push"}], trial=trial))
    done = place.wait_for_end("pushed", timeout=120)
    print(place.kubectl("get", "trials"))
    assert count(done, "succeeded") == 3
    for trial in place.trials("pushed"):
        accuracy = 1 / (1 + trial["spec"]["parameters"]["rate"])
        assert trial["status"]["objectives"] == [{"metric": "accuracy", "value": accuracy}]
        (told,) = trial["status"]["metrics"]
        assert (told["count"], told["min"]) == (2, accuracy / 2)
        assert not condition(trial, "ObservationsComplete")
    assert done["status"]["best"]["parameters"] == {"rate": 1}
