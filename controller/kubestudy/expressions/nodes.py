"""The parts of an expression that has been read: each knows its kind and how to get its value."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kubestudy.api.parameters import Value
from kubestudy.expressions.tokens import ExpressionError

Kind = Literal["number", "string", "bool", "list of numbers", "list of strings"]
Values = Mapping[str, Value]

MAX_DEPTH = 64
"""How deep an expression may be nested, or how many operators may follow one another."""


class NoValue(Exception):
    """An expression has no value at a point: division by zero, or a number that is too large."""


class Inactive(NoValue):
    """An expression has no value at a point, since a parameter is not active there."""


@dataclass(frozen=True)
class Node:
    """A part of an expression.

    Attributes:
        kind: Of its value.
        value: Gives its value at a point.
        column: Where it begins.
        depth: How many nodes are above one another in it.
        strings: Of a string or a list of strings: which it can be, where that is known.
        parameter: Of a parameter: its name.
    """

    kind: Kind
    value: Callable[[Values], Any]
    column: int
    depth: int = 1
    strings: Sequence[str] | None = None
    parameter: str | None = None


def node(kind: Kind, value: Callable[[Values], Any], column: int, *parts: Node) -> Node:
    """Makes a node from its parts.

    Raises:
        ExpressionError: It is nested too deeply.
    """
    depth = 1 + max(p.depth for p in parts)
    if depth > MAX_DEPTH:
        raise ExpressionError(
            column, f"is nested deeper than {MAX_DEPTH}; split it into several constraints"
        )
    return Node(kind, value, column, depth)


def parameter(name: str, choices: Sequence[str] | None, column: int) -> Node:
    """The value of a parameter, a string where it has choices."""

    def value(values: Values) -> Value:
        if name not in values:
            raise Inactive(name)
        return values[name]

    return Node(
        "number" if choices is None else "string", value, column, strings=choices, parameter=name
    )


def both(left: Node, right: Node) -> Callable[[Values], bool]:
    """``&&`` as in CEL: false if either side is, even where the other has no value."""
    return lambda values: _decided(left, right, values, by=False)


def either(left: Node, right: Node) -> Callable[[Values], bool]:
    """``||`` as in CEL: true if either side is, even where the other has no value."""
    return lambda values: _decided(left, right, values, by=True)


def _decided(left: Node, right: Node, values: Values, by: bool) -> bool:
    try:
        if bool(left.value(values)) is by:
            return by
    except NoValue:
        if bool(right.value(values)) is by:
            return by
        raise
    return bool(right.value(values))


ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
EQUALITY: dict[str, Callable[[Any, Any], bool]] = {"==": operator.eq, "!=": operator.ne}


def applied(function: Callable[..., Any], *parts: Node) -> Callable[[Values], Any]:
    """The value of a function of numbers."""

    def value(values: Values) -> Any:
        operands = [p.value(values) for p in parts]
        try:
            result = function(*operands)
        except ArithmeticError as error:
            raise NoValue(str(error)) from error
        if isinstance(result, float) and not math.isfinite(result):
            raise NoValue("the number is too large")
        return result

    return value
