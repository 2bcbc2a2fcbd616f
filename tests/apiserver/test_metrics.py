"""What a working controller tells Prometheus, and what the chart's alerts and dashboard ask for."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.controller_process import ROOT, ControllerProcess
from tests.support.helm import CHART
from tests.support.kubectl import Namespace
from tests.support.kubelet import Ending, Kubelet
from tests.support.prometheus import PrometheusServer
from tests.support.studies import study
from tests.support.waiting import until
from tests.testcluster import packages

pytestmark = pytest.mark.timeout(180)

RATES = {"learning_rate": [1e-5, 2e-5, 3e-5]}
# What Prometheus itself, or prometheus_client, says of every process.
OTHERS = {"process_resident_memory_bytes"}
FUNCTIONS = {"or", "vector", "sum", "rate", "deriv", "histogram_quantile", "by", "on", "and", "le"}


def promtool(*words: str, stdin: str | None = None) -> str:
    packages.install({"prometheus": "promtool"})
    done = subprocess.run(
        ["promtool", *words], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def told(namespace: Namespace, controller: ControllerProcess) -> str:
    """The metrics of a controller that has run a Study."""

    def outcome(parameters: dict[str, Any], _: int) -> Ending:
        bad = parameters["learning_rate"] == 3e-5
        return Ending(0.5, exit_code=1 if bad else 0)

    with Kubelet(namespace, outcome):
        namespace.apply(study("told", RATES))
        namespace.wait_for_end("told")
    return until(
        controller.metrics, lambda text: 'state="Complete"} 1.0' in text, what="the end is told"
    )


def expressions() -> list[str]:
    rules = yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    found = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    dashboard = json.loads((CHART / "files/dashboard.json").read_text())
    found += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return found


def test_the_metrics_follow_the_naming_rules_and_are_those_that_are_asked_for(told: str) -> None:
    assert promtool("check", "metrics", stdin=told).strip() == ""
    ours = set(re.findall(r"(?m)^(kubestudy_\w+)", told))
    for expression in expressions():
        plain = re.sub(r"\{[^}]*\}|\[[^]]*\]|\([a-z, ]+\)", "", expression)
        asked = set(re.findall(r"\b[a-z_]{3,}\b", plain)) - FUNCTIONS - OTHERS
        assert asked, expression
        assert asked <= ours, f"{asked - ours} of {expression}"


def test_each_metric_is_documented(told: str) -> None:
    documented = re.findall(
        r"(?m)^\| `(kubestudy_\w+)", (ROOT / "docs/observability.md").read_text()
    )
    declared = re.findall(r"(?m)^# TYPE (kubestudy_\w+) (?:gauge|counter|histogram)$", told)
    assert {name for name in declared if not name.endswith("_created")} == set(documented)


def test_what_became_of_trials_is_told_without_their_names(told: str) -> None:
    assert 'kubestudy_trials_finished_total{outcome="Succeeded"} 2.0' in told
    assert 'kubestudy_trials_finished_total{outcome="Failed"} 1.0' in told
    assert 'kubestudy_trial_duration_seconds_count{outcome="Succeeded"} 2.0' in told
    assert "told-0" not in told


def test_a_real_prometheus_draws_the_panels_and_raises_the_alarm(
    told: str, controller: ControllerProcess, tmp_path: Path
) -> None:
    dashboard = json.loads((CHART / "files/dashboard.json").read_text())
    panels = [
        (panel["title"], target["expr"].replace("$namespace", ".*"))
        for panel in dashboard["panels"]
        for target in panel["targets"]
        if panel["title"] != "Requests that failed"  # there are none
    ]
    rules = yaml.safe_load((CHART / "files/alerts.yaml").read_text())
    alerts = {rule["alert"]: rule["expr"] for g in rules["groups"] for rule in g["rules"]}
    with PrometheusServer(tmp_path) as prometheus:
        prometheus.scrape("controller", controller.port)
        prometheus.wait_until_scraped(controller.port)
        for title, expression in panels:
            # A rate takes two scrapes.
            found = until(lambda e=expression: prometheus.query(e), what=f"panel {title} has data")
            assert found, title
        for name, expression in alerts.items():
            assert prometheus.query(expression) == [], name
        controller.kill()
        gone = alerts["KubestudyHasNoLeader"]
        until(lambda: prometheus.query(gone), what="the controller is missed", timeout=30)


def test_promtool_understands_the_rules_and_the_dashboard(tmp_path: Path) -> None:
    promtool("check", "rules", str(CHART / "files/alerts.yaml"))
    filled = [e.replace("$namespace", ".*") for e in expressions()]
    rules = [{"record": f"panel:{i}", "expr": e} for i, e in enumerate(filled)]
    as_rules = tmp_path / "dashboard.yaml"
    as_rules.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(as_rules))
