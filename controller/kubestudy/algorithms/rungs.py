"""Hyperband's table of brackets and rungs (Li et al., JMLR 18(185), 2018, Algorithm 1, Table 1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from kubestudy.api.algorithm import Resource


@dataclass(frozen=True)
class Bracket:
    """One run of successive halving: many trials with little of the resource, few with all of it.

    Attributes:
        resources: The resource at each rung, rising to the largest one (``r_i``).
        sizes: How many trials come to each rung (``n_i``); the first are all of the bracket's.
    """

    resources: tuple[int, ...]
    sizes: tuple[int, ...]


@cache
def brackets(resource: Resource) -> tuple[Bracket, ...]:
    """The brackets of one iteration of Hyperband, the one with the most rungs first.

    All in integers: floating point would lose a bracket of 243 = 3^5. A resource that is no
    whole number, such as the 100/64 of (R, eta) = (100, 4), is rounded down.
    """
    low, high, eta = resource.min, resource.max, resource.eta
    most = 0  # s_max, the largest s with min * eta^s <= max
    while low * eta ** (most + 1) <= high:
        most += 1
    found = []
    for s in range(most, -1, -1):
        trials = -(-(most + 1) * eta**s // (s + 1))
        found.append(
            Bracket(
                resources=tuple(high // eta ** (s - i) for i in range(s + 1)),
                sizes=tuple(trials // eta**i for i in range(s + 1)),
            )
        )
    return tuple(found)


def levels(resource: Resource) -> tuple[int, ...]:
    """The resources at which any trial may be judged, rising; every bracket's are among them."""
    return brackets(resource)[0].resources
