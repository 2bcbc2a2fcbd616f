"""Which checkpoint to go on from. One that was cut off while being written must not be it."""

import json
import logging
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

_INCOMPLETE = "checkpoint-is-incomplete.txt"
STATE = "trainer_state.json"
"""What the trainer writes last: where in training it is."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint, and where in training it was written."""

    path: Path
    step: int
    epoch: float = 0.0
    is_evaluation_due: bool = False
    """It was written where an evaluation belongs, but before that was done."""


def newest(folder: Path, is_own: bool = True) -> Checkpoint | None:
    """Find the newest whole checkpoint; of one's own, remove the newer ones that are broken.

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
            _log.warning("%s is not whole and is passed over: %s", steps[step], error)
            if is_own:
                shutil.rmtree(steps[step], ignore_errors=True)
    return None


def _read(path: Path, step: int) -> Checkpoint:
    """Check a checkpoint; what raises says what is wrong with it."""
    if (path / _INCOMPLETE).exists():
        raise ValueError("it says that it is incomplete")
    state = json.loads((path / STATE).read_text())
    if not isinstance(state, dict) or state.get("global_step") != step:
        raise ValueError(f"{STATE} is not of step {step}")
    weights = [item for item in path.rglob("*") if item.suffix in {".safetensors", ".bin"}]
    if not weights and not any(item.is_dir() for item in path.iterdir()):
        raise ValueError("it has no weights")
    for item in path.rglob("*"):
        if item.suffix == ".safetensors":
            _check_safetensors(item)
        elif item.suffix in {".pt", ".pth"}:
            with zipfile.ZipFile(item):  # Its directory is at the end, so a cut file has none.
                pass
    return Checkpoint(path, step, float(state.get("epoch") or 0), _is_evaluation_due(state))


def tensors(path: Path) -> dict[str, list[int]]:
    """The shapes of the tensors that a checkpoint has as safetensors, by name."""
    return {
        name: tensor["shape"]
        for file in path.glob("*.safetensors")
        for name, tensor in _header(file)[0].items()
    }


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """What a file says of its tensors, and how long it should be: 8 bytes, header, tensors."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length < path.stat().st_size:
            raise ValueError(f"{path.name} has no header")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header, 8 + length + max((t["data_offsets"][1] for t in header.values()), default=0)


def _check_safetensors(path: Path) -> None:
    if path.stat().st_size != _header(path)[1]:
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
