"""The command line, read by declared types."""

import enum
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy_trial import arguments
from kubestudy_trial.coercion import coerce
from kubestudy_trial.failures import InvalidArgument


class Strategy(enum.StrEnum):
    NO = "no"
    EPOCH = "epoch"


@pytest.mark.parametrize(
    ("text", "declared", "value"),
    [
        ("1e-4", float, 1e-4),
        ("16", float, 16.0),
        ("16", int, 16),
        ("16.0", int, 16),
        ("1e3", int, 1000),
        ("-1", int, -1),
        ("True", bool, True),
        ("yes", bool, True),
        ("on", bool, True),
        ("no", bool, False),
        ("0", bool, False),
        ("none", int | None, None),
        ("3", int | None, 3),
        ("0.5", float | int, 0.5),
        ("none", None | str | list[str], "none"),
        ("wandb", None | str | list[str], "wandb"),
        ('["a", "b"]', None | str | list[str], ["a", "b"]),
        ("a,b", list[str], ["a", "b"]),
        ('{"num_cycles": 2}', dict | str | None, {"num_cycles": 2}),
        ("polynomial", dict | str | None, "polynomial"),
        ("epoch", Strategy | str, "epoch"),
        ("Epoch", Strategy, "epoch"),
        ("no", Strategy | str, "no"),
        ("true", str | bool, True),
        ("all", str | bool, "all"),
        ("regression", Literal["regression", "classes"] | None, "regression"),
        ("none", Literal["regression", "classes"] | None, None),
        ("2", Any, 2),
        ("gelu", Any, "gelu"),
    ],
)
def test_text_becomes_what_is_declared(text: str, declared: Any, value: Any) -> None:
    result = coerce("name", text, declared)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "declared", "words"),
    [
        ("16.5", int, "whole number"),
        ("many", int, "whole number"),
        ("inf", int, "finite"),
        ("fast", float, "must be a number"),
        ("nan", float, "finite"),
        ("maybe", bool, "true or false"),
        ("epoc", Strategy | str, "did you mean epoch"),
        ("cosine", Literal["a", "b"], "one of a, b"),
        ("[1", list[int], "JSON list"),
        ("[1]", dict, "JSON object"),
        ("x", int | None, "none"),
        ("x", object, "cannot be given"),
    ],
)
def test_a_wrong_value_says_what_is_expected(text: str, declared: Any, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as error:
        coerce("batch", text, declared)
    assert f"--batch={text}" in str(error.value)
    assert error.value.code == 64


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_comes_back_exactly(number: float) -> None:
    assert coerce("x", repr(number), float) == number


@given(st.integers())
def test_every_integer_comes_back_exactly(number: int) -> None:
    assert coerce("x", str(number), int) == number


def test_both_ways_of_writing_and_the_last_counts() -> None:
    argv = ["--a=1", "--b", "-2", "--flag", "--a-b=x=y", "--a", "3", "--empty="]
    assert arguments.parse(argv) == {
        "b": "-2", "flag": "true", "a_b": "x=y", "a": "3", "empty": "",
    }  # fmt: skip


@pytest.mark.parametrize("argv", [["train.csv"], ["--a=1", "2"], ["-x"], ["--"]])
def test_what_is_no_argument_is_refused(argv: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="--name=value"):
        arguments.parse(argv)


def test_old_names_are_taken_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    old = {
        "evaluation_strategy": "epoch",
        "warmup_ratio": "0.1",
        "group_by_length": "True",
        "no_cuda": "true",
        "logging_dir": "/x",
        "seed": "1",
    }
    assert arguments.rename(old, {"seed"}) == {
        "eval_strategy": "epoch",
        "warmup_steps": "0.1",
        "train_sampling_strategy": "group_by_length",
        "use_cpu": "true",
        "seed": "1",
    }
    assert "--evaluation_strategy is now --eval_strategy=epoch" in caplog.text
    assert "--logging_dir no longer exists" in caplog.text
    assert "seed" not in caplog.text


def test_an_old_name_that_is_still_known_stays() -> None:
    assert arguments.rename({"warmup_ratio": "0.1"}, {"warmup_ratio"}) == {"warmup_ratio": "0.1"}


def test_a_new_name_wins_over_the_old(caplog: pytest.LogCaptureFixture) -> None:
    given = {"eval_strategy": "steps", "evaluation_strategy": "epoch"}
    assert arguments.rename(given, {"eval_strategy"}) == {"eval_strategy": "steps"}
    assert "ignored" in caplog.text


@dataclass
class Settings:
    learning_rate: float = 1.0
    per_device_train_batch_size: int = 8


def test_arguments_go_to_who_declares_them() -> None:
    given = {"learning_rate": "1e-4", "other": "x"}
    assert arguments.take(given, arguments.declared_types(Settings)) == {"learning_rate": 1e-4}
    assert given == {"other": "x"}


@pytest.mark.parametrize(
    "given",
    [{"learning_rate": "-1"}, {"per_device_train_batch_size": "0"}],
)
def test_values_out_of_bounds_are_found_at_once(given: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument, match="at least"):
        arguments.take(given, arguments.declared_types(Settings))


@pytest.mark.parametrize(
    ("unknown", "meant"),
    [("learning_rte", "learning_rate"), ("lr", "learning_rate"), ("batch_size", "per_device")],
)
def test_an_unknown_argument_says_what_may_be_meant(unknown: str, meant: str) -> None:
    with pytest.raises(InvalidArgument, match=f"--{unknown}, did you mean {meant}"):
        arguments.refuse_rest({unknown: "1"}, arguments.declared_types(Settings))


def test_all_unknown_arguments_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"--qqq.*--zzz"):
        arguments.refuse_rest({"qqq": "1", "zzz": "2"}, ["learning_rate"])


@pytest.mark.parametrize("text", ["1", "-0.1", "1.5"])
def test_dropout_is_a_probability(text: str) -> None:
    with pytest.raises(InvalidArgument, match="dropout"):
        arguments.take_options({"dropout": text})
