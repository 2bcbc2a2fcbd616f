"""Population based training with the real Trainer: parts of a training, each a trial."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kubestudy_trial.environment import Environment
from kubestudy_trial.failures import InvalidArgument

from .conftest import Ended

Trial = Callable[..., Ended]


@pytest.fixture
def part(trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Train a part of three epochs, of four steps each where the batch size is the usual one."""

    def run(name: str, until: int, *args: str, of: str | None = None, **more: str) -> Ended:
        monkeypatch.delenv("KUBESTUDY_INHERIT_FROM", raising=False)
        if of:
            more["KUBESTUDY_INHERIT_FROM"] = str(tmp_path / of)
        told = {"KUBESTUDY_RESOURCE": "num_train_epochs", "KUBESTUDY_RESOURCE_MAX": "3"} | more
        told["KUBESTUDY_RESOURCE_UNTIL"] = str(until)
        told["KUBESTUDY_CHECKPOINT_DIR"] = str(tmp_path / name)
        return trial("--num_train_epochs=3", *args, **told)

    return run


def state(folder: Path, step: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What a checkpoint knows of the training, the optimizer and the schedule."""
    import torch

    path = folder / f"checkpoint-{step}"
    kept = [torch.load(path / f"{name}.pt", weights_only=True) for name in _STATES]
    return json.loads((path / "trainer_state.json").read_text()), *kept


_STATES = ("optimizer", "scheduler")


@pytest.mark.trainer
def test_parts_with_the_same_parameters_are_one_training(part: Any, trial: Trial) -> None:
    ended = [part("a", 1), part("b", 2, of="a"), part("c", 3, of="b")]
    assert [e.code for e in ended] == [0, 0, 0]
    assert [[r["step"] for r in e.reports] for e in ended] == [[4, 4], [8, 8], [12, 12]]
    assert [e.reports[-1]["epoch"] for e in ended] == [1, 2, 3]
    whole = trial(
        "--num_train_epochs=3",
        KUBESTUDY_RESOURCE_UNTIL="", KUBESTUDY_CHECKPOINT_DIR="", KUBESTUDY_INHERIT_FROM="",
    )  # fmt: skip
    of_parts = [e.reports[0]["eval_loss"] for e in ended]
    of_whole = [r["eval_loss"] for r in whole.reports[:3]]
    assert of_parts == pytest.approx(of_whole, rel=1e-3)


@pytest.mark.trainer
def test_what_is_inherited_are_weights_and_moments_and_not_the_settings(
    part: Any, tmp_path: Path
) -> None:
    before = part("parent", 1, "--learning_rate=1e-3", "--weight_decay=0.1")
    untouched = {f: f.stat().st_mtime_ns for f in sorted((tmp_path / "parent").rglob("*"))}
    changed = ["--learning_rate=2e-4", "--weight_decay=0.3", "--per_device_train_batch_size=8"]
    ended = part("child", 2, *changed, of="parent")
    assert ended.code == 0
    assert [r["step"] for r in ended.reports] == [16, 16], "eight steps an epoch, from the eighth"
    assert {f: f.stat().st_mtime_ns for f in sorted((tmp_path / "parent").rglob("*"))} == untouched

    training, optimizer, schedule = state(tmp_path / "child", 16)
    assert (training["global_step"], training["epoch"]) == (16, 2)
    assert [g["weight_decay"] for g in optimizer["param_groups"]] == [0.3, 0]
    assert schedule["base_lrs"] == [2e-4, 2e-4]
    left = 1 - 16 / 24  # Of a linear schedule over three epochs.
    assert [g["lr"] for g in optimizer["param_groups"]] == pytest.approx([2e-4 * left] * 2)
    steps = {int(s["step"]) for s in optimizer["state"].values()}
    assert steps == {4 + 8}, "the optimizer's moments go on"

    again = part("child", 2, *changed, of="parent")
    assert f"going on from {tmp_path}/child/checkpoint-16" in again.log, "a retry has its own"
    assert again.reports[-1]["eval_loss"] == pytest.approx(ended.reports[-1]["eval_loss"])
    kept = sorted(p.name for p in (tmp_path / "child").iterdir())
    assert kept == ["checkpoint-16"], "nothing was left to train"

    still = part("still", 2, "--learning_rate=0", "--weight_decay=0", of="parent")
    assert still.reports[0]["eval_loss"] == pytest.approx(before.reports[0]["eval_loss"])

    other = part("other", 2, "--num_hidden_layers=2", of="parent")
    assert other.code == 64
    assert "is of another architecture" in other.message["message"]
    assert "algorithm.settings.fixed" in other.message["message"]


@pytest.mark.trainer
def test_parts_may_be_counted_in_steps(part: Any) -> None:
    steps = {"KUBESTUDY_RESOURCE": "max_steps", "KUBESTUDY_RESOURCE_MAX": "9"}
    told = ["--max_steps=9", "--eval_steps=2"]
    first, second = part("a", 3, *told, **steps), part("b", 6, *told, of="a", **steps)
    assert [r["step"] for r in first.reports] == [2, 3, 3]
    assert [r["step"] for r in second.reports] == [4, 6, 6]


@pytest.mark.trainer
def test_nothing_to_inherit_is_said(part: Any, tmp_path: Path) -> None:
    ended = part("child", 2, of="parent")
    assert ended.code == 69
    assert f"no whole checkpoint to go on from in {tmp_path}/parent" in ended.message["message"]


def test_a_resource_that_the_trainer_does_not_count_is_refused() -> None:
    told = {"KUBESTUDY_RESOURCE": "samples", "KUBESTUDY_RESOURCE_UNTIL": "3"}
    with pytest.raises(InvalidArgument) as failure:
        Environment.read(told)
    assert "must be num_train_epochs or max_steps" in failure.value.message
