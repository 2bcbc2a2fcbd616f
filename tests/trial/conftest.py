"""What the tests of the trial share. The fast ones run without torch, the real ones marked so."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "trial_image"

# On cores shared with other work, threads mostly wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if importlib.util.find_spec("kubestudy_trial") is None:
    sys.path.insert(0, str(PACKAGE))

from kubestudy_trial import reporting  # noqa: E402
from kubestudy_trial.interruption import Interruption, interruption  # noqa: E402


@dataclass(frozen=True)
class Ended:
    """What a trial has left behind."""

    code: int
    reports: list[dict[str, Any]]
    message: dict[str, Any]
    log: str


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test is as a process of its own: no variables, nothing reported, no signal."""
    for name in [name for name in os.environ if name.startswith("KUBESTUDY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(reporting, "_default", None)
    yield
    vars(interruption).update(vars(Interruption()))


@pytest.fixture
def termination_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "termination-log"
    monkeypatch.setenv("KUBESTUDY_TERMINATION_LOG", str(path))
    return path


@pytest.fixture
def start(termination_log: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start Python as a trial's process, with the package to be imported."""
    started: list[subprocess.Popen[str]] = []

    def popen(*args: str, **variables: str) -> "subprocess.Popen[str]":
        started.append(
            subprocess.Popen(
                [sys.executable, *args],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(PACKAGE), **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield popen
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def data() -> Path:
    """The example data, made if it is not there."""
    script = ROOT / "manifests" / "examples" / "prepare_data.py"
    subprocess.run([sys.executable, str(script), str(ROOT / "data")], check=True)
    return ROOT / "data"


@pytest.fixture
def trial(
    data: Path,
    termination_log: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> Callable[..., Ended]:
    """Run a whole trial in this process, on a small part of the real model and texts."""
    from kubestudy_trial.cli import main

    def run(*args: str, **variables: str) -> Ended:
        monkeypatch.setattr(reporting, "_default", None)
        vars(interruption).update(vars(Interruption()))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        termination_log.unlink(missing_ok=True)
        capfd.readouterr()
        caplog.clear()
        code: Any = 0
        try:
            main([*small(data), *args])
        except SystemExit as end:
            code = end.code
        out, err = capfd.readouterr()
        return Ended(code, lines(out), json.loads(termination_log.read_text()), err + caplog.text)

    return run


def small(data: Path) -> list[str]:
    """The arguments of a trial of a second: one layer, 4 steps an epoch, 2 epochs."""
    return [
        f"--model_name_or_path={data / 'minilm'}",
        f"--train_file={data / 'bbc' / 'train.csv'}",
        f"--validation_file={data / 'bbc' / 'validation.csv'}",
        "--num_hidden_layers=1",
        "--max_train_samples=64",
        "--max_eval_samples=40",
        "--max_seq_length=32",
        "--per_device_train_batch_size=16",
        "--num_train_epochs=2",
        "--learning_rate=1e-3",
    ]


def lines(out: str) -> list[dict[str, Any]]:
    """The reports among the lines of an output."""
    return [json.loads(line) for line in out.splitlines() if line.startswith("{")]
