"""The model: a pretrained one, changed as the parameters say."""

import contextlib
import dataclasses
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kubestudy_trial.arguments import Options, take
from kubestudy_trial.data import Corpus, from_hub
from kubestudy_trial.failures import DataUnavailable, InvalidArgument

_PLAIN_TYPES = {"bool": bool, "int": int, "float": float, "str": str}
# Set from the data, or by other arguments.
_NOT_ARGUMENTS = {"architectures", "id2label", "label2id", "problem_type", "transformers_version"}


def load_config(options: Options) -> Any:
    """Load the configuration of the pretrained model.

    Raises:
        DataUnavailable: It cannot be had.
        InvalidArgument: No model is named.
    """
    name = options.model_name_or_path
    if not name:
        raise InvalidArgument("--model_name_or_path is missing: a model of the hub, or a folder")
    from transformers import AutoConfig

    if name.startswith(("/", ".", "~")) and not Path(name).is_dir():
        raise DataUnavailable(f"the model {name}: there is no such folder")
    with from_hub(_named(name)):
        return AutoConfig.from_pretrained(name)


def config_types(config: Any) -> dict[str, Any]:
    """What of a configuration may be given as an argument, with the types."""
    types: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        if not item.init or item.name in _NOT_ARGUMENTS:
            continue
        declared = item.type
        if isinstance(declared, str):  # Annotated as text, in a module of which we know nothing.
            declared = _PLAIN_TYPES.get(declared.removesuffix(" | None"), Any)
        types[item.name] = declared
    # distilbert says n_layers where others say num_hidden_layers; both are understood.
    return types | {
        name: types[own] for name, own in (config.attribute_map or {}).items() if own in types
    }


def change_config(config: Any, given: dict[str, str], options: Options, corpus: Corpus) -> Any:
    """Make the configuration that is trained: dropout, then single fields, then the labels.

    Args:
        config: The pretrained one.
        given: Arguments; those of the configuration are taken out.
        options: This package's own arguments.
        corpus: The data with its labels.

    Raises:
        InvalidArgument: A value is of the wrong type, or does not fit the others.
    """
    changes: dict[str, Any] = {}
    if options.dropout is not None:
        changes |= dict.fromkeys(dropout_fields(config), options.dropout)
        if not changes:
            raise InvalidArgument(f"--dropout: a {config.model_type} has none")
    own_names = config.attribute_map or {}
    for name, value in take(given, config_types(config)).items():
        changes[own_names.get(name, name)] = value
    names = corpus.names or ("score",)
    changes["problem_type"] = (
        "regression" if corpus.is_regression else "single_label_classification"
    )
    changes["id2label"] = dict(enumerate(names))
    changes["label2id"] = {name: number for number, name in enumerate(names)}
    try:
        return type(config).from_dict(config.to_dict() | changes)
    except Exception as error:  # Configurations check themselves with errors of several kinds.
        raise InvalidArgument(f"the model's configuration: {error}") from error


def dropout_fields(config: Any) -> list[str]:
    """The fields of hidden, attention and classifier dropout, by whatever names.

    Layer drop leaves out whole layers, and question answering has a head of its own.
    """
    names = {item.name for item in dataclasses.fields(config)}
    if config.model_type in {"deberta", "deberta-v2"}:
        names.add("cls_dropout")  # Read by the classifier, yet declared nowhere.
    return sorted(
        name
        for name in names
        if ("drop" in name or name.endswith("_pdrop"))
        and "layerdrop" not in name
        and not name.startswith("qa_")
        and isinstance(getattr(config, name, None), int | float | None)
    )


def load_model(options: Options, config: Any, changed: Iterable[str]) -> Any:
    """Load the weights, or draw them.

    Args:
        options: This package's own arguments.
        config: What is to be trained.
        changed: The configuration's arguments that were given, for the message.

    Raises:
        DataUnavailable: The weights cannot be had.
        InvalidArgument: They don't fit the configuration.
    """
    from transformers import AutoModelForSequenceClassification

    loader: Any = AutoModelForSequenceClassification
    name = str(options.model_name_or_path)
    try:
        if options.from_scratch:
            return loader.from_config(config)
        with from_hub(_named(name)), _quiet():
            model, info = loader.from_pretrained(
                name, config=config, output_loading_info=True, ignore_mismatched_sizes=True
            )
    except ValueError as error:
        raise InvalidArgument(f"the model's configuration: {error}") from error
    arguments = ", ".join(f"--{argument}" for argument in changed)
    body = f"{model.base_model_prefix}."
    mismatched = [str(key[0]) for key in info["mismatched_keys"]]
    misfits = sorted(key for key in mismatched if key.startswith(body))
    if misfits:
        raise InvalidArgument(
            f"the pretrained weights of {name} do not fit {arguments or 'its configuration'} "
            f"({len(misfits)} tensors have another size, such as {misfits[0]}): "
            "leave it out, or train --from_scratch"
        )
    missing = sorted(
        key for key in info["missing_keys"] if key.startswith(body) and "pooler" not in key
    )
    if missing and arguments:
        raise InvalidArgument(
            f"{name} has no weights for {len(missing)} tensors that {arguments} asks for, "
            f"such as {missing[0]}: it can be made smaller, not larger, unless --from_scratch"
        )
    return model


def load_tokenizer(options: Options, config: Any) -> Any:
    """Load the tokenizer, with something to pad with.

    Raises:
        DataUnavailable: It cannot be had.
    """
    from transformers import AutoTokenizer

    with from_hub(f"the tokenizer of {options.model_name_or_path}"):
        tokenizer = AutoTokenizer.from_pretrained(options.model_name_or_path)
    if tokenizer.pad_token is None:  # Models that write text, such as gpt2, never had to pad.
        tokenizer.pad_token = tokenizer.eos_token
    if config.pad_token_id is None:
        config.pad_token_id = tokenizer.pad_token_id
    return tokenizer


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the table of weights that are missing or left over; we check them ourselves."""
    log = logging.getLogger("transformers")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _named(name: str) -> str:
    return f"the model {name}" + ("" if Path(name).is_dir() else " (no folder here)")
