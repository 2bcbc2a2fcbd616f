"""Which checkpoint is gone on from: none that was cut off."""

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kubestudy_trial import checkpoints


def make(folder: Path, step: int, **state: object) -> Path:
    """Write what the trainer writes, as far as it is looked at."""
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    header = json.dumps({"w": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}).encode()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with zipfile.ZipFile(path / "optimizer.pt", "w") as archive:
        archive.writestr("data", "x" * 500)
    whole = {"global_step": step, "epoch": 0.5, "eval_steps": 500, "log_history": []} | state
    (path / "trainer_state.json").write_text(json.dumps(whole))
    return path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def test_the_newest_counts_by_its_number(tmp_path: Path) -> None:
    for step in (5, 100, 20):
        make(tmp_path, step)
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert (found.step, found.path) == (100, tmp_path / "checkpoint-100")


def test_none_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-last").mkdir()
    assert checkpoints.newest(tmp_path) is None
    assert checkpoints.newest(tmp_path / "missing") is None


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: (path / "checkpoint-is-incomplete.txt").touch(),
        lambda path: (path / "trainer_state.json").unlink(),
        lambda path: cut(path / "trainer_state.json"),
        lambda path: (path / "trainer_state.json").write_text('{"global_step": 3}'),
        lambda path: cut(path / "model.safetensors"),
        lambda path: (path / "model.safetensors").write_bytes(b""),
        lambda path: (path / "model.safetensors").unlink(),
        lambda path: cut(path / "optimizer.pt"),
    ],
)
def test_a_broken_one_is_passed_over_for_the_one_before(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    make(tmp_path, 10)
    broken = make(tmp_path, 20)
    harm(broken)
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found.step == 10
    assert not broken.exists()


@pytest.mark.parametrize(
    ("state", "due"),
    [
        ({"epoch": 2.0}, True),
        ({"epoch": 1.5}, False),
        ({"epoch": 1.5, "eval_steps": 5}, True),
        ({"epoch": 2.0, "log_history": [{"step": 10, "eval_loss": 1.0}]}, False),
        ({"epoch": 2.0, "log_history": [{"step": 5, "eval_loss": 1.0}]}, True),
        ({"epoch": 2.0, "log_history": [{"step": 10, "loss": 1.0}]}, True),
    ],
)
def test_an_evaluation_that_was_missed_is_due(tmp_path: Path, state: dict, due: bool) -> None:
    make(tmp_path, 10, **state)
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert found.is_evaluation_due is due
