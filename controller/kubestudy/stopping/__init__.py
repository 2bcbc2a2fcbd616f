"""The rules of early stopping, one file each.

A new rule is a new module here with one subclass of
:class:`~kubestudy.stopping.base.StoppingRule`; it is found by walking the package, and nothing
else has to name it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

from kubestudy.stopping.base import StoppingRule


@cache
def available() -> dict[str, type[StoppingRule]]:
    """Returns the rules by name."""
    found: dict[str, type[StoppingRule]] = {}
    for module in pkgutil.iter_modules(__path__):
        members = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
        for member in members:
            if (
                inspect.isclass(member)
                and issubclass(member, StoppingRule)
                and not inspect.isabstract(member)
            ):
                found[member.name] = member
    return dict(sorted(found.items()))
