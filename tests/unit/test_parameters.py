"""How a parameter's value is written, so that every program reads the same value."""

from __future__ import annotations

import csv
import json
from io import StringIO
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kubestudy.api import manifests
from kubestudy.api.parameters import Parameter, float_text
from kubestudy.core.facts import RunKey
from kubestudy.workloads.told import environment
from tests.unit.build import study, trial

DOUBLE = Parameter(name="x", min=0, max=1)


@given(number=st.floats(allow_nan=False, allow_infinity=False))
@example(1e-05)
@example(1e16)
@example(5e-324)
@example(-1e22)
@example(-0.0)
@settings(max_examples=500, deadline=None)
def test_every_reader_has_the_very_same_number(number: float) -> None:
    text = DOUBLE.text(number)
    readers: list[Any] = [float, json.loads, yaml.safe_load, manifests.plain]
    for read in readers:
        value = read(text)
        assert type(value) is float, read
        assert value.hex() == number.hex(), read
    assert yaml.safe_load(f"x: {text}") == {"x": number}
    assert [[text]] == list(csv.reader(StringIO(text)))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1e-05, "1.0e-05"),
        (3.5e-05, "3.5e-05"),
        (1e16, "1.0e+16"),
        (100.0, "100.0"),
        (0.001, "0.001"),
        (-2e-300, "-2.0e-300"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_a_number_has_a_point(number: float, text: str) -> None:
    assert float_text(number) == text


def test_the_variable_of_the_parameters_is_written_alike() -> None:
    space = [
        {"name": "lr", "values": [1e-05, 0.5]},
        {"name": "size", "values": [1, 2]},
        {"name": "scale", "min": 0, "max": 1},
        {"name": "kind", "choices": ['"ü"\n', "1e-05"]},
    ]
    point = {"lr": 1e-05, "size": 2, "scale": 1, "kind": '"ü"\n'}
    env = environment(study(parameters=space), trial(parameters=point), RunKey("demo-0"))
    text = env["KUBESTUDY_PARAMETERS"]
    assert text == '{"lr": 1.0e-05, "size": 2, "scale": 1.0, "kind": "\\"ü\\"\\n"}'
    for read in (json.loads, yaml.safe_load):
        assert read(text) == point
        assert isinstance(read(text)["lr"], float)
