"""Studies on a real Prometheus alone, which scrapes their trials: real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from kubestudy.runtime.client import PODS, Object
from tests.support.controller_process import ControllerProcess
from tests.support.kubectl import Namespace, condition, count, is_true
from tests.support.kubelet import Ending, Kubelet
from tests.support.prometheus import (
    INTERVAL,
    PACKAGE,
    PrometheusServer,
    begin,
    free_port,
    start_trial,
)
from tests.support.studies import study
from tests.support.surroundings import give_up
from tests.testcluster import packages

pytestmark = pytest.mark.timeout(180)

RATES = {"learning_rate": [1e-5, 2e-5, 3e-5, 4e-5]}
ALONE = [{"type": "Prometheus"}]

# The value that counts is told at the very end: the endpoint lingers until it is scraped.
SCRIPT = """
from kubestudy_trial import outcome
with outcome():
    rate = parameters()["learning_rate"]
    report(step=1, accuracy=round(0.9 - rate * 1e4, 3))
    time.sleep(3)
    if rate > 3.5e-5:
        time.sleep(120)
    report(step=2, accuracy=round(0.5 + rate * 1e4, 3))
"""


class ScrapedKubelet(Kubelet):
    """Runs each pod as a process with the pod's variables, and lets Prometheus scrape it.

    No pod leaves a termination message, and there is no log.
    """

    def __init__(self, namespace: Namespace, server: PrometheusServer) -> None:
        super().__init__(namespace, lambda _p, _: Ending())
        self._server = server

    def _live(self, pod: Object) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        env = {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}
        port = free_port()  # The pods of this machine share its network.
        process = start_trial(SCRIPT, port, **env)
        try:
            self._server.scrape(name, port, namespace=namespace, pod=name)
            self._server.wait_until_scraped(port)
            started = now()
            self._tell(pod, {"phase": "Running"}, {"running": {"startedAt": started}})
            begin(process)
            while process.poll() is None:
                if self._stopping.wait(0.1) or not self._is_there(name):
                    return
        finally:
            process.kill()
            process.wait()
        terminated = {"exitCode": process.returncode, "startedAt": started, "finishedAt": now()}
        phase = "Failed" if process.returncode else "Succeeded"
        self._tell(pod, {"phase": phase}, {"terminated": terminated})

    def _is_there(self, name: str) -> bool:
        listed = self._client.list(PODS, self._namespace, fieldSelector=f"metadata.name={name}")[
            "items"
        ]
        return bool(listed) and not listed[0]["metadata"].get("deletionTimestamp")


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A real Prometheus."""
    if reason := packages.unavailable(PACKAGE):
        give_up(f"no Prometheus here: {reason}")
    with PrometheusServer(tmp_path_factory.mktemp("prometheus")) as server:
        yield server


@pytest.mark.usefixtures("rights_suffice")
def test_a_study_on_prometheus_alone_finds_the_best_and_stops_early(
    namespace: Namespace,
    server: PrometheusServer,
    start_controller: Callable[..., ControllerProcess],
) -> None:
    start_controller(
        "--no-leader-elect",
        f"--prometheus-url={server.url}",
        f"--prometheus-scrape-interval={INTERVAL}",
    ).wait_for_log("caches are in")
    stopping = {"type": "Threshold", "settings": {"lower": 0.55}}
    with ScrapedKubelet(namespace, server):
        namespace.apply(study("alone", RATES, metrics=ALONE, earlyStopping=stopping))
        done = namespace.wait_for_end("alone", timeout=150)
    trials = namespace.trials("alone")
    assert (count(done, "succeeded"), count(done, "stopped")) == (3, 1)
    assert condition(trials[3], "Stopped")["reason"] == "EarlyStopped"
    best = done["status"]["best"]
    assert best["parameters"] == {"learning_rate": 3e-5}
    assert [t["status"]["objectives"][0]["value"] for t in trials[:3]] == [0.6, 0.7, 0.8]
    (metric,) = trials[0]["status"]["metrics"]
    assert (metric["count"], metric["max"], metric["step"]) == (2, 0.8, 2)


def test_without_a_prometheus_the_study_is_refused(
    namespace: Namespace, controller: ControllerProcess
) -> None:
    namespace.apply(study("nowhere", RATES, metrics=ALONE))
    told = namespace.wait_for_study(
        "nowhere", lambda s: condition(s, "Accepted"), "is accepted or refused"
    )
    assert not is_true(told, "Accepted")
    assert "--prometheus-url" in condition(told, "Accepted")["message"]
    assert not namespace.trials("nowhere")
