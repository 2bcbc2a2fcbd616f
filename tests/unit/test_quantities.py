"""Amounts as Kubernetes writes them, beside the Python client's own reader."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity as theirs

from kubestudy.api.quantities import parse_quantity

SUFFIXES = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]


@given(st.decimals(0, 10**6, places=3), st.sampled_from(SUFFIXES), st.sampled_from(["", "-", "+"]))
def test_an_amount_is_read_as_the_client_reads_it(number: Decimal, suffix: str, sign: str) -> None:
    text = f"{sign}{number:f}{suffix}"
    assert parse_quantity(text) == Fraction(theirs(text))


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (2, 2),
        (1.5, Fraction(3, 2)),
        ("1000m", 1),
        ("1e0", 1),
        ("1E3", 1000),
        ("5e-1", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("2.", 2),
        ("1Ei", 1024**6),
    ],
)
def test_it_is_exact(value: object, amount: Fraction) -> None:
    assert parse_quantity(value) == amount


@pytest.mark.parametrize(
    "value", ["", "x", "1 Gi", "1gi", "0x10", "1e", "--1", "1_0", "9" * 100, None, True, [], "${a}"]
)
def test_what_is_none_is_none(value: object) -> None:
    assert parse_quantity(value) is None
