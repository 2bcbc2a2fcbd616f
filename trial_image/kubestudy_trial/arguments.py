"""The command line: which arguments there are, and to whom each of them goes.

An argument is this package's own (`Options`), or a field of `TrainingArguments`, or a field of the
model's configuration, in that order. What is none of them is an error that says what is alike.
"""

import dataclasses
import logging
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kubestudy_trial.coercion import coerce, did_you_mean
from kubestudy_trial.failures import InvalidArgument

_log = logging.getLogger(__name__)


def _option(group: str, help_text: str, default: Any = None) -> Any:
    return field(default=default, metadata={"group": group, "help": help_text})


@dataclass(frozen=True)
class Options:
    """The arguments that are this package's own."""

    task: str | None = _option(
        "data", "a GLUE task from the hub: cola, mnli, mrpc, qnli, qqp, rte, sst2, stsb, wnli"
    )
    dataset_name: str | None = _option("data", "any data set of the hub, such as imdb")
    dataset_config_name: str | None = _option("data", "its configuration")
    train_split: str = _option("data", "the hub's split to train on", "train")
    validation_split: str | None = _option(
        "data", "the hub's split to evaluate on (default: validation, dev or test)"
    )
    test_split: str | None = _option("data", "a split to measure once more at the end")
    train_file: str | None = _option("data", "a file to train on: .csv, .tsv, .json, .jsonl")
    validation_file: str | None = _option("data", "a file to evaluate on")
    test_file: str | None = _option("data", "a file to measure once more at the end")
    text_column: str | None = _option("data", "the column of the text (default: guessed)")
    text_pair_column: str | None = _option("data", "the column of a second text, if any")
    label_column: str | None = _option("data", "the column of the label (default: guessed)")
    problem_type: Literal["single_label_classification", "regression"] | None = _option(
        "data", "single_label_classification or regression (default: by the labels)"
    )
    max_train_samples: int | None = _option("data", "train on no more than so many rows")
    max_eval_samples: int | None = _option("data", "evaluate on no more than so many rows")
    max_seq_length: int = _option("data", "cut texts after so many tokens", 128)
    validation_fraction: float = _option(
        "data", "what part of the training data to hold out when there is no validation data", 0.1
    )
    split_seed: int | None = _option(
        "data", "draws held out and limited rows; the same for all trials of a Study (default 0)"
    )

    model_name_or_path: str | None = _option("model", "a model of the hub, or a folder")
    dropout: float | None = _option("model", "sets hidden, attention and classifier dropout")
    from_scratch: bool = _option("model", "start from random weights of this architecture", False)

    checkpoint_dir: str | None = _option(
        "run", "keep checkpoints here and go on from the newest (KUBESTUDY_CHECKPOINT_DIR wins)"
    )
    output_dir: str | None = _option(
        "run", "put the trained model here (KUBESTUDY_OUTPUT_DIR wins)"
    )


@dataclass(frozen=True)
class Renamed:
    """What an argument of transformers 4 is called now; nothing if it has no successor."""

    name: str | None
    values: Mapping[str, str] | None = None


RENAMED: Mapping[str, Renamed] = {
    "adafactor": Renamed("optim", {"true": "adafactor", "false": "adamw_torch"}),
    "evaluation_strategy": Renamed("eval_strategy"),
    "group_by_length": Renamed(
        "train_sampling_strategy", {"true": "group_by_length", "false": "random"}
    ),
    "logging_dir": Renamed(None),
    "max_length": Renamed("max_seq_length"),
    "model_name": Renamed("model_name_or_path"),
    "no_cuda": Renamed("use_cpu"),
    "overwrite_output_dir": Renamed(None),
    "per_gpu_eval_batch_size": Renamed("per_device_eval_batch_size"),
    "per_gpu_train_batch_size": Renamed("per_device_train_batch_size"),
    "push_to_hub_token": Renamed("hub_token"),
    "save_safetensors": Renamed(None),
    "task_name": Renamed("task"),
    "warmup_ratio": Renamed("warmup_steps"),  # Below 1 it is a ratio.
}

# Said often, and too unlike the real names to be found by likeness.
_COLLOQUIAL = {
    "batch_size": "per_device_train_batch_size",
    "dataset": "dataset_name",
    "epochs": "num_train_epochs",
    "lr": "learning_rate",
    "model": "model_name_or_path",
    "scheduler": "lr_scheduler_type",
}

# (lowest, whether the lowest itself is allowed). What lies beneath would fail far from its cause.
_BOUNDS = {
    "gradient_accumulation_steps": (1, True),
    "learning_rate": (0, True),
    "max_eval_samples": (1, True),
    "max_seq_length": (1, True),
    "max_train_samples": (1, True),
    "num_train_epochs": (0, False),
    "per_device_eval_batch_size": (1, True),
    "per_device_train_batch_size": (1, True),
    "split_seed": (0, True),
    "weight_decay": (0, True),
}


def parse(argv: Iterable[str]) -> dict[str, str]:
    """Read `--name=value`, `--name value` and a bare `--name`, which means true.

    Of a name that comes twice the last counts, so that a parameter overrides a fixed argument.

    Raises:
        InvalidArgument: Something is no such argument.
    """
    given: dict[str, str] = {}
    waiting: str | None = None
    for token in argv:
        if token.startswith("--") and len(token) > 2:
            name, has_value, value = token[2:].partition("=")
            waiting = name.replace("-", "_")
            given.pop(waiting, None)
            given[waiting] = value if has_value else "true"
            if has_value:
                waiting = None
        elif waiting is not None:
            given[waiting] = token
            waiting = None
        else:
            raise InvalidArgument(f"{token!r} is not an argument: write --name=value")
    return given


def rename(given: Mapping[str, str], current: Collection[str]) -> dict[str, str]:
    """Give arguments of transformers 4 their present names, with a warning each.

    Args:
        given: The arguments as written.
        current: The names that this version of transformers knows; these stay as they are.
    """
    renamed: dict[str, str] = {}
    for name, text in given.items():
        new = RENAMED.get(name) if name not in current else None
        if new is None:
            renamed[name] = text
        elif new.name is None:
            _log.warning("--%s no longer exists in transformers and is ignored", name)
        elif new.name in given:
            _log.warning("--%s is ignored, since --%s is given", name, new.name)
        else:
            value = new.values.get(text.lower(), text) if new.values else text
            _log.warning("--%s is now --%s=%s", name, new.name, value)
            renamed[new.name] = value
    return renamed


def take(given: dict[str, str], declared: Mapping[str, Any]) -> dict[str, Any]:
    """Take out the arguments that are declared, as values of their declared types.

    Args:
        given: The arguments; those taken are removed.
        declared: The types by name.

    Raises:
        InvalidArgument: A value is of the wrong type or out of its bounds.
    """
    taken = {}
    for name in [name for name in given if name in declared]:
        value = coerce(name, given.pop(name), declared[name])
        lowest, allowed = _BOUNDS.get(name, (None, True))
        if lowest is not None and value is not None:
            if allowed and value < lowest:
                raise InvalidArgument(f"--{name}={value} must be at least {lowest}")
            if not allowed and value <= lowest:
                raise InvalidArgument(f"--{name}={value} must be above {lowest}")
        taken[name] = value
    return taken


def take_options(given: dict[str, str]) -> Options:
    """Take out this package's own arguments.

    Raises:
        InvalidArgument: A value is wrong.
    """
    options = Options(**take(given, declared_types(Options)))
    if options.dropout is not None and not 0 <= options.dropout < 1:
        raise InvalidArgument(f"--dropout={options.dropout} must be from 0 to below 1")
    if not 0 < options.validation_fraction < 1:
        raise InvalidArgument(
            f"--validation_fraction={options.validation_fraction} must be between 0 and 1"
        )
    return options


def declared_types(cls: Any) -> dict[str, Any]:
    """The types of a dataclass's fields by name."""
    hints = typing.get_type_hints(cls)
    return {item.name: hints[item.name] for item in dataclasses.fields(cls) if item.init}


def refuse_rest(given: Mapping[str, str], known: Iterable[str]) -> None:
    """Complain of what nobody has taken.

    Raises:
        InvalidArgument: Something is left.
    """
    if not given:
        return
    names = set(known)
    complaints = []
    for name in given:
        colloquial = _COLLOQUIAL.get(name)
        hint = f", did you mean {colloquial}?" if colloquial else did_you_mean(name, names)
        complaints.append(f"unknown argument --{name}{hint}")
    raise InvalidArgument("; ".join(complaints))
