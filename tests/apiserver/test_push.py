"""Trials that push, against the controller's own endpoint and a real API server."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kubestudy.runtime.client import Object
from tests.support.controller_process import ROOT, ControllerProcess
from tests.support.fault_proxy import FaultProxy
from tests.support.kubectl import Namespace, condition, count, is_true
from tests.support.prometheus import free_port
from tests.support.pushing import Container, Program, PushingKubelet, post
from tests.support.studies import study
from tests.support.surroundings import give_up
from tests.support.waiting import until
from tests.testcluster import ControlPlane

pytestmark = pytest.mark.timeout(180)

PUSH = [{"type": "Push"}]
RATES = {"learning_rate": [1e-5, 2e-5, 3e-5]}
TRAINER = ROOT / "tests/support/plain_trainer.py"


@pytest.fixture
def pushing(
    start_controller: Callable[..., ControllerProcess],
) -> Callable[..., ControllerProcess]:
    """Starts a controller with an endpoint; trials are told the port of another one if so asked."""

    def start(*options: str, told: int = 0, kubeconfig: Path | None = None) -> ControllerProcess:
        port = free_port()
        endpoint = (f"--push-port={port}", f"--push-url=http://127.0.0.1:{told or port}")
        options = options or ("--no-leader-elect",)
        process = start_controller(*endpoint, *options, kubeconfig=kubeconfig)
        process.wait_for_log("posts are taken on port")
        return process

    return start


@pytest.fixture
def run_pods(namespace: Namespace, tmp_path: Path) -> Iterator[Callable[[Program], None]]:
    """Runs a program in each pod of the test's namespace."""
    kubelets: list[PushingKubelet] = []

    def run(program: Program) -> None:
        kubelets.append(PushingKubelet(namespace, tmp_path, program))
        kubelets[-1].__enter__()

    yield run
    for kubelet in kubelets:
        kubelet.__exit__(None, None, None)


def pushed_port(controller: ControllerProcess) -> int:
    found = re.search(r"posts are taken on port (\d+)", controller.log)
    assert found
    return int(found[1])


def metric(trial: Object, name: str) -> Object:
    (found,) = [m for m in trial["status"]["metrics"] if m["metric"] == name]
    return found


# The Trainer itself.


@pytest.fixture
def python_with_transformers() -> str:
    """The trial's Python, which is the first one where `make` runs the tests."""
    python = shutil.which("python") or "python"
    look = "import importlib.util as u, sys; sys.exit(not u.find_spec('transformers'))"
    if subprocess.run([python, "-c", look], check=False).returncode:
        give_up("no transformers here: put .venv-trial/bin first on the PATH")
    if not (ROOT / "data/minilm").is_dir():
        give_up("no example data here: python3 manifests/examples/prepare_data.py data")
    return python


@pytest.mark.usefixtures("rights_suffice")
def test_an_unmodified_trainer_script_is_a_trial(
    namespace: Namespace,
    pushing: Callable[..., ControllerProcess],
    run_pods: Callable[[Program], None],
    python_with_transformers: str,
    tmp_path: Path,
) -> None:
    assert "kubestudy" not in TRAINER.read_text().replace("nothing of kubestudy", "")
    logs: list[str] = []

    def train(container: Container) -> int:
        callback = {k: v for k, v in container.env.items() if k.startswith("KUBEFLOW_")}
        few = {"OMP_NUM_THREADS": "1", "HF_DATASETS_CACHE": str(tmp_path / "datasets")}
        done = subprocess.run(
            [python_with_transformers, str(TRAINER), *container.args],
            env={"PATH": os.environ["PATH"], "DATA": str(ROOT / "data"), **few, **callback},
            capture_output=True,
            text=True,
            check=False,
        )
        logs.append(done.stdout + done.stderr)
        return done.returncode

    pushing()
    run_pods(train)
    objectives = [{"metric": "eval_accuracy", "direction": "Maximize"}]
    args = [f"--output_dir={tmp_path}/out", "--eval_strategy=epoch", "--save_strategy=no"]
    args += ["--num_train_epochs=2", "--per_device_train_batch_size=16"]
    trial = {"image": "localhost/busybox:1", "args": args}
    rates = {"learning_rate": [2e-3]}
    namespace.apply(study("plain", rates, metrics=PUSH, objectives=objectives, trial=trial))
    done = namespace.wait_for_end("plain", timeout=150)
    assert count(done, "succeeded") == 1, logs
    (found,) = namespace.trials("plain")
    accuracy = metric(found, "eval_accuracy")
    # What the Trainer prints is rounded to four digits; what it pushes is not.
    printed = [float(v) for v in re.findall(r"'eval_accuracy': '([\d.]+)'", logs[0])]
    assert len(printed) == 2, logs
    assert accuracy["latest"] == pytest.approx(printed[-1], rel=1e-3)
    assert accuracy["latest"] * 60 == pytest.approx(round(accuracy["latest"] * 60)), "of 60 texts"
    assert accuracy["step"] == 2, "the epoch of the last evaluation"
    assert found["status"]["objectives"][0]["value"] == accuracy["latest"]
    assert metric(found, "train_loss")["latest"] > 0
    assert not condition(found, "ObservationsComplete")
    assert done["status"]["best"]["objectives"][0]["value"] == accuracy["latest"]


# What is pushed, and by whom.


@pytest.mark.usefixtures("rights_suffice")
def test_each_trial_is_known_by_its_own_token_and_by_no_other(
    namespace: Namespace,
    pushing: Callable[..., ControllerProcess],
    run_pods: Callable[[Program], None],
) -> None:
    running: dict[float, Container] = {}
    go_on = threading.Event()

    def train(container: Container) -> int:
        rate = container.parameters["learning_rate"]
        running[rate] = container
        if not go_on.wait(60):
            return 1
        assert container.push(0, total_steps=4) == 200
        accuracy = float("nan") if rate == 3e-5 else 0.1 + rate / 3
        assert container.push(100, accuracy=accuracy, epoch=1.0) == 200
        return 0

    controller = pushing()
    run_pods(train)
    namespace.apply(study("pushed", RATES, metrics=PUSH))
    until(lambda: len(running), lambda n: n == 3, what="all trials run")
    one, other = running[1e-5], running[2e-5]
    assert one.token != other.token
    report = json.dumps(
        {"trainerStatus": {"metrics": [{"name": "accuracy", "value": "0.99"}]}}
    ).encode()
    nobodys = one.url.replace("/pushed-", "/pulled-")
    tries = [
        (one.url, None, report, 401),
        (one.url, "", report, 401),
        (one.url, "guessed", report, 401),
        (one.url, "t\u00f6ken".encode().decode("latin-1"), report, 401),
        (one.url, other.token, report, 401),
        (nobodys, one.token, report, 401),
        (one.url.replace(f"/{namespace.name}/", "/kube-system/"), one.token, report, 401),
        (one.url.replace("/runs/", "/../runs/"), one.token, report, 404),
        (one.url + "/more", one.token, report, 404),
        (one.url, one.token, b"x" * (64 * 1024 + 1), 413),
        (one.url, one.token, b"{garbage", 400),
        (one.url, one.token, b'{"trainerStatus": 1}', 400),
    ]
    for url, token, body, status in tries:
        assert post(url, token, body) == status, (url, token, body[:100])
    go_on.set()
    done = namespace.wait_for_end("pushed")
    assert (count(done, "succeeded"), count(done, "failed")) == (2, 1)
    trials = namespace.trials("pushed")
    values = [t["status"]["objectives"][0]["value"] for t in trials[:2]]
    assert values == [0.1 + 1e-5 / 3, 0.1 + 2e-5 / 3], "as they were measured, and nobody's else"
    assert metric(trials[0], "accuracy")["count"] == 1
    assert condition(trials[2], "Failed")["reason"] == "Diverged"
    assert one.token not in controller.log
    assert 'kubestudy_pushes_total{code="401"} 7.0' in controller.metrics()


def test_a_trial_is_stopped_early_by_what_it_pushes(
    namespace: Namespace,
    pushing: Callable[..., ControllerProcess],
    run_pods: Callable[[Program], None],
) -> None:
    over = threading.Event()

    def train(container: Container) -> int:
        accuracy = 1 - container.parameters["learning_rate"] * 3e4
        assert container.push(50, accuracy=accuracy, epoch=1.0) == 200
        if accuracy < 0.5:
            over.wait(60)
        else:
            assert container.push(100, accuracy=accuracy, epoch=1.0) == 200
        return 0

    pushing()
    run_pods(train)
    stopping = {"type": "Threshold", "settings": {"lower": 0.5}}
    namespace.apply(study("early", RATES, metrics=PUSH, earlyStopping=stopping))
    done = namespace.wait_for_end("early")
    over.set()
    assert (count(done, "succeeded"), count(done, "stopped")) == (1, 2)
    assert condition(namespace.trials("early")[1], "Stopped")["reason"] == "EarlyStopped"


def test_the_end_of_a_push_that_was_not_seen_is_told(
    namespace: Namespace,
    pushing: Callable[..., ControllerProcess],
    run_pods: Callable[[Program], None],
) -> None:
    def train(container: Container) -> int:
        rate = container.parameters["learning_rate"]
        if rate > 1e-5:
            container.push(50, accuracy=0.5, epoch=1.0)
        return 0 if rate < 3e-5 else 1

    pushing()
    run_pods(train)
    namespace.apply(study("cut", RATES, metrics=PUSH))
    done = namespace.wait_for_end("cut")
    assert (count(done, "succeeded"), count(done, "failed")) == (1, 2)
    silent, cut_off, failed = namespace.trials("cut")
    told = condition(silent, "Failed")
    assert told["reason"] == "MetricMissing"
    assert "nothing was pushed" in told["message"]
    assert cut_off["status"]["objectives"][0]["value"] == 0.5
    assert "last push" in condition(cut_off, "ObservationsComplete")["message"]
    assert not condition(failed, "ObservationsComplete"), "who fails need not say goodbye"


# What happens to the controller meanwhile.


def test_what_was_pushed_outlives_the_controller(
    namespace: Namespace,
    pushing: Callable[..., ControllerProcess],
    run_pods: Callable[[Program], None],
) -> None:
    running: list[ControllerProcess] = []

    def train(container: Container) -> int:
        assert container.push(40, accuracy=0.9, epoch=1.0) == 200
        assert container.push(100, accuracy=0.7, epoch=2.0) == 200
        running[0].kill()
        return 0

    running.append(pushing())
    run_pods(train)
    namespace.apply(study("killed", {"learning_rate": [1e-5]}, metrics=PUSH))
    until(lambda: running[0].running, lambda is_so: not is_so, what="the controller is killed")
    running[0].start()
    namespace.wait_for_end("killed")
    (trial,) = namespace.trials("killed")
    accuracy = metric(trial, "accuracy")
    assert (accuracy["latest"], accuracy["max"], accuracy["count"]) == (0.7, 0.9, 2)
    assert [p["value"] for p in trial["status"]["curve"]] == [0.9, 0.7]
    assert not condition(trial, "ObservationsComplete")


def test_what_waits_to_be_stored_is_stored_by_a_controller_that_stops(
    namespace: Namespace,
    pushing: Callable[..., ControllerProcess],
    run_pods: Callable[[Program], None],
) -> None:
    running: list[ControllerProcess] = []
    go_on = threading.Event()

    def train(container: Container) -> int:
        assert container.push(40, accuracy=0.8, epoch=1.0) == 200
        assert container.push(60, accuracy=0.9, epoch=2.0) == 202
        running[0].signal(signal.SIGTERM)
        assert go_on.wait(60)
        assert container.push(100, accuracy=0.85, epoch=3.0) == 200
        return 0

    running.append(pushing())
    run_pods(train)
    namespace.apply(study("stopped", {"learning_rate": [1e-5]}, metrics=PUSH))
    until(lambda: running[0].running, lambda is_so: not is_so, what="the controller has stopped")
    running[0].start()
    running[0].wait_for_log("caches are in")
    go_on.set()
    namespace.wait_for_end("stopped")
    (trial,) = namespace.trials("stopped")
    accuracy = metric(trial, "accuracy")
    assert (accuracy["latest"], accuracy["max"], accuracy["count"]) == (0.85, 0.9, 3)


def test_a_standby_takes_posts_and_the_leader_decides_by_them(
    namespace: Namespace,
    pushing: Callable[..., ControllerProcess],
    run_pods: Callable[[Program], None],
    control_plane: ControlPlane,
) -> None:
    ports: list[int] = []

    def train(container: Container) -> int:
        values = ((30, 0.5, 1.0), (60, 0.6, 2.0), (100, 0.55, 3.0))
        for i, (progress, value, epoch) in enumerate(values):
            url = re.sub(r":\d+/", f":{ports[i % 2]}/", container.url)
            turn = Container(container.env | {"KUBEFLOW_TRAINER_SERVER_URL": url}, [])
            assert turn.push(progress, accuracy=value, epoch=epoch) == 200
        return 0

    lease = f"--lease-namespace={namespace.name}"
    admin = control_plane.kubeconfig_for("two", ["system:masters"])
    leader = pushing(lease, kubeconfig=admin)
    leader.wait_for_log("leading as")
    standby = pushing(lease, kubeconfig=admin)
    standby.wait_for_log("waiting for the leader")
    ports += [pushed_port(standby), pushed_port(leader)]
    run_pods(train)
    namespace.apply(study("standby", {"learning_rate": [1e-5]}, metrics=PUSH))
    namespace.wait_for_end("standby")
    (trial,) = namespace.trials("standby")
    accuracy = metric(trial, "accuracy")
    assert (accuracy["latest"], accuracy["max"]) == (0.55, 0.6)
    assert accuracy["count"] == 3, "each replica knows what the other has stored"


def test_what_the_api_server_does_not_take_is_stored_later(
    namespace: Namespace,
    proxy: FaultProxy,
    pushing: Callable[..., ControllerProcess],
    run_pods: Callable[[Program], None],
) -> None:
    answers: list[int] = []

    def train(container: Container) -> int:
        answers.append(container.push(0, total_steps=4))
        proxy.part()
        answers.append(container.push(100, accuracy=0.7, epoch=1.0))
        proxy.heal()
        return 0

    pushing(kubeconfig=proxy.kubeconfig)
    run_pods(train)
    namespace.apply(study("parted", {"learning_rate": [1e-5]}, metrics=PUSH))
    namespace.wait_for_end("parted", timeout=90)
    assert answers == [200, 503]
    (trial,) = namespace.trials("parted")
    assert trial["status"]["objectives"][0]["value"] == 0.7
    assert not condition(trial, "ObservationsComplete")


def test_without_an_endpoint_the_study_is_refused(
    namespace: Namespace, controller: ControllerProcess
) -> None:
    namespace.apply(study("nowhere", RATES, metrics=PUSH))
    told = namespace.wait_for_study(
        "nowhere", lambda s: condition(s, "Accepted"), "is accepted or refused"
    )
    assert not is_true(told, "Accepted")
    assert "--push-url" in condition(told, "Accepted")["message"]
    assert not namespace.trials("nowhere")
