"""The words of an expression."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

MAX_LENGTH = 512
"""The longest expression, in characters."""


class ExpressionError(ValueError):
    """An expression that is wrong.

    Attributes:
        column: Where, counted from 1.
        reason: What is wrong there, and what was expected.
    """

    def __init__(self, column: int, reason: str):
        super().__init__(f"at column {column}: {reason}")
        self.column = column
        self.reason = reason


class TokenKind(StrEnum):
    """What a token is."""

    NUMBER = "a number"
    STRING = "a string"
    NAME = "a name"
    SYMBOL = "a symbol"
    END = "the end"


@dataclass(frozen=True)
class Token:
    """One word of an expression.

    Attributes:
        kind: What it is.
        text: As it is written.
        column: Where it begins, counted from 1.
        value: Of a number or a string.
    """

    kind: TokenKind
    text: str
    column: int
    value: int | float | str = 0

    def __str__(self) -> str:
        return TokenKind.END.value if self.kind == TokenKind.END else repr(self.text)


_SPACE = re.compile(r"[ \t\r\n]*")
_WORDS = (
    (TokenKind.NUMBER, re.compile(r"(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")),
    (TokenKind.STRING, re.compile(r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"")),
    (TokenKind.NAME, re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*")),
    (TokenKind.SYMBOL, re.compile(r"<=|>=|==|!=|&&|\|\||[<>+\-*/%!?:()\[\],]")),
)
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_HINTS = {
    "=": "write == to compare",
    "&": "write && for and",
    "|": "write || for or",
    "'": "the string has no end",
    '"': "the string has no end",
    ".": "write a name or a number before and after the point",
}


def tokens(source: str) -> list[Token]:
    """Takes an expression apart; the last token is its end.

    Raises:
        ExpressionError: It is too long, or holds what is no word of an expression.
    """
    if len(source) > MAX_LENGTH:
        raise ExpressionError(MAX_LENGTH + 1, f"is longer than {MAX_LENGTH} characters")
    found: list[Token] = []
    at = _skip_space(source, 0)
    while at < len(source):
        token = _token(source, at)
        found.append(token)
        at = _skip_space(source, at + len(token.text))
    return [*found, Token(TokenKind.END, "", len(source) + 1)]


def _skip_space(source: str, at: int) -> int:
    space = _SPACE.match(source, at)
    return space.end() if space else at


def _token(source: str, at: int) -> Token:
    for kind, pattern in _WORDS:
        if match := pattern.match(source, at):
            return Token(kind, match[0], at + 1, _value(kind, match[0], at + 1))
    character = source[at]
    hint = _HINTS.get(character, "is no part of an expression")
    raise ExpressionError(at + 1, f"{character!r}: {hint}")


def _value(kind: TokenKind, text: str, column: int) -> int | float | str:
    if kind == TokenKind.STRING:
        return _unquoted(text, column)
    if kind != TokenKind.NUMBER:
        return 0
    number = int(text) if text.isdigit() else float(text)
    if not math.isfinite(number):
        raise ExpressionError(column, f"{text} is too large for a number")
    return number


def _unquoted(text: str, column: int) -> str:
    def character(match: re.Match[str]) -> str:
        if match[1] not in _ESCAPES:
            raise ExpressionError(
                column + 1 + match.start(), f"unknown escape {match[0]!r} in a string"
            )
        return _ESCAPES[match[1]]

    return re.sub(r"\\(.)", character, text[1:-1])
