"""What is wrong with a field, in words for who wrote the YAML; nobody is shown pydantic's own."""

from __future__ import annotations

import difflib
import functools
import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import EnumType
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from kubestudy.api import other_tools
from kubestudy.api.base import nested_model
from kubestudy.api.manifests import plain
from kubestudy.api.meta import ObjectMeta

_SHOWN = 80
"""No more characters of a value are shown."""
_WORDED = 100
"""No more of pydantic's errors are worded: a list may hold as many as an object has bytes."""
_COMMAND = 200
"""No more characters of a command that stands as one string are split into words."""
_NAMED = 24
"""No more known names are listed."""

PATTERNS = {
    r"^[A-Za-z_][A-Za-z0-9_.\-]*$": "a name of letters, digits, '_', '.' and '-' that begins with"
    " a letter or '_'",
    r"^[A-Za-z_][A-Za-z0-9_./\-]*$": "a name of letters, digits, '_', '.', '/' and '-' that begins"
    " with a letter or '_'",
    r"^[A-Za-z][A-Za-z0-9\-]*$": "a name of letters, digits and '-' that begins with a letter",
    r"^[a-z0-9.\-]+/[A-Za-z0-9._\-]+$": "the name of a resource, such as nvidia.com/gpu",
    r"^([0-9]+(d|h|m|s))+$": "a duration in whole d, h, m or s, such as 90s, 30m or 1d12h",
}
"""The patterns of the API in words."""

_TYPES = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_parsing_size": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "greater than or equal to"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "less than or equal to"),
}
_NUMBERS = ("an integer", "a number", "a finite number")


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


def field_errors(
    error: ValidationError, model: type[BaseModel], path: str = "", owner: str = "this object"
) -> list[FieldError]:
    """Words what pydantic found wrong with an object, or the beginning of it.

    Args:
        error: What it found.
        model: What the object should have been.
        path: Where the object stands.
        owner: What takes the fields of the object, such as the name of an algorithm.
    """
    found: dict[str, list[_Wrong]] = {}
    for e in error.errors(include_url=False)[:_WORDED]:
        wrong = _Wrong(e, _place(e["loc"], model))
        found.setdefault(join(path, wrong.place.path), []).append(wrong)
    told: set[str] = set()
    errors = []
    for field, wrongs in found.items():
        place = wrongs[-1].place
        if wrongs[-1].kind == "extra_forbidden":
            above = place.path.removesuffix(place.name)
            message = _unknown(place, model) + ("" if above in told else _takes(place, owner))
            told.add(above)  # The names that are known there are listed once.
        else:
            message = _message(wrongs)
        errors.append(FieldError(field, message))
    return errors


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Names the known word that is closest to a given one, in parentheses; empty if none is."""
    by_lower = {k.lower(): k for k in known}
    word = given.lower()
    if (ours := other_tools.VALUES.get(word, "")) in by_lower.values():
        return f" (did you mean {ours}?)"
    close = difflib.get_close_matches(word, by_lower, n=1)
    close += [k for k in by_lower if len(k) > 2 and len(word) > 2 and _begins(k, word)]
    return f" (did you mean {by_lower[close[0]]}?)" if close else ""


def _begins(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def join(path: str, field: str) -> str:
    """The path of a field within the object at a path."""
    if field.startswith("["):
        return path + field
    return f"{path}.{field}" if path and field else path or field


def shown(value: Any) -> str:
    """A value as a person wrote it, or nearly so, in bounded length."""
    plain_json = value is None or isinstance(value, bool | list | dict)
    text = (
        json.dumps(value, ensure_ascii=False, default=str)
        if plain_json
        else repr(str(value) if isinstance(value, str) else value)
    )
    text = text[: _SHOWN + 1]
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return shortened(text)


def shortened(text: str) -> str:
    """A text of the user's as a message has it: not all of it where it is long."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def listed(names: Iterable[str]) -> str:
    """Known names in one line, as many as a person reads."""
    known = list(names)
    return ", ".join(known[:_NAMED]) + (", ..." if len(known) > _NAMED else "")


def is_number(text: str) -> bool:
    """Whether YAML reads a text as a number where it is not in quotes."""
    value = plain(text) if text else ""
    return isinstance(value, int | float) and not isinstance(value, bool)


def in_quotes(value: Any) -> str:
    """How to write what YAML took for something else than a string, as an advice."""
    if isinstance(value, bool):
        words = ("y", "yes", "on", "true") if value else ("n", "no", "off", "false")
        quoted = [f'"{w}"' for w in words]
        return (
            f"YAML takes {', '.join(words[:-1])} and {words[-1]} without quotes for {words[-1]};"
            f" quote it: {', '.join(quoted[:-1])} or {quoted[-1]}"
        )
    return f'quote it: "{shown(value)}"'


@dataclass(frozen=True)
class _Place:
    """Where an error is.

    Attributes:
        path: From the object on.
        name: The field's own name.
        owner: The model that has the field, or should have it.
        field: The field, None where the place is an item of it or the model has no such field.
        type: What should be there, as far as it is known.
    """

    path: str
    name: str
    owner: type[BaseModel] | None
    field: FieldInfo | None
    type: Any


@dataclass(frozen=True)
class _Wrong:
    error: Any
    place: _Place

    @property
    def kind(self) -> str:
        kind: str = self.error["type"]
        return kind


def _place(loc: tuple[int | str, ...], model: type[BaseModel]) -> _Place:
    """Follows pydantic's path, in which the branches of unions and validators stand as well."""
    place = _Place("", "", None, None, model)
    for part in loc:
        kind = _bare(place.type)
        if isinstance(part, int):
            items = get_args(kind)
            item = items[0] if items else None
            place = _Place(f"{place.path}[{part}]", place.name, place.owner, None, item)
        elif _is_model(kind):
            field = _fields(kind).get(part) or kind.model_fields.get(part)
            wanted = field.annotation if field else None
            place = _Place(join(place.path, part), part, kind, field, wanted)
        elif get_origin(kind) is dict and part != "[key]":
            value = get_args(kind)[1]
            place = _Place(join(place.path, part), part, place.owner, None, value)
    return place


def _bare(annotation: Any) -> Any:
    """A type without what is said about it, and without None."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [a for a in get_args(annotation) if a is not NoneType]
        return _bare(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def _is_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by the names that people write."""
    return {f.alias or name: f for name, f in model.model_fields.items()}


def _message(wrongs: list[_Wrong]) -> str:
    """What is wrong with one field.

    A value that may be of several types has an error for each, a number as an integer first and as
    a float last: the last error counts.
    """
    last = wrongs[-1]
    place, given, kind = last.place, last.error["input"], last.kind
    context = last.error.get("ctx", {})
    if kind == "missing":
        return f"is required{_wanted(place)}"
    if kind == "value_error":
        return str(context.get("error") or "is not valid")
    if kind in _TYPES:
        kinds = {_TYPES[w.kind] for w in wrongs if w.kind in _TYPES}
        if kinds >= {"a number", "a string"}:
            return f"must be a number or a string, not {shown(given)}"
        return _mistyped(place, _TYPES[kind], given)
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"must be {words} {context[bound]:g}, not {shown(given)}"
    if kind in ("enum", "literal_error"):
        return _no_choice(place, given)
    if kind == "string_pattern_mismatch":
        return _no_match(context["pattern"], given)
    if kind in ("too_short", "too_long"):
        return _number_of_items(place, kind, context)
    if kind == "string_too_short":
        return "must not be empty"
    if kind == "string_too_long":
        longest = context["max_length"]
        return f"must have at most {longest} characters, not {len(given)}: {shown(given)}"
    if kind.startswith("datetime"):
        return f"must be a time such as 2026-01-31T12:00:00Z, not {shown(given)}"
    return f"is not valid: {shown(given)}"


def _wanted(place: _Place) -> str:
    """What a field should have, in the API's own words."""
    if _bare(place.type) is ObjectMeta:
        return ": write metadata: {name: ...}"
    if isinstance(kind := _bare(place.type), EnumType):
        return f": {_one_of(_choices(kind))}"
    told = (place.field.description if place.field else None) or ""
    first = told.partition(". ")[0].rstrip(".")
    text = f": {first[:1].lower()}{first[1:]}" if first else ""
    return f"{text}; it takes {listed(_fields(kind))}" if _is_model(kind) else text


def _unknown(place: _Place, root: type[BaseModel]) -> str:
    """That there is no such field; what it is called here, or where it belongs."""
    known = _fields(place.owner) if place.owner else {}
    if place.owner and _plain_name(place.name) not in map(_plain_name, known):
        theirs = other_tools.counterpart(place.owner.__name__, place.name)
        homes = _homes(root).get(_plain_name(place.name), ())
        if theirs is not None:
            return f"unknown field: {theirs}"
        if 0 < len(homes) <= 2:
            return f"unknown field: it belongs to {' or '.join(homes)}"
    return f"unknown field{did_you_mean(place.name, known)}"


def _takes(place: _Place, owner: str) -> str:
    """Which fields there are where a place names one that is not among them."""
    known = _fields(place.owner) if place.owner else {}
    return f"; {_above(place) or owner} takes {listed(known) or 'none'}"


def _above(place: _Place) -> str:
    """What has the field that a place names, for a person; empty where it is the whole object."""
    above = place.path.removesuffix(place.name).rstrip(".")
    name = above.rpartition(".")[2].partition("[")[0]
    return f"each of {name}" if above.endswith("]") else name


def _plain_name(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


@functools.cache
def _homes(root: type[BaseModel]) -> dict[str, list[str]]:
    """Where in a spec each field stands, by its name."""
    found: dict[str, list[str]] = {}
    if "spec" in root.model_fields and (spec := nested_model(root.model_fields["spec"].annotation)):
        for path, name in _walk(spec, "spec"):
            found.setdefault(_plain_name(name), []).append(path)
    return found


def _walk(model: type[BaseModel], path: str) -> Iterator[tuple[str, str]]:
    """All fields below a model: the path of what has each, and its name."""
    for name, field in _fields(model).items():
        yield path, name
        if (nested := nested_model(field.annotation)) is not None:
            items = "[]" if get_origin(_bare(field.annotation)) is list else ""
            yield from _walk(nested, f"{path}.{name}{items}")


def _mistyped(place: _Place, wanted: str, given: Any) -> str:
    """That a value is of another type, and how to write it as the one that is wanted."""
    if given is None:
        return f"is empty here, and must be {wanted}"
    if wanted == "a string" and (pattern := _pattern(place)) and not isinstance(given, bool):
        return f"must be {PATTERNS.get(pattern, wanted)}, not {shown(given)}"
    wrong = f"must be {wanted}, not {shown(given)}"
    if wanted == "a string":
        return f"{wrong}: {_as_string(place, given)}"
    if wanted in _NUMBERS and isinstance(given, str):
        return wrong + _as_number(place, given)
    if wanted == "true or false" and isinstance(given, str) and isinstance(plain(given), bool):
        return f"{wrong}: remove the quotes"
    if wanted == "a list":
        return f"{wrong}: {_as_list(place, given)}"
    if wanted == "an object":
        return f"{wrong}: {_as_object(place, given)}"
    return wrong


def _as_string(place: _Place, given: Any) -> str:
    if isinstance(given, dict):
        return "a colon and a blank made it an object; quote it"
    if isinstance(given, list):
        return "write one string"
    number = not isinstance(given, bool)
    return in_quotes(given) + (
        ", or move the numbers to values" if number and place.name == "choices" else ""
    )


def _as_number(place: _Place, given: str) -> str:
    if is_number(given):
        return ": remove the quotes"
    return "; strings go to choices" if place.name == "values" else ""


def _as_list(place: _Place, given: Any) -> str:
    kind = nested_model(place.type)
    if kind is not None and isinstance(given, dict):
        if given.keys() & _fields(kind).keys():
            return "put a dash before it, which makes it a list of one"
        required = next((n for n, f in _fields(kind).items() if f.is_required()), "name")
        return f"write each as - {{{required}: {next(iter(given), '...')}, ...}}"
    if isinstance(given, str) and place.name in ("command", "args"):
        try:
            words = shlex.split(given[:_COMMAND])
        except ValueError:
            words = [given[:_COMMAND]]
        return f"write {shown_list(words)}"
    return f"write [{shown(given)}]" if not isinstance(given, dict) else "write a list, as in [a]"


def shown_list(words: Iterable[str]) -> str:
    """Words as a list in YAML."""
    return f"[{', '.join(json.dumps(w, ensure_ascii=False) for w in words)}]"


def _as_object(place: _Place, given: Any) -> str:
    kind = _bare(place.type)
    fields = _fields(kind) if _is_model(kind) else {}
    if isinstance(given, list):
        return "remove the dash before it" if len(given) == 1 else "write one object"
    if kind is ObjectMeta:
        return f"write metadata: {{name: {shown(given)}}}"
    if not fields:
        return "write one, as in {name: value}"
    required = [n for n, f in fields.items() if f.is_required()]
    first = "type" if "type" in fields else required[0] if len(required) == 1 else None
    example = f"write {{{first}: {given}}}; " if first and isinstance(given, str) else ""
    return f"{example[:120]}it has {listed(fields)}"


def _no_choice(place: _Place, given: Any) -> str:
    known = _choices(place.type)
    allowed = _one_of(known)
    if isinstance(given, bool):
        return f"must be {allowed}, not {shown(given)}: {in_quotes(given)}"
    near = did_you_mean(given, known) if isinstance(given, str) else ""
    if not near and given in ("categorical", "discrete"):
        near = f": leave it out, and use {other_tools.VALUES[given]}"
    return f"must be {allowed}, not {shown(given)}{near}"


def _one_of(known: list[str]) -> str:
    *others, last = map(repr, known)
    return f"{', '.join(others)} or {last}" if others else last


def _choices(annotation: Any) -> list[str]:
    kind = _bare(annotation)
    values = get_args(kind) if get_origin(kind) is Literal else kind
    return [str(v) for v in values]


def _no_match(pattern: str, given: str) -> str:
    message = f"must be {PATTERNS.get(pattern, 'of another form')}, not {shown(given)}"
    if given.isascii() and given.isdigit():
        return f"{message}; write {given}s, {given}m or {given}h" if "d|h" in pattern else message
    plain_name = "".join(c if c.isascii() and (c.isalnum() or c in "_.-") else "_" for c in given)
    plain_name = plain_name if plain_name[:1].isalpha() else f"_{plain_name}"
    named = pattern.startswith("^[A-Za-z_]") and len(plain_name) <= 63
    return f"{message}; write {plain_name}" if named else message


def _number_of_items(place: _Place, kind: str, context: Any) -> str:
    """How many items a list, or fields an object, must have."""
    least, most, there = (context.get(k) for k in ("min_length", "max_length", "actual_length"))
    if kind == "too_short":
        items = "item" if least == 1 else "items"
        message = f"must have at least {least} {items}, not {there or 'none'}"
        model = nested_model(place.type)
        required = [n for n, f in _fields(model).items() if f.is_required()] if model else []
        example = ", ".join(f"{name}: ..." for name in required)
        return f"{message}; write each as - {{{example}}}" if example else message
    return f"must have at most {most} items, not {there}"


def _pattern(place: _Place) -> str | None:
    """The pattern of a string."""
    if place.field is not None:
        for note in place.field.metadata:
            if isinstance(found := getattr(note, "pattern", None), str):
                return found
    return _noted(place.type)


def _noted(annotation: Any) -> str | None:
    if get_origin(annotation) is Annotated:
        for note in get_args(annotation)[1:]:
            inner = note.metadata if isinstance(note, FieldInfo) else [note]
            for n in inner:
                if isinstance(found := getattr(n, "pattern", None), str):
                    return found
    for argument in get_args(annotation):
        if found := _noted(argument):
            return found
    return None
