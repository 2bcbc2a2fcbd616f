"""Containers that a webhook puts first into the pods of trials, as a service mesh does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubestudy.runtime.client import PODS, Object
from tests.support.injecting import injected
from tests.support.kubectl import Namespace, end_reason
from tests.support.recorder import Recorder
from tests.support.studies import study
from tests.support.waiting import until
from tests.testcluster import Cluster

pytestmark = pytest.mark.timeout(240, func_only=True)

# It lives as long as its pod, and what it prints and leaves looks like a trial's.
PROXY = {
    "name": "istio-proxy",
    "image": "localhost/busybox:1",
    "imagePullPolicy": "IfNotPresent",
    "command": ["sh", "-c"],
    "args": ["trap exit TERM; while :; do echo accuracy=0.01; sleep 0.2; done"],
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
SPACE = {"lr": [0.1, 0.2]}


@pytest.fixture
def mesh(own_cluster: Cluster, place: Namespace, tmp_path: Path) -> Iterator[Namespace]:
    """A namespace in which each new pod gets a proxy in front of its containers."""
    with injected(place, PROXY, tmp_path / "webhook"):
        yield place


def meshed(name: str, script: str, **trial: object) -> Object:
    command = ["sh", "-c", script, "sh"]
    image = {"image": "localhost/busybox:1", "imagePullPolicy": "IfNotPresent"}
    return study(name, SPACE, trial={**image, "command": command, **trial})


def test_a_proxy_in_front_is_not_taken_for_the_trial(mesh: Namespace) -> None:
    with Recorder(mesh, PODS) as pods:
        mesh.apply(meshed("meshed", 'sleep 2; echo "accuracy=${1#--lr=}"'))
        done = mesh.wait_for_end("meshed", timeout=120)
    names = [[c["name"] for c in pod["spec"]["containers"]] for pod in pods.made.values()]
    assert names == [["istio-proxy", "trial"]] * 2
    assert end_reason(done) == "SearchSpaceExhausted"
    values = [t["status"]["objectives"][0]["value"] for t in mesh.trials("meshed")]
    assert values == [0.1, 0.2]
    # Of each log one line was read, and not one of the proxy's.
    assert [t["status"]["metrics"][0]["count"] for t in mesh.trials("meshed")] == [1, 1]
    gone = "the pods are gone, although their proxies would live on"
    until(lambda: mesh.active_pods("meshed"), lambda names: not names, what=gone)


def test_the_end_that_is_told_is_that_of_the_trial_and_not_of_its_proxy(mesh: Namespace) -> None:
    mesh.apply(meshed("broken", "echo the tokenizer is missing; exit 64"))
    done = mesh.wait_for_end("broken", timeout=120)
    assert end_reason(done) == "TrialsFailed"
    for trial in mesh.trials("broken"):
        (run,) = trial["status"]["runs"]
        assert run["reason"] == "InvalidArgument"
        failed = next(c for c in trial["status"]["conditions"] if c["type"] == "Failed")
        assert "the tokenizer is missing" in failed["message"]


def test_the_log_that_a_person_reads_is_the_trials(mesh: Namespace) -> None:
    mesh.apply(meshed("chatty", "trap exit TERM; echo hello; while :; do sleep 0.2; done"))
    command = [sys.executable, "-m", "kubestudy.cli.main", "logs", "chatty-0", "-n", mesh.name]
    environment = {**os.environ, "KUBECONFIG": str(mesh.kubeconfig)}

    def log() -> str:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        ).stdout

    assert until(log, what="the trial's log can be read", timeout=90, every=0.5) == "hello\n"
    mesh.kubectl("delete", "study", "chatty")
