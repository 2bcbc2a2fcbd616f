"""Going on from another trial's checkpoint: with its weights, not its settings.

Merely resumed, training would go on with the other trial's learning rate, schedule and weight
decay: they are in the state of its optimizer and scheduler. And its steps would be taken for steps
of this trial, though they may be of another batch size.
"""

import contextlib
import copy
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau
from transformers import Trainer
from transformers.optimization import GreedyLR

from kubestudy_trial import checkpoints
from kubestudy_trial.checkpoints import STATE, Checkpoint
from kubestudy_trial.environment import Environment
from kubestudy_trial.failures import DataUnavailable, InvalidArgument

_log = logging.getLogger(__name__)


class Heir(Trainer):
    """A trainer that keeps its own settings whatever checkpoint it goes on from."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        groups = [
            {name: value for name, value in group.items() if name != "params"}
            for group in self.optimizer.param_groups
        ]
        schedule = copy.deepcopy(self.lr_scheduler.state_dict())
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[no-untyped-call]
        for group, own in zip(self.optimizer.param_groups, groups, strict=True):
            group.update(own)
        self.lr_scheduler.load_state_dict(schedule)
        self._catch_up()

    def _catch_up(self) -> None:
        """Bring the fresh schedule to the step where the checkpoint was written."""
        if isinstance(self.lr_scheduler, ReduceLROnPlateau | GreedyLR):
            return  # They follow a metric, which is as new to them as the learning rate.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # No step of the optimizer came before these.
            for _ in range(self.state.global_step):
                self.lr_scheduler.step()


@contextlib.contextmanager
def inherited(trainer: Trainer, environment: Environment) -> Iterator[Checkpoint]:
    """The checkpoint that this trial inherits, as one of its own.

    Raises:
        DataUnavailable: There is none.
        InvalidArgument: It does not fit.
    """
    assert environment.inherit_from is not None
    parent = checkpoints.newest(environment.inherit_from, is_own=False)
    if parent is None:
        raise DataUnavailable(f"no whole checkpoint to go on from in {environment.inherit_from}")
    _check_fit(parent, trainer.model)
    counts_steps = environment.part is not None and environment.part.resource == "max_steps"
    step = parent.step if counts_steps else round(parent.epoch * _steps_per_epoch(trainer))
    _log.info("going on from %s of another trial, at step %d", parent.path, step)
    with tempfile.TemporaryDirectory(prefix="kubestudy-inherited-") as folder:
        yield _adopted(parent, step, Path(folder))


def _adopted(parent: Checkpoint, step: int, folder: Path) -> Checkpoint:
    """Make a checkpoint one of another step, by links: none of its own files is touched."""
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    for item in parent.path.iterdir():
        if item.name != STATE:
            (path / item.name).symlink_to(item.resolve())
    state = json.loads((parent.path / STATE).read_text())
    # What it has measured is the other trial's as well.
    own = {"best_metric": None, "best_model_checkpoint": None, "best_global_step": None}
    own |= {"global_step": step, "log_history": []}
    (path / STATE).write_text(json.dumps(state | own))
    return Checkpoint(path, step, parent.epoch)


def _check_fit(parent: Checkpoint, model: Any) -> None:
    """Refuse a checkpoint of another architecture, which would be loaded as far as it fits.

    Raises:
        InvalidArgument: It is one.
    """
    saved = checkpoints.tensors(parent.path)
    if not saved:
        return  # Not in a format that tells.
    state = {name: list(value.shape) for name, value in model.state_dict().items()}
    misfits = [name for name, shape in saved.items() if state.get(name) != shape]
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    misfits += [tied[0] for tied in names.values() if not saved.keys() & set(tied)]
    if misfits:
        raise InvalidArgument(
            f"the inherited checkpoint {parent.path} is of another architecture ({len(misfits)}"
            f" tensors differ, such as {misfits[0]}): name the parameters that decide it in"
            " algorithm.settings.fixed"
        )


def _steps_per_epoch(trainer: Trainer) -> int:
    """How many steps of the optimizer an epoch has."""
    batches = len(trainer.get_train_dataloader())
    return max(1, -(-batches // trainer.args.gradient_accumulation_steps))
