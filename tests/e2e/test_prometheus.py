"""Studies on Prometheus alone: a real one scrapes real pods, whose logs say nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubestudy.runtime.client import Object
from tests.e2e.conftest import ENFORCE
from tests.support.controller_process import ROOT
from tests.support.kubectl import CONTROLLER, Namespace, condition, count, new_namespace
from tests.support.pod_discovery import PodDiscovery
from tests.support.prometheus import INTERVAL, PACKAGE, PrometheusServer
from tests.support.studies import study
from tests.support.surroundings import give_up
from tests.testcluster import Access, Cluster, ControlPlane, network, packages

pytestmark = pytest.mark.timeout(300, func_only=True)

ALONE = [{"type": "Prometheus"}]

LIBRARY = """
import os, sys, time
from kubestudy_trial import outcome, parameters, report
"""
MUTED = """
sys.stdout = open(os.devnull, "w")
os.environ["KUBESTUDY_TERMINATION_LOG"] = "/nowhere/message"
"""
# The value that counts is told just before the end.
JUMPS = """
with outcome():
    loss = abs(parameters()["rate"] - 0.3)
    for step in (1, 2, 3):
        report(step=step, accuracy=round(0.5 - loss, 6))
        time.sleep(0.7)
    report(step=4, accuracy=round(1 - loss, 6))
"""
# What is poor never ends by itself.
POOR_STAYS = """
with outcome():
    accuracy = parameters()["accuracy"]
    for epoch in (1, 2, 3, 4):
        report(epoch=epoch, accuracy=accuracy)
        time.sleep(600 if accuracy < 0.5 and epoch == LAST else 1.5)
"""
# Programs of one's own, without the library.
OWN = """
import json, os, signal, sys, time
from prometheus_client import Gauge, start_http_server
parameters = json.loads(os.environ["KUBESTUDY_PARAMETERS"])
port = int(os.environ["KUBESTUDY_METRICS_PORT"])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
"""
OWN_RUNGS = """
accuracy, epoch = Gauge("accuracy", "Of the model."), Gauge("epoch", "Of the training.")
accuracy.set(parameters["accuracy"])
start_http_server(port)
for number in (1, 2, 3, 4):
    epoch.set(number)
    time.sleep(600 if parameters["accuracy"] < 0.5 else 4)
time.sleep(4)
"""
CASES = """
case = parameters["case"]
if case == "several":
    parts = Gauge("accuracy", "Of a part.", ["part"])
    parts.labels("left").set(0.8)
    parts.labels("right").set(0.8)
elif case != "absent":
    Gauge("accuracy", "Of the whole.").set(float(case))
start_http_server(port)
time.sleep(15)
"""


@pytest.fixture(scope="module")
def place(
    cluster: Access | ControlPlane,
    controller: Namespace,
    controller_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Namespace]:
    """A namespace with all Studies of this file, which run side by side to save time.

    Prometheus scrapes their pods as the documentation says, and the controller in its pod is told
    where it is.
    """
    if not isinstance(cluster, Cluster):
        pytest.skip("needs the cluster of tests/testcluster, whose pods reach this machine")
    if reason := packages.unavailable(PACKAGE):
        give_up(f"no Prometheus here: {reason}")
    folder = tmp_path_factory.mktemp("prometheus")
    with new_namespace(cluster, "prometheus") as place:
        cluster.kubectl("label", "namespace", place.name, f"{ENFORCE}=restricted")
        found = folder / "targets" / "pods.json"
        config = documented_config(found)
        with (
            PrometheusServer(folder, config, network.NODE_ADDRESS) as server,
            PodDiscovery(place, found),
        ):
            library = f"--from-file={ROOT / 'trial_image/kubestudy_trial'}"
            place.kubectl("create", "configmap", "library", library)
            try:
                tell(controller, f"URL={server.url}", f"SCRAPE_INTERVAL={INTERVAL}")
                for manifest in studies(controller_image):
                    place.apply(manifest)
                yield place
            finally:
                tell(controller, "URL-", "SCRAPE_INTERVAL-")


def documented_config(found: Path) -> str:
    """The configuration of Prometheus in the documentation, which learns of pods by a file."""
    text = (ROOT / "docs/metrics.md").read_text()
    (documented,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", text, re.DOTALL)
    config = yaml.safe_load(documented)
    (job,) = config["scrape_configs"]
    job["scrape_interval"] = job["scrape_timeout"] = f"{INTERVAL}s"
    assert job.pop("kubernetes_sd_configs") == [{"role": "pod"}]
    job["file_sd_configs"] = [{"files": [str(found)]}]
    return json.dumps(config)


def tell(controller: Namespace, *variables: str) -> None:
    """Sets variables of the controller, or removes them, and waits until it goes by them."""
    names = [f"KUBESTUDY_PROMETHEUS_{v}" for v in variables]
    controller.kubectl("set", "env", CONTROLLER, *names)
    controller.kubectl("rollout", "status", CONTROLLER, "--timeout=120s")


def studies(image: str) -> Iterator[Object]:
    """The Studies of this file; the first one, on logs, is what the second should be like."""

    def trial(program: str) -> Object:
        mount = {"name": "library", "mountPath": "/library/kubestudy_trial"}
        container = {
            "name": "trial",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-c", program],
            "env": [{"name": "PYTHONPATH", "value": "/library"}],
            "volumeMounts": [mount],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        pod = {
            "containers": [container],
            "volumes": [{"name": "library", "configMap": {"name": "library"}}],
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
        return {"template": {"spec": pod}}

    search: dict[str, Any] = {
        "algorithm": {"type": "TPE", "seed": 7, "settings": {"startupTrials": 1}},
        "budget": {"parallelism": 1, "maxTrials": 3},
    }
    yield ranging("rate", "logged", **search, trial=trial(LIBRARY + JUMPS))
    yield ranging("rate", "scraped", **search, trial=trial(LIBRARY + MUTED + JUMPS), metrics=ALONE)
    yield study(
        "stopped",
        {"accuracy": [0.8, 0.9, 0.1, 0.95]},
        metrics=ALONE,
        budget={"parallelism": 2},
        earlyStopping={"type": "Median", "settings": {"startupTrials": 2}},
        trial=trial(LIBRARY + MUTED + POOR_STAYS.replace("LAST", "4")),
    )
    rungs: dict[str, Any] = {
        "initialTrials": [{"accuracy": value} for value in (0.9, 0.8, 0.2, 0.1)],
        "algorithm": {"type": "ASHA", "resource": {"name": "epochs", "max": 4, "eta": 2}},
        "budget": {"parallelism": 2, "maxTrials": 4},
    }
    by_library = trial(LIBRARY + MUTED + POOR_STAYS.replace("LAST", "1"))
    yield ranging("accuracy", "rungs", **rungs, metrics=ALONE, trial=by_library)
    both = [{"type": "Prometheus", "query": '{__name__=~"accuracy|epoch"}'}]
    yield ranging("accuracy", "own-rungs", **rungs, metrics=both, trial=trial(OWN + OWN_RUNGS))
    yield study(
        "cases",
        {"case": ["0.9", "nan", "several", "absent"]},
        metrics=[{"type": "Prometheus", "query": "accuracy"}],
        trial=trial(OWN + CASES),
    )


def ranging(parameter: str, name: str, **spec: Any) -> Object:
    """A Study over one parameter between 0 and 1."""
    manifest = study(name, **spec)
    manifest["spec"]["parameters"] = [{"name": parameter, "min": 0.0, "max": 1.0}]
    return manifest


def course(trial: Object) -> tuple[Any, Any, Any, Any]:
    """What became of a trial: its parameters, its value, and where the metric ended."""
    (metric,) = trial["status"]["metrics"]
    (objective,) = trial["status"]["objectives"]
    return trial["spec"]["parameters"], objective["value"], metric["latest"], metric["step"]


def test_the_search_is_the_same_as_on_logs(place: Namespace) -> None:
    scraped = place.wait_for_end("scraped", timeout=150)
    logged = place.wait_for_end("logged")
    pods = place.pods("scraped")
    print(place.kubectl("get", "studies,trials,pods"))
    assert len(pods) == 3
    for pod in pods:
        assert place.kubectl("logs", pod["metadata"]["name"]) == ""
        (container,) = pod["status"]["containerStatuses"]
        assert "message" not in container["state"]["terminated"]

    mine, theirs = place.trials("scraped"), place.trials("logged")
    assert [course(t) for t in mine] == [course(t) for t in theirs]
    for trial in mine:
        parameters, value, latest, step = course(trial)
        assert value == latest == round(1 - abs(parameters["rate"] - 0.3), 6)
        assert step == 4
    best = max(mine, key=lambda t: course(t)[1])["spec"]["parameters"]
    for done in (scraped, logged):
        assert count(done, "succeeded") == 3
        assert done["status"]["best"]["parameters"] == best
    seen, printed = ([t["status"]["metrics"][0]["count"] for t in of] for of in (mine, theirs))
    assert printed == [4] * 3
    assert all(1 <= number <= 4 for number in seen), "none counts twice, however often scraped"


def test_a_poor_trial_is_stopped_early(place: Namespace) -> None:
    done = place.wait_for_end("stopped", timeout=150)
    trials = place.trials("stopped")
    assert (count(done, "succeeded"), count(done, "stopped")) == (3, 1)
    assert condition(trials[2], "Stopped")["reason"] == "EarlyStopped"
    assert "is worse than the median" in condition(trials[2], "Stopped")["message"]
    assert done["status"]["best"]["parameters"] == {"accuracy": 0.95}


@pytest.mark.parametrize("name", ["rungs", "own-rungs"])
def test_rungs_are_seen_and_decide(place: Namespace, name: str) -> None:
    done = place.wait_for_end(name, timeout=150)
    trials = place.trials(name)
    for trial in trials:
        value = trial["spec"]["parameters"]["accuracy"]
        assert {rung["value"] for rung in trial["status"]["rungs"]} == {value}
    best, *_ = trials
    assert [rung["resource"] for rung in best["status"]["rungs"]] == [1, 2, 4]
    assert done["status"]["best"]["parameters"] == {"accuracy": 0.9}
    for poor in trials[2:]:
        assert condition(poor, "Stopped")["reason"] == "Pruned"
        assert [rung["resource"] for rung in poor["status"]["rungs"]] == [1]


def test_what_is_no_value_is_told(place: Namespace) -> None:
    place.wait_for_end("cases", timeout=150)
    one, nan, several, absent = place.trials("cases")
    assert one["status"]["objectives"][0]["value"] == 0.9
    told = [condition(trial, "Failed") for trial in (nan, several, absent)]
    assert [c["reason"] for c in told] == ["Diverged", "MetricMissing", "MetricMissing"]
    assert "metric accuracy was nan" in told[0]["message"]
    assert "several series of accuracy" in told[1]["message"]
    assert "no such series of this pod" in told[2]["message"]
