"""The chart on a real cluster: installed, upgraded and rolled back under a Study, removed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubestudy.runtime.client import JOBS, TRIALS
from tests.e2e.conftest import ENFORCE, INSTALL
from tests.support import helm as chart
from tests.support.kubectl import (
    CONTROLLER,
    Namespace,
    end_reason,
    finished,
    is_true,
    new_namespace,
)
from tests.support.recorder import Recorder
from tests.support.studies import study
from tests.support.waiting import until
from tests.testcluster import Access, ControlPlane

pytestmark = pytest.mark.timeout(420, func_only=True)

SYSTEM = chart.NAMESPACE
DASHBOARD = f"/api/v1/namespaces/{SYSTEM}/services/kubestudy-dashboard:http/proxy"
KINDS = (
    "deployments,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,"
    "configmaps,pods,validatingadmissionpolicies,validatingadmissionpolicybindings,"
    "customresourcedefinitions"
)


@pytest.fixture
def system(cluster: Access | ControlPlane, controller_image: str) -> Iterator[Namespace]:
    """An empty namespace for the release; what the plain manifests have installed is set aside."""
    plain = "kubestudy.dev" in cluster.kubectl("get", "crd", "-o", "name")
    if plain:
        cluster.kubectl("delete", "-f", INSTALL, "--ignore-not-found", "--timeout=120s")
    cluster.kubectl("create", "namespace", SYSTEM)
    cluster.kubectl("label", "namespace", SYSTEM, f"{ENFORCE}=restricted")
    yield Namespace(cluster.kubeconfig, SYSTEM)
    crds = ("crd", "studies.kubestudy.dev", "trials.kubestudy.dev")
    release = ("uninstall", "kubestudy", f"--namespace={SYSTEM}", "--ignore-not-found", "--wait")
    chart.helm(*release, kubeconfig=cluster.kubeconfig)
    cluster.kubectl("delete", *crds, "--ignore-not-found", "--timeout=120s")
    cluster.kubectl("delete", "namespace", SYSTEM, "--timeout=120s")
    if plain:
        cluster.kubectl("apply", "--server-side", "-f", INSTALL)
        cluster.kubectl("-n", SYSTEM, "rollout", "status", CONTROLLER, "--timeout=120s")


def first_command(said: str, kubeconfig: Path) -> None:
    """Runs the first command that the notes name, as a user would paste it."""
    command = next(line for line in said.splitlines() if line.startswith("  "))
    env = {**os.environ, "KUBECONFIG": str(kubeconfig)}
    subprocess.run(command, shell=True, check=True, env=env)


def labelled(system: Namespace) -> list[str]:
    """The names of all that bears the release's label, anywhere."""
    words = ("get", KINDS, "--all-namespaces", "-o", "name")
    return system.kubectl(*words, "--selector=app.kubernetes.io/instance=kubestudy").split()


def test_a_study_outlives_upgrade_rollback_and_uninstall(
    cluster: Access | ControlPlane, system: Namespace
) -> None:
    def helm(*words: str) -> str:
        options = (f"--namespace={SYSTEM}", "--timeout=150s")
        return chart.helm(*words, *options, kubeconfig=cluster.kubeconfig)

    said = helm("install", "kubestudy", str(chart.CHART), "--wait")
    first_command(said, cluster.kubeconfig)
    print(helm("test", "kubestudy"))

    with new_namespace(cluster, "helm") as place:
        cluster.kubectl("label", "namespace", place.name, f"{ENFORCE}=restricted")
        with Recorder(place, TRIALS) as trials, Recorder(place, JOBS) as jobs:
            command = ["sh", "-c", 'sleep 3; echo "accuracy=${1#--rate=}"', "sh"]
            trial = {"image": "localhost/busybox:1", "imagePullPolicy": "IfNotPresent"}
            rates = {"rate": list(range(1, 21))}
            budget = {"parallelism": 2}
            place.apply(study("lasting", rates, budget=budget, trial=trial | {"command": command}))
            place.wait_for_study("lasting", lambda s: finished(s) >= 2, "has begun")
            changed = ("replicas=2", "log.level=debug", "dashboard.enabled=true")
            helm(
                "upgrade", "kubestudy", str(chart.CHART), *(f"--set={c}" for c in changed), "--wait"
            )
            shown = cluster.kubectl("get", "--raw", f"{DASHBOARD}/api/studies")
            assert f"{place.name}/lasting" in shown or '"lasting"' in shown
            assert not is_true(place.study("lasting"), "Complete")
            helm("rollback", "kubestudy", "--wait")
            assert not is_true(place.study("lasting"), "Complete")
            done = place.wait_for_end("lasting", timeout=150)
        assert end_reason(done) == "SearchSpaceExhausted"
        assert done["status"]["progress"] == "20/20"
        assert sorted(trials.names) == sorted(f"lasting-{i}" for i in range(20))
        assert sorted(jobs.names) == sorted(f"lasting-{i}-0-0-0" for i in range(20))
        assert done["status"]["best"]["parameters"] == {"rate": 20}

        helm("uninstall", "kubestudy", "--wait")
        assert place.study("lasting")["status"] == done["status"]
        assert len(place.trials("lasting")) == 20
    until(lambda: labelled(system), lambda names: not names, what="nothing else is left")
    kept = system.kubectl("get", "crd", "-o", "name").split()
    assert {"studies.kubestudy.dev", "trials.kubestudy.dev"} <= {k.split("/")[1] for k in kept}
