"""Wilcoxon's signed-rank test (Wilcoxon, Biometrics Bulletin 1945), one-sided.

Differences of zero are not left out: their ranks are split evenly between both signs. Equal
differences share the mean of their ranks. Both are as in Optuna's pruner of the same name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

EXACT_UP_TO = 50
"""With more pairs than this, the distribution is taken for normal."""


def p_value(differences: Sequence[float]) -> float:
    """Probability of differences at least as positive as these, were each sign a fair coin's.

    Args:
        differences: Of each pair; at least one.

    Returns:
        Between 0 and 1: exact for at most ``EXACT_UP_TO`` differences, ties and zeros included,
        else by the normal approximation with a continuity correction.
    """
    doubled = _doubled_ranks(differences)
    coins = [rank for rank, d in zip(doubled, differences, strict=True) if d]
    observed = sum(rank for rank, d in zip(doubled, differences, strict=True) if d > 0)
    # The half of the zeros' ranks is the same on both sides of the comparison, and falls out.
    if len(differences) <= EXACT_UP_TO:
        return _exact(coins, observed)
    return _normal(coins, observed)


def _doubled_ranks(differences: Sequence[float]) -> list[int]:
    """Twice the rank of each size, from 1; doubled, the mean of equal ones' ranks is whole."""
    sizes = sorted(abs(d) for d in differences)
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for rank, size in enumerate(sizes, 1):
        first.setdefault(size, rank)
        last[size] = rank
    return [first[abs(d)] + last[abs(d)] for d in differences]


def _exact(coins: Sequence[int], observed: int) -> float:
    """Counts the choices of signs whose sum of positive ranks is at least the one observed."""
    ways = [1] + [0] * sum(coins)
    reached = 0
    for coin in coins:
        reached += coin
        for total in range(reached, coin - 1, -1):
            ways[total] += ways[total - coin]
    return sum(ways[observed:]) / float(2 ** len(coins))


def _normal(coins: Sequence[int], observed: int) -> float:
    """The same by the normal distribution with the same mean and variance."""
    mean = sum(coins) / 2
    deviation = math.sqrt(sum(coin * coin for coin in coins)) / 2
    if not deviation:
        return 1.0
    # Sums of doubled ranks are two apart, so half the distance is one.
    return min(1.0, math.erfc((observed - 1 - mean) / deviation / math.sqrt(2)) / 2)
