"""Says what is wrong with an object, offline, as the API server would at ``kubectl apply``."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from kubestudy.api.base import API_VERSION, ApiModel, nested_model
from kubestudy.api.meta import ObjectMeta
from kubestudy.api.pod_template import unknown_fields
from kubestudy.api.study import Study

MOST_UNKNOWN = 20
"""Unknown fields of a pod template that are told; more say no more."""
LONGEST_FIELD = 64

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong.

    Attributes:
        field: Path of the field, such as ``spec.parameters[0].min``.
        message: What is wrong and what to do.
    """

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidObject(ValueError):
    """An object that breaks its schema; ``errors`` says where and how."""

    def __init__(self, errors: list[FieldError]):
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


def parse_study(document: Any) -> Study:
    """Reads a Study as the API server would.

    Args:
        document: The object as JSON data.

    Raises:
        InvalidObject: It is not a valid Study.
    """
    if not isinstance(document, dict):
        raise InvalidObject([FieldError("", "is not an object; a Study begins with apiVersion")])
    wanted = {"apiVersion": API_VERSION, "kind": "Study"}
    for field, value in wanted.items():
        if document.get(field) != value:
            raise InvalidObject(
                [FieldError(field, f"must be {value!r}, not {document.get(field)!r}")]
            )
    errors = list(duplicates(document, Study))
    try:
        study = Study.model_validate(document)
    except ValidationError as error:
        # A number is tried as an integer first and as a float last: the last error counts.
        worded = {e.field: e for e in map(_field_error, error.errors())}
        raise InvalidObject(errors + list(worded.values())) from error
    errors += _wrong_names(study.metadata)
    errors += broken_rules(study)
    unknown = unknown_fields(study.spec.trial.template, "spec.trial.template")
    for path, name, known in itertools.islice(unknown, MOST_UNKNOWN):
        hint = did_you_mean(name, known) if len(name) <= LONGEST_FIELD else ""
        errors.append(FieldError(f"{path}.{name[:LONGEST_FIELD]}", f"unknown field{hint}"))
    if errors:
        raise InvalidObject(errors)
    return study


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Names the known word that is closest to a given one, in parentheses; empty if none is."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(given.lower(), by_lower, n=1)
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""


def _wrong_names(metadata: ObjectMeta) -> Iterator[FieldError]:
    """What Kubernetes says of the names of any object."""
    if not metadata.name and not metadata.generate_name:
        yield FieldError("metadata.name", "is missing")
    if metadata.name and (len(metadata.name) > 253 or not _SUBDOMAIN.fullmatch(metadata.name)):
        yield FieldError(
            "metadata.name",
            "must be a lowercase RFC 1123 subdomain: at most 253 lower case letters, digits, '-'"
            " and '.', with a letter or digit at both ends",
        )
    namespace = metadata.namespace
    if namespace and (len(namespace) > 63 or not _LABEL.fullmatch(namespace)):
        yield FieldError(
            "metadata.namespace",
            "must be a lowercase RFC 1123 label: at most 63 lower case letters, digits and '-'",
        )


def broken_rules(model: ApiModel, path: str = "") -> list[FieldError]:
    """Lists the rules that a model or one of its parts breaks."""
    errors = [
        FieldError(_join(path, rule.field), rule.message)
        for rule in model.rules
        if not rule.holds(model)
    ]
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), _join(path, field.alias or name)
        if isinstance(value, ApiModel):
            errors += broken_rules(value, here)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                if isinstance(item, ApiModel):
                    errors += broken_rules(item, f"{here}[{i}]")
    return errors


def duplicates(document: Any, model: type[BaseModel], path: str = "") -> Iterator[FieldError]:
    """Finds items that stand twice in a list whose type is a set or a map."""
    for name, field in model.model_fields.items():
        alias = field.alias or name
        value = document.get(alias) if isinstance(document, dict) else None
        here = _join(path, alias)
        nested = nested_model(field.annotation)
        if isinstance(value, dict) and nested:
            yield from duplicates(value, nested, here)
        if not isinstance(value, list):
            continue
        extra = field.json_schema_extra
        schema: dict[str, Any] = dict(extra) if isinstance(extra, dict) else {}
        match schema.get("x-kubernetes-list-type"):
            case "set":
                yield from _repeated(value, here)
            case "map":
                (key,) = schema["x-kubernetes-list-map-keys"]
                yield from _repeated(
                    (i.get(key) if isinstance(i, dict) else None for i in value), here, f".{key}"
                )
        if nested:
            for i, item in enumerate(value):
                yield from duplicates(item, nested, f"{here}[{i}]")


def _repeated(values: Iterable[Any], path: str, suffix: str = "") -> Iterator[FieldError]:
    seen: list[Any] = []
    for i, value in enumerate(values):
        if value is not None and value in seen:
            yield FieldError(f"{path}[{i}]{suffix}", f"duplicate value: {value!r}")
        seen.append(value)


def _join(path: str, field: str) -> str:
    return f"{path}.{field}" if path and field else path or field


def _field_error(error: Any) -> FieldError:
    """Words one of pydantic's errors for somebody who wrote YAML."""
    path = ""
    for part in error["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (part in ("int", "float", "str") or part.startswith("function-")):
            path = _join(path, part)
    kind, given = error["type"], error["input"]
    message: str = error["msg"]
    if kind == "extra_forbidden":
        return FieldError(path, "unknown field")
    if kind == "missing":
        return FieldError(path, "is required")
    message = message[:1].lower() + message[1:]
    message = message.replace("input should be", "must be").replace("string should", "must")
    shown = repr(given)
    return FieldError(path, f"{message}, not {shown if len(shown) <= 80 else shown[:77] + '...'}")
