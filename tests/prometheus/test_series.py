"""Trials' metrics as a real Prometheus has them, scraped from real processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from kubestudy.core.reports import RunReport
from kubestudy.runtime.cache import Cache
from kubestudy.runtime.client import Object
from kubestudy.runtime.prometheus import Prometheus, PrometheusSettings
from kubestudy.runtime.series import SeriesCollector
from tests.support.prometheus import INTERVAL, PrometheusServer, begin, free_port, start_trial
from tests.support.waiting import until
from tests.unit.build import study

pytestmark = pytest.mark.timeout(60)

# What a trial has said is on its page for at least one scrape.
SEEN = f"time.sleep({1.6 * INTERVAL})"
RISING = f"""
for step in range(3):
    report(step=step, accuracy=step / 10, loss=1 - step / 10)
    {SEEN}
report(step=3, accuracy=0.9)
"""
OUTCOME = '{"reason": "Completed", "message": "as told", "metrics": {"accuracy": {"latest": 0.1}}}'


class Pods:
    """Pods as the API server would show them, read by a collector that runs."""

    def __init__(self, server: PrometheusServer, **source: str) -> None:
        resource = {"name": "max_steps", "max": 3}
        algorithm = {"type": "ASHA", "resource": resource}
        self.study = study(metrics=[{"type": "Prometheus", **source}], algorithm=algorithm)
        self._cache: Cache[Object] = Cache(lambda o: o, lambda _: ("team", "demo"))
        self.told = threading.Event()
        self.collector = SeriesCollector(
            Prometheus(PrometheusSettings(server.url, scrape_interval=INTERVAL)),
            INTERVAL,
            lambda _: self.study,
            self._cache,
            lambda _: True,
            lambda *_: self.told.set(),
        )
        self.collector.start()

    def show(self, name: str, state: Object, *beside: Object) -> None:
        """Shows a pod with its container in a state, and with others that a webhook put first."""
        others = [{"name": f"proxy-{i}", "state": proxy} for i, proxy in enumerate(beside)]
        pod = {
            "metadata": {
                "namespace": "team",
                "name": name,
                "uid": name,
                "resourceVersion": str(time.monotonic_ns()),
                "annotations": {"kubestudy.dev/study": "demo"},
            },
            "spec": {"containers": [{"name": c["name"]} for c in others] + [{"name": "trial"}]},
            "status": {
                "phase": "Running" if "running" in state or others else "Succeeded",
                "containerStatuses": [*others, {"name": "trial", "state": state}],
            },
        }
        self._cache.put(pod)
        self.collector.pod_changed(pod)

    def read_to_the_end(self, name: str) -> RunReport:
        """Waits until everything of a pod that has ended is read."""

        def complete() -> RunReport | None:
            report = self.collector.report(name)
            return report if report and report.complete else None

        return until(complete, what=f"{name} is read to its end", timeout=30)


@pytest.fixture
def pods(server: PrometheusServer) -> Iterator[Callable[..., Pods]]:
    made: list[Pods] = []

    def make(**source: str) -> Pods:
        made.append(Pods(server, **source))
        return made[-1]

    yield make
    for one in made:
        one.collector.stop()


@contextmanager
def running(server: PrometheusServer, pods: Pods, name: str, script: str) -> Iterator[str]:
    """A trial that runs to its end within the block; the pod is shown from begin to end."""
    port = free_port()
    started = now()
    server.scrape(name, port, namespace="team", pod=name)
    process = start_trial(script, port, linger=1.6 * INTERVAL)
    server.wait_until_scraped(port)
    begin(process)
    pods.show(name, {"running": {"startedAt": started}})
    try:
        yield name
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.wait()
    ended = {"startedAt": started, "finishedAt": now(), "exitCode": 0, "message": OUTCOME}
    pods.show(name, {"terminated": ended})


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def values(report: RunReport) -> dict[str, Any]:
    return {n: (t.latest, t.step, t.count) for n, t in report.metrics.items()}


def test_each_report_counts_once_and_the_last_before_the_exit_counts(
    server: PrometheusServer, pods: Callable[..., Pods]
) -> None:
    mine = pods()
    with running(server, mine, "rising", RISING) as pod:
        assert mine.told.wait(30), "news while the trial runs"
        first = mine.collector.report(pod)
        assert first is not None
        assert not first.complete
    report = mine.read_to_the_end(pod)
    assert values(report) == {"accuracy": (0.9, 3, 4), "loss": (0.8, 2, 3)}
    assert [(p.step, p.value) for p in report.curve] == [(0, 0), (1, 0.1), (2, 0.2), (3, 0.9)]
    assert {level: track.latest for level, track in report.rungs.items()} == {1: 0.1, 3: 0.9}
    assert report.exit_message == "as told"
    assert report.hint is None
    # A controller that is started again reads the same of the pod's whole life.
    again = pods()
    ended = {"startedAt": now(), "finishedAt": now(), "exitCode": 0}
    ended["startedAt"] = datetime.fromtimestamp(time.time() - 40, UTC).strftime("%FT%TZ")
    again.show(pod, {"terminated": ended})
    assert again.read_to_the_end(pod).curve == report.curve


def test_a_query_sees_its_own_pod_only(server: PrometheusServer, pods: Callable[..., Pods]) -> None:
    mine = pods(query='max(max_over_time(kubestudy_trial_metric{metric="accuracy"}[1m])) * 100')
    script = f"report(accuracy=VALUE)\n{SEEN}"
    with (
        running(server, mine, "low", script.replace("VALUE", "0.25")) as low,
        running(server, mine, "high", script.replace("VALUE", "0.75")) as high,
    ):
        pass
    assert mine.read_to_the_end(low).metrics["accuracy"].max == 25
    assert mine.read_to_the_end(high).metrics["accuracy"].max == 75


def test_several_series_of_a_metric_are_told_and_none_counts(
    server: PrometheusServer, pods: Callable[..., Pods]
) -> None:
    mine = pods()
    port = free_port()
    server.scrape("second-of-twice", port, namespace="team", pod="twice", container="other")
    other = start_trial("report(accuracy=0.1)", port, linger=30)
    begin(other)
    try:
        with running(server, mine, "twice", f"report(accuracy=0.2)\n{SEEN}") as pod:
            pass
        report = mine.read_to_the_end(pod)
    finally:
        other.kill()
        other.wait()
    assert "accuracy" not in report.metrics
    assert report.hint is not None
    assert "several series of accuracy" in report.hint


def test_a_pod_that_is_not_scraped_has_no_value(pods: Callable[..., Pods]) -> None:
    mine = pods()
    mine.show("unseen", {"terminated": {"startedAt": now(), "finishedAt": now(), "exitCode": 0}})
    report = mine.read_to_the_end("unseen")
    assert not report.metrics
    assert report.hint == "Prometheus has no such series of this pod; is it scraped?"


def test_a_pod_that_says_nothing_of_its_end_is_read_all_the_same(pods: Callable[..., Pods]) -> None:
    mine = pods()
    mine.show("evicted", {})
    assert not mine.read_to_the_end("evicted").metrics


def test_a_proxy_that_lives_on_does_not_keep_the_series_open(pods: Callable[..., Pods]) -> None:
    mine = pods()
    ended = {"terminated": {"startedAt": now(), "finishedAt": now(), "exitCode": 0}}
    mine.show("meshed", ended, {"running": {"startedAt": now()}})
    assert mine.read_to_the_end("meshed").hint is not None


def test_a_query_that_prometheus_refuses_is_told(pods: Callable[..., Pods]) -> None:
    mine = pods(query='accuracy{a=~"("}')
    mine.show("refused", {"terminated": {"startedAt": now(), "finishedAt": now(), "exitCode": 0}})
    report = mine.read_to_the_end("refused")
    assert report.hint is not None
    assert "Prometheus answers 400" in report.hint
    assert "missing closing )" in report.hint
