"""The search algorithms, one file each.

A new algorithm is a new module here with one subclass of
:class:`~kubestudy.algorithms.base.SearchAlgorithm`; it is found by walking the package, and
nothing else has to name it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

from kubestudy.algorithms import custom
from kubestudy.algorithms.base import SearchAlgorithm


@cache
def available() -> dict[str, type[SearchAlgorithm]]:
    """Returns the algorithms by name."""
    found: dict[str, type[SearchAlgorithm]] = {}
    for module in pkgutil.iter_modules(__path__):
        members = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
        for member in members:
            if (
                inspect.isclass(member)
                and issubclass(member, SearchAlgorithm)
                and not inspect.isabstract(member)
            ):
                found[member.name] = member
    return dict(sorted(found.items()))


def find(name: str) -> type[SearchAlgorithm] | None:
    """The algorithm of a name: one of our own, or a sampler that the administrator allows."""
    return available().get(name) or custom.allowed(name)
