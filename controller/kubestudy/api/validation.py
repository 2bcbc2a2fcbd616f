"""Says what is wrong with an object, offline, as the API server would at ``kubectl apply``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from kubestudy.api import other_tools
from kubestudy.api.base import API_VERSION, ApiModel, Rule, nested_model
from kubestudy.api.field_errors import FieldError, did_you_mean, field_errors, join, listed, shown
from kubestudy.api.meta import ObjectMeta
from kubestudy.api.pod_template import unknown_fields
from kubestudy.api.study import Study

__all__ = ["FieldError", "InvalidObject", "did_you_mean", "parse_study", "read"]

MOST_UNKNOWN = 20
"""Unknown fields of a pod template that are told; more say no more."""
LONGEST_FIELD = 64

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")

Model = TypeVar("Model", bound=BaseModel)


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
    if wrong := _another_kind(document):
        raise InvalidObject([wrong])
    errors = list(duplicates(document, Study))
    try:
        study = read(Study, document)
    except InvalidObject as error:
        known = {e.field for e in error.errors}
        raise InvalidObject([e for e in errors if e.field not in known] + error.errors) from error
    errors += _wrong_names(study.metadata)
    errors += broken_rules(study)
    unknown = unknown_fields(study.spec.trial.template, "spec.trial.template")
    for path, name, fields in itertools.islice(unknown, MOST_UNKNOWN):
        hint = did_you_mean(name, fields) if len(name) <= LONGEST_FIELD else ""
        errors.append(FieldError(f"{path}.{name[:LONGEST_FIELD]}", f"unknown field{hint}"))
    if errors:
        raise InvalidObject(errors)
    return study


def read(model: type[Model], document: Any) -> Model:
    """Makes an object of a model of JSON data, whose fields have the names of the API.

    Raises:
        InvalidObject: It does not have the form of one.
    """
    try:
        return model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidObject(field_errors(error, model)) from error


def _another_kind(document: dict[str, Any]) -> FieldError | None:
    """That an object is no Study of this version."""
    version, kind = document.get("apiVersion"), document.get("kind")
    if kind == "Experiment" and str(version).startswith("kubeflow.org/"):
        return FieldError("kind", other_tools.KATIB_EXPERIMENT)
    for field, wanted, given in (("apiVersion", API_VERSION, version), ("kind", "Study", kind)):
        if given is None:
            return FieldError(field, f"must be {wanted!r}, and is missing{_of_another(document)}")
        if given != wanted:
            near = did_you_mean(str(given), [wanted])
            return FieldError(field, f"must be {wanted!r}, not {shown(given)}{near}")
    return None


def _of_another(document: dict[str, Any]) -> str:
    """Whose file it is that has no kind."""
    tools = {k: other_tools.FIELDS[k][0] for k in document if k in other_tools.FIELDS}
    if not tools:
        return ""
    return (
        f"; {listed(tools)} belong to {' or '.join(dict.fromkeys(tools.values()))}: see"
        " docs/other-tools.md for what they are in a Study"
    )


def _wrong_names(metadata: ObjectMeta) -> Iterator[FieldError]:
    """What Kubernetes says of the names of any object."""
    if not metadata.name and not metadata.generate_name:
        yield FieldError("metadata.name", "is missing: name the Study, such as name: mrpc")
    if metadata.name and (len(metadata.name) > 253 or not _SUBDOMAIN.fullmatch(metadata.name)):
        yield FieldError(
            "metadata.name",
            "must be a lowercase RFC 1123 subdomain: at most 253 lower case letters, digits, '-'"
            f" and '.', with a letter or digit at both ends, not {shown(metadata.name)}"
            + _as_label(metadata.name),
        )
    namespace = metadata.namespace
    if namespace and (len(namespace) > 63 or not _LABEL.fullmatch(namespace)):
        yield FieldError(
            "metadata.namespace",
            "must be a lowercase RFC 1123 label: at most 63 lower case letters, digits and '-', not"
            f" {shown(namespace)}",
        )


def _as_label(name: str) -> str:
    """A name that would do, as an advice."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].strip("-")
    return f"; write {label}" if label and len(name) <= 253 else ""


def broken_rules(model: ApiModel, path: str = "") -> list[FieldError]:
    """Lists the rules that a model or one of its parts breaks."""
    errors = [
        FieldError(join(path, rule.field), rule.message + _seen(rule, model))
        for rule in model.rules
        if not rule.holds(model)
    ]
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), join(path, field.alias or name)
        if isinstance(value, ApiModel):
            errors += broken_rules(value, here)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                if isinstance(item, ApiModel):
                    errors += broken_rules(item, f"{here}[{i}]")
    return errors


def _seen(rule: Rule, model: ApiModel) -> str:
    """What it is that breaks a rule, in parentheses."""
    if rule.seen is not None:
        return f" ({rule.seen(model)})"
    value: Any = model
    for name in rule.field.split("."):
        fields = type(value).model_fields if isinstance(value, ApiModel) else {}
        value = next((getattr(value, n) for n, f in fields.items() if (f.alias or n) == name), None)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    return f" ({rule.field.rpartition('.')[2]} is {shown(value)})"


def duplicates(document: Any, model: type[BaseModel], path: str = "") -> Iterator[FieldError]:
    """Finds items that stand twice in a list whose type is a set or a map."""
    for name, field in model.model_fields.items():
        alias = field.alias or name
        value = document.get(alias) if isinstance(document, dict) else None
        here = join(path, alias)
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
    seen: set[Any] = set()
    for i, value in enumerate(values):
        if value is None or isinstance(value, list | dict):
            continue  # Of another type than is wanted, which is said elsewhere.
        if value in seen:
            yield FieldError(
                f"{path}[{i}]{suffix}",
                f"duplicate value: {shown(value)}; it may stand once, so remove one",
            )
        seen.add(value)
