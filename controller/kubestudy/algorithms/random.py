"""Random search (Bergstra and Bengio, JMLR 2012)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import ClassVar

from kubestudy.algorithms.base import Observed, SearchAlgorithm
from kubestudy.api.parameters import Assignment


def generator(seed: int, index: int) -> random.Random:
    """A random generator that depends on nothing but its arguments."""
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return random.Random(int.from_bytes(digest))


class Random(SearchAlgorithm):
    """Independent points, each parameter evenly on its own scale.

    A space with finitely many, equally likely points is drawn from without replacement: no
    configuration comes twice, and the end is known.
    """

    name: ClassVar[str] = "Random"

    @property
    def size(self) -> int | None:
        """The number of points where they are drawn without replacement, else None."""
        return self.space.size if self.space.is_uniform else None

    def suggest(self, index: int, history: Sequence[Observed] = ()) -> Assignment:
        """Returns the point of this index."""
        if self.size is not None:
            return self.space.point(permuted(index, self.size, self.seed))
        rng = generator(self.seed, index)
        return self.space.from_units([rng.random() for _ in self.space.dimensions])


def permuted(index: int, size: int, seed: int) -> int:
    """The image of an index under a pseudo-random permutation of ``range(size)``.

    A Feistel network over the next even number of bits, walked until it lands inside
    (Black and Rogaway, CT-RSA 2002, "cycle walking"), so that it takes no memory at any size.
    """
    half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for round_ in range(6):
            digest = hashlib.sha256(f"{seed}/{round_}/{right}".encode()).digest()
            left, right = right, left ^ (int.from_bytes(digest[:8]) & mask)
        index = left << half | right
        if index < size:
            return index
