"""Sobol's sequence, scrambled (Sobol, 1967; Owen, 1995)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import islice
from typing import ClassVar

from kubestudy.algorithms.base import Observed, SearchAlgorithm
from kubestudy.algorithms.random import generator
from kubestudy.api.parameters import Assignment

BITS = 32
"""Digits of a coordinate that follow the sequence; what is finer is random."""

CHOICES = 24
"""Choices of initial numbers that are compared for each dimension."""


class Sobol(SearchAlgorithm):
    """Points that fill the space most evenly when their number is a power of two."""

    name: ClassVar[str] = "Sobol"

    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """Returns the point of this index."""
        return self.space.from_units(units(index, len(self.space.dimensions), self.seed))


def units(index: int, dimensions: int, seed: int) -> list[float]:
    """The point of an index in the unit cube.

    Args:
        index: From 0 to 2**32 - 1.
        dimensions: How many coordinates it has.
        seed: Of the scrambling.
    """
    return [
        _scrambled(_coordinate(index, column), seed, d)
        for d, column in enumerate(islice(_columns(dimensions), dimensions))
    ]


def _coordinate(index: int, directions: Sequence[int]) -> int:
    value = 0
    for direction in directions:
        if index & 1:
            value ^= direction
        index >>= 1
    return value


def _scrambled(value: int, seed: int, dimension: int) -> float:
    """Flips each digit or not, at random for each sequence of digits before it (Owen)."""
    key = f"{seed}/{dimension}/".encode()
    out = 0
    for place in range(BITS):
        before = value >> (BITS - place)
        flip = hashlib.blake2b(b"%b%d/%d" % (key, place, before), digest_size=1).digest()[0] & 1
        out = out << 1 | ((value >> (BITS - 1 - place) & 1) ^ flip)
    finer = hashlib.blake2b(b"%b/%d" % (key, value), digest_size=4).digest()
    fine = int.from_bytes(finer) >> (BITS - 21)
    return (out << 21 | fine) / 2.0 ** (BITS + 21)


@cache
def _columns(dimensions: int) -> tuple[tuple[int, ...], ...]:
    """The direction numbers of each coordinate: the columns of its generator matrix.

    The first coordinate is van der Corput's. Each other has a primitive polynomial of its own and
    initial numbers that are free to choose but odd: of a few choices, the one is taken whose
    points lie most evenly in the planes with the coordinates before it.
    """
    columns = [tuple(1 << (BITS - 1 - k) for k in range(BITS))]
    for polynomial in islice(_primitive_polynomials(), dimensions - 1):
        tried = {_initial(polynomial, choice) for choice in range(CHOICES)}
        candidates = [_directions(polynomial, initial) for initial in sorted(tried)]
        columns.append(min(candidates, key=lambda c: _unevenness(c, columns[-9:])))
    return tuple(columns)


def _initial(polynomial: int, choice: int) -> tuple[int, ...]:
    rng = generator(polynomial, choice)
    return tuple(2 * rng.randrange(1 << k) + 1 for k in range(polynomial.bit_length() - 1))


def _directions(polynomial: int, initial: tuple[int, ...]) -> tuple[int, ...]:
    """The recurrence of Bratley and Fox (ACM TOMS 14(1), 1988)."""
    degree = len(initial)
    m = list(initial)
    for k in range(degree, BITS):
        new = m[k - degree] ^ (m[k - degree] << degree)
        for i in range(1, degree):
            if polynomial >> (degree - i) & 1:
                new ^= m[k - i] << i
        m.append(new)
    return tuple(number << (BITS - 1 - k) for k, number in enumerate(m))


def _unevenness(column: tuple[int, ...], others: Sequence[tuple[int, ...]]) -> int:
    """How badly boxes of a plane are missed, over planes, numbers of points and shapes of boxes."""
    missed = 0
    for other in others:
        for bits in (6, 8):
            for of_this in range(1, bits):
                rows = _rows(column, of_this, bits) + _rows(other, bits - of_this, bits)
                missed += (bits - _rank(rows)) ** 3
    return missed


def _rows(column: tuple[int, ...], count: int, bits: int) -> list[int]:
    """The first rows of a generator matrix, over the first bits of an index."""
    return _all_rows(column, bits)[:count]


@lru_cache(maxsize=512)
def _all_rows(column: tuple[int, ...], bits: int) -> list[int]:
    return [
        sum((column[k] >> (BITS - 1 - row) & 1) << k for k in range(bits)) for row in range(bits)
    ]


def _rank(rows: list[int]) -> int:
    """The rank of a matrix of bits."""
    rank = 0
    rows = list(rows)
    while rows:
        pivot = rows.pop()
        if pivot:
            rank += 1
            low = pivot & -pivot
            rows = [row ^ pivot if row & low else row for row in rows]
    return rank


def _primitive_polynomials() -> Iterator[int]:
    """Primitive polynomials over GF(2), as bits, by their degree."""
    degree = 1
    while True:
        for middle in range(1 << (degree - 1)):
            polynomial = 1 << degree | middle << 1 | 1
            if _is_primitive(polynomial, degree):
                yield polynomial
        degree += 1


def _is_primitive(polynomial: int, degree: int) -> bool:
    """Whether x generates all that is not zero modulo the polynomial."""
    order = (1 << degree) - 1
    if _power_of_x(order, polynomial, degree) != 1:
        return False
    return all(_power_of_x(order // p, polynomial, degree) != 1 for p in _prime_factors(order))


def _power_of_x(exponent: int, polynomial: int, degree: int) -> int:
    result, base = 1, 2 if degree > 1 else 1
    while exponent:
        if exponent & 1:
            result = _product(result, base, polynomial, degree)
        base = _product(base, base, polynomial, degree)
        exponent >>= 1
    return result


def _product(a: int, b: int, polynomial: int, degree: int) -> int:
    result = 0
    while b:
        if b & 1:
            result ^= a
        b >>= 1
        a <<= 1
        if a >> degree & 1:
            a ^= polynomial
    return result


def _prime_factors(number: int) -> set[int]:
    found, p = set(), 2
    while p * p <= number:
        while number % p == 0:
            found.add(p)
            number //= p
        p += 1
    if number > 1:
        found.add(number)
    return found
