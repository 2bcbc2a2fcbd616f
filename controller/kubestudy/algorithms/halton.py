"""Halton's quasi-random sequence, scrambled (Owen, arXiv 1706.02808)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import ClassVar

from kubestudy.algorithms.base import Observed, SearchAlgorithm
from kubestudy.algorithms.random import generator
from kubestudy.api.parameters import Assignment

_DIGITS = 40
"""Digits of a coordinate that are computed at most; beyond them a double has no room."""


class Halton(SearchAlgorithm):
    """Points that fill the space more evenly than random ones; each depends on its index alone."""

    name: ClassVar[str] = "Halton"

    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """Returns the point of this index."""
        bases = _primes(len(self.space.dimensions))
        return self.space.from_units(
            [_radical_inverse(index, base, self.seed, i) for i, base in enumerate(bases)]
        )


def _radical_inverse(index: int, base: int, seed: int, dimension: int) -> float:
    """Mirrors the digits of an index at the point, each digit permuted at random."""
    value, scale = 0.0, 1.0 / base
    for place in range(_DIGITS):
        index, digit = divmod(index, base)
        value += _permutation(base, seed, dimension, place)[digit] * scale
        scale /= base
        if scale < 2**-53:
            break
    return min(value, 1 - 2**-53)


@lru_cache(maxsize=4096)
def _permutation(base: int, seed: int, dimension: int, place: int) -> tuple[int, ...]:
    digest = hashlib.sha256(f"{seed}/{dimension}".encode()).digest()
    digits = list(range(base))
    generator(int.from_bytes(digest[:8]), place).shuffle(digits)
    return tuple(digits)


@cache
def _primes(count: int) -> tuple[int, ...]:
    found: list[int] = []
    candidate = 2
    while len(found) < count:
        if all(candidate % p for p in found):
            found.append(candidate)
        candidate += 1
    return tuple(found)
