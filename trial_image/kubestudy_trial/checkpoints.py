"""Which checkpoint to go on from. One that was cut off while being written must not be it."""

import json
import logging
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

_log = logging.getLogger(__name__)

_INCOMPLETE = "checkpoint-is-incomplete.txt"
_STATE = "trainer_state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, and where in training it was written."""

    path: Path
    step: int
    is_evaluation_due: bool = False
    """It was written where an evaluation belongs, but before that was done."""


def newest(folder: Path) -> Checkpoint | None:
    """Find the newest whole checkpoint, and remove the newer ones that are broken.

    They have to go: the trainer will write to the same names, and a second cut could leave a
    folder that looks whole and is of both.
    """
    steps = {
        int(match[1]): path
        for path in folder.glob("checkpoint-*")
        if (match := re.fullmatch(r"checkpoint-(\d+)", path.name))
    }
    for step in sorted(steps, reverse=True):
        try:
            return _read(steps[step], step)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            _log.warning("%s is not whole and is removed: %s", steps[step], error)
            shutil.rmtree(steps[step], ignore_errors=True)
    return None


def _read(path: Path, step: int) -> Checkpoint:
    """Check a checkpoint; what raises says what is wrong with it."""
    if (path / _INCOMPLETE).exists():
        raise ValueError("it says that it is incomplete")
    # The trainer writes its state last.
    state = json.loads((path / _STATE).read_text())
    if not isinstance(state, dict) or state.get("global_step") != step:
        raise ValueError(f"{_STATE} is not of step {step}")
    weights = [item for item in path.rglob("*") if item.suffix in {".safetensors", ".bin"}]
    if not weights and not any(item.is_dir() for item in path.iterdir()):
        raise ValueError("it has no weights")
    for item in path.rglob("*"):
        if item.suffix == ".safetensors":
            _check_safetensors(item)
        elif item.suffix in {".pt", ".pth"}:
            with zipfile.ZipFile(item):  # Its directory is at the end, so a cut file has none.
                pass
    return Checkpoint(path, step, _is_evaluation_due(state))


def _check_safetensors(path: Path) -> None:
    """Compare a file's size with what its header says: 8 bytes of length, header, tensors."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length < path.stat().st_size:
            raise ValueError(f"{path.name} has no header")
        header = json.loads(file.read(length))
    end = max((t["data_offsets"][1] for k, t in header.items() if k != "__metadata__"), default=0)
    if path.stat().st_size != 8 + length + end:
        raise ValueError(f"{path.name} is cut off")


def _is_evaluation_due(state: dict[str, object]) -> bool:
    step, epoch, every = state["global_step"], state.get("epoch"), state.get("eval_steps")
    history = state.get("log_history")
    assert isinstance(history, list)
    done = any(
        entry.get("step") == step and any(str(key).startswith("eval_") for key in entry)
        for entry in history
    )
    at_epoch = isinstance(epoch, int | float) and float(epoch).is_integer()
    at_steps = isinstance(step, int) and isinstance(every, int) and every > 0 and step % every == 0
    return not done and (at_epoch or at_steps)
