"""Whether a pod template is made as a pod template is, as far as a Job is built from it.

The CRD knows the names of a template's fields (``api/pod_template.py``) and leaves their values
open, since a placeholder may stand for any of them. What kubestudy itself looks into must be what
it takes it for; all else the API server checks when the Job is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubestudy.api.field_errors import FieldError, in_quotes, shown


@dataclass(frozen=True)
class _Fields:
    """An object of which some fields are known."""

    fields: dict[str, _Shape]
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class _MapOf:
    """An object with any keys, and values that are alike."""

    values: _Shape


@dataclass(frozen=True)
class _ListOf:
    """A list of items that are alike."""

    items: _Shape


@dataclass(frozen=True)
class _Text:
    """A string; a number or a boolean in its place lacks its quotes."""


_Shape = _Fields | _MapOf | _ListOf | _Text
_TEXT, _ANY = _Text(), _Fields({})
_STRINGS = _MapOf(_TEXT)
_METADATA = _Fields({"labels": _STRINGS, "annotations": _STRINGS})
_CONTAINER = _Fields(
    {
        "name": _TEXT,
        "image": _TEXT,
        "command": _ListOf(_TEXT),
        "args": _ListOf(_TEXT),
        "env": _ListOf(_Fields({"name": _TEXT, "value": _TEXT}, required=("name",))),
        "envFrom": _ListOf(_ANY),
        "resources": _Fields({"limits": _ANY, "requests": _ANY, "claims": _ListOf(_ANY)}),
        "volumeMounts": _ListOf(_ANY),
        "ports": _ListOf(_ANY),
        "securityContext": _ANY,
    },
    required=("name", "image"),
)
_TEMPLATE = _Fields(
    {
        "metadata": _METADATA,
        "spec": _Fields(
            {
                "containers": _ListOf(_CONTAINER),
                "initContainers": _ListOf(_CONTAINER),
                "volumes": _ListOf(_Fields({"name": _TEXT}, required=("name",))),
                "nodeSelector": _STRINGS,
                "tolerations": _ListOf(_ANY),
                "imagePullSecrets": _ListOf(_ANY),
                "resourceClaims": _ListOf(_ANY),
                "affinity": _ANY,
                "securityContext": _ANY,
            },
            required=("containers",),
        ),
    },
    required=("spec",),
)


def shape_problems(template: Any) -> Iterator[FieldError]:
    """Lists what in a pod template is of the wrong type or missing, with paths within it."""
    yield from _misshapen(template, _TEMPLATE, "")


def _misshapen(value: Any, shape: _Shape, path: str) -> Iterator[FieldError]:
    match shape, value:
        case _Text(), str():
            return
        case _Text(), _:
            advice = "" if isinstance(value, dict | list | None) else f": {in_quotes(value)}"
            yield FieldError(path, f"must be a string, not {shown(value)}{advice}")
        case _ListOf(items), list():
            for i, item in enumerate(value):
                yield from _misshapen(item, items, f"{path}[{i}]")
        case _ListOf(), _:
            yield FieldError(path, f"must be a list, not {shown(value)}")
        case _MapOf(values), dict():
            for key, item in value.items():
                yield from _misshapen(item, values, f"{path}.{key}")
        case _Fields(fields, required), dict():
            for name in required:
                if value.get(name) in (None, "", []):
                    yield FieldError(f"{path}.{name}".lstrip("."), "is required")
            for name, field in fields.items():
                if value.get(name) is not None:
                    yield from _misshapen(value[name], field, f"{path}.{name}".lstrip("."))
        case _:
            yield FieldError(path, f"must be an object, not {shown(value)}")
