"""Reads an expression, by Pratt's method (POPL 1973), and checks names and kinds on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kubestudy.api.validation import did_you_mean
from kubestudy.expressions.nodes import (
    ARITHMETIC,
    COMPARISONS,
    EQUALITY,
    MAX_DEPTH,
    Kind,
    Node,
    applied,
    both,
    either,
    node,
    parameter,
)
from kubestudy.expressions.tokens import ExpressionError, Token, TokenKind, tokens

Variables = Mapping[str, Sequence[str] | None]
"""The parameters that an expression may name, each with its choices; None for a number."""

_POWERS = {
    "?": 1,
    "||": 2,
    "&&": 3,
    **dict.fromkeys(["in", *COMPARISONS, *EQUALITY], 4),
    **dict.fromkeys("+-", 5),
    **dict.fromkeys("*/%", 6),
}
_UNARY = 7
_FUNCTIONS: dict[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs}
_OTHER_WORDS = {"and": "&&", "or": "||", "not": "!", "True": "true", "False": "false"}
_PARAMETERS = "parameters"


class Parser:
    """Reads one expression."""

    def __init__(self, source: str, variables: Variables):
        self._tokens = tokens(source)
        self._at = 0
        self._depth = 0
        self._variables = variables

    @property
    def cost(self) -> int:
        """How many steps it takes at most to evaluate the expression: one for each token."""
        return len(self._tokens)

    def condition(self) -> Node:
        """Reads all of it; it must say yes or no.

        Raises:
            ExpressionError: It is wrong.
        """
        found = self._expression(0)
        if self._next.kind != TokenKind.END:
            raise self._unexpected("an operator or the end")
        return _of_kind(found, "bool", "the whole expression must be true or false")

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += 1
        return token

    def _take_if(self, text: str) -> bool:
        found = self._next.text == text and self._next.kind == TokenKind.SYMBOL
        self._at += found
        return found

    def _expect(self, text: str, why: str) -> None:
        if not self._take_if(text):
            raise self._unexpected(f"{text!r} {why}")

    def _unexpected(self, wanted: str) -> ExpressionError:
        token = self._next
        hint = _OTHER_WORDS.get(token.text)
        hint = f" (write {hint})" if hint and token.kind == TokenKind.NAME else ""
        return ExpressionError(token.column, f"expected {wanted}, found {token}{hint}")

    def _expression(self, power: int) -> Node:
        """Reads as far as operators bind more tightly than ``power``."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(self._next.column, f"is nested deeper than {MAX_DEPTH}")
        left = self._operand()
        while self._is_operator and _POWERS[self._next.text] > power:
            left = self._operation(left, self._take())
        self._depth -= 1
        return left

    @property
    def _is_operator(self) -> bool:
        token = self._next
        wanted = TokenKind.NAME if token.text == "in" else TokenKind.SYMBOL
        return token.text in _POWERS and token.kind == wanted

    def _operand(self) -> Node:
        token = self._next
        column = token.column
        if token.kind in (TokenKind.NUMBER, TokenKind.STRING):
            self._at += 1
            value = token.value
            if isinstance(value, str):
                return Node("string", lambda _: value, column, strings=(value,))
            return Node("number", lambda _: value, column)
        if token.kind == TokenKind.NAME and token.text not in ("in", *_OTHER_WORDS):
            self._at += 1
            return self._named(token)
        if self._take_if("("):
            inner = self._expression(0)
            self._expect(")", "to close the parenthesis")
            return inner
        if self._take_if("["):
            return self._list(column)
        if self._take_if("!"):
            part = _of_kind(self._expression(_UNARY), "bool", "'!' needs true or false")
            return node("bool", lambda v: not part.value(v), column, part)
        if self._take_if("-"):
            part = _of_kind(self._expression(_UNARY), "number", "'-' needs a number")
            return node("number", lambda v: -part.value(v), column, part)
        raise self._unexpected("a parameter, a number, a string or '('")

    def _named(self, token: Token) -> Node:
        if token.text in ("true", "false"):
            truth = token.text == "true"
            return Node("bool", lambda _: truth, token.column)
        if self._take_if("("):
            return self._call(token)
        if token.text == _PARAMETERS and self._take_if("["):
            name = self._take()
            if name.kind != TokenKind.STRING:
                raise ExpressionError(name.column, "expected a parameter's name in quotes")
            self._expect("]", "after the name")
            return self._parameter(str(name.value), name.column)
        return self._parameter(token.text, token.column)

    def _parameter(self, name: str, column: int) -> Node:
        if name not in self._variables:
            name = name.removeprefix(f"{_PARAMETERS}.")
        if name not in self._variables:
            raise ExpressionError(
                column,
                f"no parameter is named {name!r}{did_you_mean(name, self._variables)};"
                f" there are {', '.join(self._variables)}",
            )
        return parameter(name, self._variables[name], column)

    def _call(self, function: Token) -> Node:
        if function.text != "has" and function.text not in _FUNCTIONS:
            known = ("has", *_FUNCTIONS)
            raise ExpressionError(
                function.column,
                f"no function is named {function.text!r}{did_you_mean(function.text, known)};"
                f" there are {', '.join(known)}",
            )
        arguments = self._items(")")
        first = arguments[0] if arguments else None
        if function.text == "has":
            name = first.parameter if first else None
            if len(arguments) != 1 or name is None:
                raise ExpressionError(function.column, "has takes the name of one parameter")
            return Node("bool", lambda values: name in values, function.column)
        wanted = 1 if function.text == "abs" else 2
        if len(arguments) < wanted or (wanted == 1 and len(arguments) > 1):
            count = "one number" if wanted == 1 else "two or more numbers"
            raise ExpressionError(function.column, f"{function.text} takes {count}")
        for argument in arguments:
            _of_kind(argument, "number", f"{function.text} takes numbers")
        value = applied(_FUNCTIONS[function.text], *arguments)
        return node("number", value, function.column, *arguments)

    def _list(self, column: int) -> Node:
        items = self._items("]")
        if not items:
            raise ExpressionError(column, "an empty list holds nothing")
        first = items[0]
        if first.kind not in ("number", "string"):
            raise ExpressionError(first.column, "a list holds numbers or strings")
        for item in items:
            _of_kind(item, first.kind, f"the list begins with a {first.kind}")
        kind: Kind = "list of numbers" if first.kind == "number" else "list of strings"
        made = node(kind, lambda values: [i.value(values) for i in items], column, *items)
        known = [i.strings for i in items]
        strings = [s for some in known if some is not None for s in some]
        return Node(kind, made.value, column, made.depth, strings if all(known) else None)

    def _items(self, end: str) -> list[Node]:
        """Reads what stands between commas."""
        items: list[Node] = []
        if self._take_if(end):
            return items
        while True:
            items.append(self._expression(0))
            if self._take_if(end):
                return items
            self._expect(",", f"or {end!r}")

    def _operation(self, left: Node, token: Token) -> Node:
        text, column = token.text, left.column
        if text == "?":
            return self._choice(left)
        right = self._expression(_POWERS[text])
        if text in ("&&", "||"):
            for side in (left, right):
                _of_kind(side, "bool", f"{text!r} needs true or false on both sides")
            join = both if text == "&&" else either
            return node("bool", join(left, right), column, left, right)
        if text in ARITHMETIC or text in COMPARISONS:
            for side in (left, right):
                _of_kind(side, "number", f"{text!r} needs numbers on both sides")
            function: Any = ARITHMETIC.get(text) or COMPARISONS[text]
            kind: Kind = "number" if text in ARITHMETIC else "bool"
            return node(kind, applied(function, left, right), column, left, right)
        if text == "in":
            if right.kind not in ("list of numbers", "list of strings"):
                raise ExpressionError(right.column, "expected a list such as [1, 2] after 'in'")
            _of_kind(
                left, "number" if right.kind == "list of numbers" else "string", "as in the list"
            )
            _possible(left, right)
            return node(
                "bool", applied(lambda item, items: item in items, left, right), column, left, right
            )
        _of_kind(right, left.kind, f"{text!r} compares what is of one kind")
        _possible(left, right)
        return node("bool", applied(EQUALITY[text], left, right), column, left, right)

    def _choice(self, condition: Node) -> Node:
        _of_kind(condition, "bool", "what stands before '?' must be true or false")
        yes = self._expression(0)
        self._expect(":", "between the two values of '?'")
        no = self._expression(0)
        _of_kind(no, yes.kind, "both values of '?' are of one kind")
        return node(
            yes.kind,
            lambda values: (yes if condition.value(values) else no).value(values),
            condition.column,
            condition,
            yes,
            no,
        )


def _of_kind(found: Node, kind: Kind, why: str) -> Node:
    if found.kind != kind:
        name = f" ({found.parameter})" if found.parameter else ""
        raise ExpressionError(found.column, f"{why}; this{name} is a {found.kind}")
    return found


def _possible(left: Node, right: Node) -> None:
    """A string that a parameter never has is a typing error, and would never be noticed."""
    for choice, given in ((left, right), (right, left)):
        if choice.parameter is None or given.parameter is not None or choice.strings is None:
            continue
        for text in given.strings or ():
            if text not in choice.strings:
                raise ExpressionError(
                    given.column,
                    f"{choice.parameter!r} is never {text!r}{did_you_mean(text, choice.strings)};"
                    f" it has {', '.join(map(repr, choice.strings))}",
                )
