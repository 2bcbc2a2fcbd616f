"""What is kept of an object of which only a few fields are ever looked at.

A Job holds the whole pod template, and a pod all that its user wrote. Both may have a megabyte, and
there are as many as there are runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

Manifest = dict[str, Any]


class Keep(Enum):
    """What is kept of a field that has no fields of its own."""

    SCALAR = "a string, a number or a boolean"


SCALAR = Keep.SCALAR

Fields = Mapping[str, "Kept"]
"""What is kept of an object, by the names of its fields."""

Kept = Keep | Fields | list[Fields]
"""What is kept of a field; of a list, what is kept of each item."""

METADATA: Fields = {
    "name": SCALAR,
    "namespace": SCALAR,
    "uid": SCALAR,
    "resourceVersion": SCALAR,
    "creationTimestamp": SCALAR,
    "deletionTimestamp": SCALAR,
    "deletionGracePeriodSeconds": SCALAR,
    "ownerReferences": [
        {"apiVersion": SCALAR, "kind": SCALAR, "name": SCALAR, "uid": SCALAR, "controller": SCALAR}
    ],
}
CONDITION: Fields = {
    "type": SCALAR,
    "status": SCALAR,
    "reason": SCALAR,
    "message": SCALAR,
    "lastTransitionTime": SCALAR,
}


def project(value: Manifest, fields: Fields) -> Manifest:
    """Copies what is kept of an object.

    Args:
        value: The object, which is not changed.
        fields: What is kept.

    Raises:
        ValueError: A field is not of the kind that Kubernetes says it is.
    """
    return {name: _kept(value[name], kept, name) for name, kept in fields.items() if name in value}


def _kept(value: Any, kept: Kept, name: str) -> Any:
    if value is None:
        return None
    if isinstance(kept, Mapping):
        if not isinstance(value, dict):
            raise ValueError(f"{name} is no object: {str(value)[:80]!r}")
        return project(value, kept)
    if isinstance(kept, list):
        if not isinstance(value, list):
            raise ValueError(f"{name} is no list: {str(value)[:80]!r}")
        return [_kept(item, kept[0], f"{name}[]") or {} for item in value]
    if not isinstance(value, str | int | float):
        raise ValueError(f"{name} is not {kept.value}: {str(value)[:80]!r}")
    return value
