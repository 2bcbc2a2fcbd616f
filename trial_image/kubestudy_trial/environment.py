"""What the controller tells a trial: the `KUBESTUDY_*` variables, read in this one place."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubestudy_trial.failures import InvalidArgument

_DEFAULT_TERMINATION_LOG = Path("/dev/termination-log")


@dataclass(frozen=True)
class Fold:
    """One part of a cross-validation: which part is held out, of how many, split how."""

    index: int
    count: int
    seed: int = 0
    stratified: bool = True

    @property
    def name(self) -> str:
        """Of the folder that is this fold's."""
        return f"fold-{self.index}"


@dataclass(frozen=True)
class Part:
    """The part of a training that a trial is for: it ends at so many epochs or steps of all."""

    resource: str
    until: int

    def is_over(self, epoch: float | None, step: int) -> bool:
        """Whether the training has come to its end."""
        reached = (epoch or 0.0) if "epoch" in self.resource else step
        return reached > self.until - 1e-6  # An epoch's number is a quotient of steps.


@dataclass(frozen=True)
class Environment:
    """The variables of the trial contract, typed. Every one may be absent."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    trial: str = ""
    folds: tuple[Fold, ...] = ()
    """Those to train, one after another; none without cross-validation."""
    part: Part | None = None
    inherit_from: Path | None = None
    checkpoint_dir: Path | None = None
    output_dir: Path | None = None
    metrics_port: int = 0
    linger_seconds: float = 0.0
    termination_log: Path | None = None
    objectives: tuple[str, ...] = ()
    is_leader: bool = True

    def checkpoint_dir_of(self, fold: Fold | None) -> Path | None:
        """Where the checkpoints of a fold live; the controller may have named it after the fold."""
        folder = self.checkpoint_dir
        if folder is None or fold is None or folder.name == fold.name:
            return folder
        return folder / fold.name

    @classmethod
    def read(cls, variables: Mapping[str, str] | None = None) -> "Environment":
        """Read the variables.

        Args:
            variables: Taken for the process's own environment when given.

        Raises:
            InvalidArgument: A variable is not what the contract says.
        """
        env = os.environ if variables is None else variables
        return cls(
            parameters=_parameters(env),
            trial=env.get("KUBESTUDY_TRIAL", ""),
            folds=_folds(env),
            part=_part(env),
            inherit_from=_path(env, "KUBESTUDY_INHERIT_FROM"),
            checkpoint_dir=_path(env, "KUBESTUDY_CHECKPOINT_DIR"),
            output_dir=_path(env, "KUBESTUDY_OUTPUT_DIR"),
            metrics_port=_integer(env, "KUBESTUDY_METRICS_PORT", 0),
            linger_seconds=_number(env, "KUBESTUDY_LINGER_SECONDS", 0.0),
            termination_log=_termination_log(env),
            objectives=tuple(filter(None, env.get("KUBESTUDY_OBJECTIVES", "").split(","))),
            # torchrun starts one process a GPU; only the first may speak for the trial.
            is_leader=_integer(env, "RANK", 0) == 0,
        )


def _path(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]) if env.get(name) else None


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name) or str(default)
    try:
        return float(text)
    except ValueError:
        raise InvalidArgument(f"{name} must be a number, not {text!r}") from None


def _integer(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name) or str(default)
    try:
        return int(text)
    except ValueError:
        raise InvalidArgument(f"{name} must be a whole number, not {text!r}") from None


def _parameters(env: Mapping[str, str]) -> Mapping[str, Any]:
    text = env.get("KUBESTUDY_PARAMETERS") or "{}"
    try:
        parameters = json.loads(text)
    except ValueError as error:
        raise InvalidArgument(f"KUBESTUDY_PARAMETERS is not JSON: {error}") from None
    if not isinstance(parameters, dict):
        raise InvalidArgument("KUBESTUDY_PARAMETERS must be a JSON object")
    return parameters


def _folds(env: Mapping[str, str]) -> tuple[Fold, ...]:
    if not env.get("KUBESTUDY_FOLDS"):
        return ()
    text = env.get("KUBESTUDY_FOLD") or "0"
    count = _integer(env, "KUBESTUDY_FOLDS", 0)
    seed = _integer(env, "KUBESTUDY_FOLD_SEED", 0)
    stratified = env.get("KUBESTUDY_FOLD_STRATIFIED", "true").lower() != "false"
    folds = []
    for word in text.split(","):
        index = _integer({"KUBESTUDY_FOLD": word}, "KUBESTUDY_FOLD", 0)
        if count < 2 or not 0 <= index < count:
            raise InvalidArgument(
                f"KUBESTUDY_FOLD={text} of KUBESTUDY_FOLDS={count}: "
                "folds are at least 2 and counted from 0"
            )
        folds.append(Fold(index, count, seed, stratified))
    return tuple(folds)


def _part(env: Mapping[str, str]) -> Part | None:
    if not env.get("KUBESTUDY_RESOURCE_UNTIL"):
        return None
    resource = env.get("KUBESTUDY_RESOURCE", "")
    if resource not in ("num_train_epochs", "max_steps"):
        raise InvalidArgument(
            f"a training cannot be ended at a {resource or 'resource'}: "
            "algorithm.resource.name must be num_train_epochs or max_steps"
        )
    return Part(resource, _integer(env, "KUBESTUDY_RESOURCE_UNTIL", 0))


def _termination_log(env: Mapping[str, str]) -> Path | None:
    path = _path(env, "KUBESTUDY_TERMINATION_LOG")
    if path is not None:
        return path if path.parent.is_dir() else None
    # The kubelet makes this file. Elsewhere, on a laptop, none is to appear in /dev.
    return _DEFAULT_TERMINATION_LOG if _DEFAULT_TERMINATION_LOG.is_file() else None
