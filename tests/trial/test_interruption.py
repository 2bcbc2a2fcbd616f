"""SIGTERM in the middle, and what a second run makes of it. Nothing may look like success."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kubestudy_trial.interruption import interruption

from .conftest import Ended, lines, small

pytestmark = pytest.mark.trainer

Trial = Callable[..., Ended]
Start = Callable[..., "subprocess.Popen[str]"]


def wait_for(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text!r} never came; the exit code is {process.wait()}")


def test_sigterm_in_the_middle_and_a_second_run(
    start: Start, trial: Trial, data: Path, tmp_path: Path, termination_log: Path
) -> None:
    long = ["--num_train_epochs=3", "--logging_steps=1"]
    folder = str(tmp_path / "checkpoints")
    process = start("-m", "kubestudy_trial", *small(data), *long, KUBESTUDY_CHECKPOINT_DIR=folder)
    wait_for(process, "step 2 of 12")
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    assert time.monotonic() - began < 15
    message = json.loads(termination_log.read_text())
    assert message["reason"] == "Interrupted"
    assert "a checkpoint is written" in message["message"]
    stopped = max(int(path.name.partition("-")[2]) for path in Path(folder).iterdir())
    assert 2 <= stopped < 12
    assert f"stopped at step {stopped} of 12" in message["message"]
    reports = lines(out)
    assert not any(shown.get("final") for shown in reports)

    resumed = trial(*long, KUBESTUDY_CHECKPOINT_DIR=folder, KUBESTUDY_ATTEMPT="1")
    assert resumed.code == 0
    assert f"going on from {folder}/checkpoint-{stopped}" in resumed.log
    steps = [shown["step"] for shown in reports + resumed.reports]
    assert steps == [4, 8, 12, 12]  # Each epoch is evaluated once, and the end told.
    assert resumed.message["reason"] == "Completed"

    whole = trial(*long, KUBESTUDY_CHECKPOINT_DIR="")
    # The very same training, as if nothing had happened.
    assert resumed.reports[-1]["eval_loss"] == pytest.approx(
        whole.reports[-1]["eval_loss"], rel=1e-3
    )


def test_sigterm_in_an_evaluation_does_not_lose_it(
    trial: Trial, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kubestudy_trial.callback import KubestudyCallback

    original = KubestudyCallback.on_prediction_step

    def signalled(self: object, *args: object, **kwargs: object) -> None:
        interruption.requested = True
        original(self, *args, **kwargs)  # type: ignore[arg-type]

    folder = str(tmp_path / "checkpoints")
    with monkeypatch.context() as during:
        during.setattr(KubestudyCallback, "on_prediction_step", signalled)
        ended = trial(KUBESTUDY_CHECKPOINT_DIR=folder)
    assert ended.code == 75
    assert ended.reports == []
    resumed = trial(KUBESTUDY_CHECKPOINT_DIR=folder)
    assert resumed.code == 0
    assert [shown["step"] for shown in resumed.reports] == [4, 8, 8]


def test_a_second_run_after_the_end_tells_the_result_again(trial: Trial, tmp_path: Path) -> None:
    folder = str(tmp_path / "checkpoints")
    first = trial(KUBESTUDY_CHECKPOINT_DIR=folder)
    again = trial(KUBESTUDY_CHECKPOINT_DIR=folder)
    assert (first.code, again.code) == (0, 0)
    assert again.reports[-1]["final"] is True
    assert again.reports[-1]["eval_loss"] == pytest.approx(first.reports[-1]["eval_loss"])


def test_a_checkpoint_cut_off_is_passed_over(trial: Trial, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    assert trial(KUBESTUDY_CHECKPOINT_DIR=str(folder)).code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-4", "checkpoint-8"]
    weights = folder / "checkpoint-8" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    ended = trial(KUBESTUDY_CHECKPOINT_DIR=str(folder))
    assert ended.code == 0
    assert f"going on from {folder}/checkpoint-4" in ended.log
    assert [shown["step"] for shown in ended.reports] == [8, 8]


def test_without_a_folder_nothing_is_kept_and_it_is_said(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubestudy_trial.callback import KubestudyCallback

    original = KubestudyCallback.on_step_end

    def signalled(self: object, args: object, state: object, *rest: object, **kwargs: object):
        interruption.requested = state.global_step == 2  # type: ignore[attr-defined]
        original(self, args, state, *rest, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(KubestudyCallback, "on_step_end", signalled)
    ended = trial()
    assert ended.code == 75
    assert ended.message["message"] == "stopped at step 2 of 8, nothing is kept"


def test_sigterm_before_training(start: Start, data: Path, termination_log: Path) -> None:
    process = start("-m", "kubestudy_trial", *small(data))
    status = Path(f"/proc/{process.pid}/status")
    while True:  # Until it handles the signal, at the start of seconds of imports.
        caught = next(line for line in status.read_text().splitlines() if "SigCgt" in line)
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 75
    assert json.loads(termination_log.read_text())["reason"] == "Interrupted"


def test_a_second_sigterm_ends_it_at_once(start: Start, termination_log: Path) -> None:
    # Without torch: what counts is that the first signal waits and the second does not.
    # Short sleeps: Python sees a signal that comes just before a system call only after it.
    code = (
        "import time\n"
        "from kubestudy_trial import outcome, report\n"
        "from kubestudy_trial.interruption import interruption\n"
        "with outcome():\n"
        "    interruption.defer(True)\n"
        "    report(step=1)\n"
        "    while not interruption.requested: time.sleep(0.01)\n"
        "    report(step=2)\n"
        "    while True: time.sleep(0.01)\n"
    )
    process = start("-c", code)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert json.loads(process.stdout.readline())["step"] == 2
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 75
    assert "again" in json.loads(termination_log.read_text())["message"]
