"""Each target of the fuzzer holds up against some odd inputs; `make test-faults` has more."""

from __future__ import annotations

import pytest

from tests.fuzz.__main__ import fuzz
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_odd_is_an_unhandled_exception(name: str) -> None:
    assert fuzz(TARGETS[name], number=2026, examples=150) >= 150
