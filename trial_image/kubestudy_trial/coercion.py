"""From the text of an argument to a value of the type that the code behind it declares.

`TrainingArguments` and model configurations do not convert: `learning_rate="1e-4"` would stay text
until an optimizer chokes on it. Here a wrong value is found before anything is loaded.
"""

import difflib
import enum
import json
import math
import types
import typing
from collections.abc import Callable, Iterable
from typing import Any, Literal, Union

from kubestudy_trial.failures import InvalidArgument

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_NONE = {"none", "null"}


def coerce(name: str, text: str, declared: Any) -> Any:
    """Read an argument's text as its declared type.

    Args:
        name: The argument's name, for the message.
        text: What was written.
        declared: A type such as `int`, `float | None`, `list[str]`, an enum or a `Literal`.

    Raises:
        InvalidArgument: The text is no such value.
    """
    problems = []
    options = _options(declared)
    for option in options:
        if str in options and _plain(option) in (dict, list) and not text.startswith(("[", "{")):
            continue  # As in `str | list[str]`, where a plain word is a plain word.
        try:
            return _read(text, option)
        except ValueError as error:
            problems.append(str(error))
    raise InvalidArgument(f"--{name}={text}: " + "; or ".join(dict.fromkeys(problems)))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question naming what is alike, or nothing."""
    alike = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return f", did you mean {' or '.join(alike)}?" if alike else ""


def _options(declared: Any) -> list[Any]:
    """The members of a union, the choosiest first: text would take everything."""
    if typing.get_origin(declared) not in (Union, types.UnionType):
        return [declared]
    members = list(typing.get_args(declared))
    if any(_is_enum(member) for member in members):
        # `SchedulerType | str`: the text is one of the enum's values, not any text.
        members = [member for member in members if member is not str]
    if str in members and types.NoneType in members:
        members.remove(types.NoneType)  # "none" is a word that means something, as in report_to.
    order = [types.NoneType, bool, int, float, dict, list, str]

    def rank(member: Any) -> int:
        plain = _plain(member)
        return order.index(plain) if plain in order else len(order)

    return sorted(members, key=rank)


def _plain(declared: Any) -> Any:
    """`list` of `list[str]`."""
    return typing.get_origin(declared) or declared


def _is_enum(declared: Any) -> bool:
    return isinstance(declared, type) and issubclass(declared, enum.Enum)


def _read(text: str, declared: Any) -> Any:
    """Read text as one plain type; a ValueError says what was expected."""
    plain = _plain(declared)
    if plain is Any:
        return _read_any(text)
    if plain is Literal:
        return _choose(text, {str(choice): choice for choice in typing.get_args(declared)})
    if _is_enum(plain):
        return _choose(text, {str(member.value): member.value for member in plain})
    if plain in (dict, list):
        return _read_json(text, declared)
    readers: dict[Any, Callable[[str], Any]] = {
        str: str,
        bool: _read_bool,
        int: _read_int,
        float: _read_float,
        types.NoneType: _read_none,
    }
    if plain not in readers:
        raise ValueError("cannot be given as an argument")
    return readers[plain](text)


def _choose(text: str, choices: dict[str, Any]) -> Any:
    if text in choices:
        return choices[text]
    if text.lower() in choices:
        return choices[text.lower()]
    raise ValueError(f"must be one of {', '.join(choices)}{did_you_mean(text.lower(), choices)}")


def _read_bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("must be true or false")


def _read_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        number = _read_float(text, "must be a whole number")
        if not number.is_integer():
            raise ValueError("must be a whole number") from None
        return int(number)


def _read_float(text: str, expected: str = "must be a number") -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(expected) from None
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _read_none(text: str) -> None:
    if text.lower() not in _NONE:
        raise ValueError("must be none")


def _read_json(text: str, declared: Any) -> Any:
    plain = _plain(declared)
    expected = "must be a JSON object" if plain is dict else "must be a JSON list"
    try:
        value = json.loads(text)
    except ValueError:
        if plain is dict or text.lstrip().startswith(("[", "{")):
            raise ValueError(expected) from None
        if plain is list and typing.get_args(declared) == (str,):
            return text.split(",")
        raise ValueError(expected) from None
    if not isinstance(value, plain):
        raise ValueError(expected)
    return value


def _read_any(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return _read_bool(text) if text.lower() in {"true", "false"} else text
