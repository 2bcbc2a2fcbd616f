"""Sobol's sequence keeps the balance that it is known for, scrambled as well."""

from __future__ import annotations

from itertools import islice

import pytest

from kubestudy.algorithms.sobol import _columns, _primitive_polynomials, _rank, _rows, units


def test_the_primitive_polynomials_are_as_many_as_there_are() -> None:
    # Euler's phi of 2^n - 1, divided by n (OEIS A011260).
    counts = [1, 1, 2, 2, 6, 6, 18, 16]
    found = list(islice(_primitive_polynomials(), sum(counts)))
    assert [sum(p.bit_length() - 1 == n for p in found) for n in range(1, 9)] == counts
    assert found[:4] == [0b11, 0b111, 0b1011, 0b1101]


def test_64_dimensions_have_a_matrix_each_that_loses_no_digit() -> None:
    columns = _columns(64)
    assert len(set(columns)) == 64
    assert all(_rank(_rows(column, 16, 16)) == 16 for column in columns)


@pytest.mark.parametrize("seed", [0, 7])
def test_each_interval_of_each_dimension_holds_one_point(seed: int) -> None:
    points = [units(i, 40, seed) for i in range(32)]
    for d in range(40):
        assert sorted(int(p[d] * 32) for p in points) == list(range(32))


@pytest.mark.parametrize("start", [0, 64])
def test_each_box_of_the_first_plane_holds_one_point(start: int) -> None:
    points = [units(i, 2, 3) for i in range(start, start + 64)]
    for bits in range(7):
        boxes = {(int(x * 2**bits), int(y * 2 ** (6 - bits))) for x, y in points}
        assert len(boxes) == 64


def test_the_planes_of_ten_dimensions_are_even() -> None:
    points = [units(i, 10, 1) for i in range(256)]
    boxes = [
        len({(int(p[a] * 8), int(p[b] * 8)) for p in points}) for a in range(10) for b in range(a)
    ]
    assert min(boxes) >= 32
    assert boxes.count(64) >= 43, "of 45 planes"


def test_a_coordinate_is_within_the_unit_interval_at_any_index() -> None:
    for index in (0, 2**31, 2**32 - 1):
        assert all(0 <= u < 1 for u in units(index, 64, 5))
