"""The callback that makes any script with the Hugging Face `Trainer` a trial.

    trainer = Trainer(..., callbacks=[KubestudyCallback()])

It reports each evaluation, ends the process when a number is not finite, and on SIGTERM writes a
checkpoint (if the trainer saves any) and ends it with the exit code for that. A trial that is for
a part of a training ends there, with an evaluation and a checkpoint.
"""

import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kubestudy_trial.failures import Diverged, Failure, Interrupted
from kubestudy_trial.interruption import interruption
from kubestudy_trial.reporting import default_reporter

_log = logging.getLogger(__name__)


class KubestudyCallback(TrainerCallback):
    """Reports what a `Trainer` measures.

    Args:
        save: Writes a checkpoint at once. With it an interrupted evaluation need not be finished;
            without it the trainer saves when the evaluation is over.
        fold: Which fold of a cross-validation is trained, where one process trains several.
    """

    def __init__(self, save: Callable[[], None] | None = None, fold: int | None = None):
        self.evaluated_step: int | None = None
        self.metrics: dict[str, float] = {}
        self._save, self._fold = save, fold
        self._loss: dict[str, float] = {}
        self._training = False

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """From here on a signal waits for a checkpoint."""
        if not interruption.installed:
            interruption.install(default_reporter().fail)
        interruption.defer(True)
        self._training = True

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """From here on there is nothing to save."""
        self._training = False
        interruption.defer(False)
        if interruption.requested:  # It came after the last step; the last checkpoint is there.
            _end(Interrupted(f"stopped at step {state.global_step}, after training"))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Stop if asked to, and have the loss at hand whenever metrics are."""
        if interruption.requested:
            self._stop(args, state, control)
        elif control.should_evaluate:
            control.should_log = True
        if self._is_over(state):
            control.should_training_stop = True  # What ends the epoch as well.

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """The same at an epoch's end; what another trial may go on from is measured and kept."""
        if self._is_over(state):
            control.should_evaluate |= self.evaluated_step != state.global_step
            control.should_save = True
        self.on_step_end(args, state, control)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Stop in the middle of an evaluation, which may take longer than there is time."""
        if interruption.requested and self._training and self._save is not None:
            if _saves(args):
                self._save()
            self._interrupted(args, state)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Leave, now that the checkpoint is written."""
        if interruption.requested:
            self._interrupted(args, state)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Keep the training loss for the next report, and check it."""
        if logs and "loss" in logs:
            self._loss = {"loss": float(logs["loss"])}
            _log.info(
                "step %d of %d: %s",
                state.global_step,
                state.max_steps,
                ", ".join(f"{name} {value:.4g}" for name, value in _numbers(logs).items()),
            )
            self._check(self._loss, state)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Report an evaluation, and check it."""
        values: dict[str, Any] = self._loss | _numbers(metrics or {})
        values.pop("epoch", None)
        default_reporter().report(state.global_step, epoch=state.epoch, fold=self._fold, **values)
        self.evaluated_step = state.global_step
        self.metrics |= values
        self._loss = {}
        self._check(values, state)
        if interruption.requested and self._training:
            self._stop(args, state, control)

    def _check(self, values: Mapping[str, float], state: TrainerState) -> None:
        objectives = default_reporter().environment.objectives
        for name, value in values.items():
            matters = not objectives or name in objectives or name.endswith("loss")
            if matters and not math.isfinite(value):
                where = self._place(state)
                _end(Diverged(f"{name} is {value} at {where}: the training has diverged"))

    def _is_over(self, state: TrainerState) -> bool:
        part = default_reporter().environment.part
        return part is not None and part.is_over(state.epoch, state.global_step)

    def _stop(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        control.should_training_stop = True
        control.should_evaluate = control.should_log = False
        if _saves(args):
            control.should_save = True  # The trainer saves next, and on_save leaves.
        else:
            self._interrupted(args, state)

    def _interrupted(self, args: TrainingArguments, state: TrainerState) -> NoReturn:
        kept = "a checkpoint is written" if _saves(args) else "nothing is kept"
        _end(Interrupted(f"stopped at {self._place(state)} of {state.max_steps}, {kept}"))

    def _place(self, state: TrainerState) -> str:
        of_fold = "" if self._fold is None else f"fold {self._fold}, "
        return f"{of_fold}step {state.global_step}"


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _saves(args: TrainingArguments) -> bool:
    return str(getattr(args.save_strategy, "value", args.save_strategy)) != "no"


def _end(failure: Failure) -> NoReturn:
    """End the process, also where nobody is around to settle its outcome."""
    default_reporter().fail(failure)
    raise failure
