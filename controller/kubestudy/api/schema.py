"""Words of OpenAPI that Kubernetes adds: how lists are told apart and merged."""

from __future__ import annotations

from pydantic.config import JsonDict


def list_map(key: str) -> JsonDict:
    """Schema keys of a list whose items are told apart by one field."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


ATOMIC: JsonDict = {"x-kubernetes-list-type": "atomic"}
