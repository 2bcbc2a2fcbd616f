"""One grammar of a number as programs print it: all of it is read, or nothing.

A number in a log is written by a program for people: `0.91`, `1e-05`, `92%`, `'0.91'`,
``np.float64(0.91)``, ``tensor(0.91, device='cuda:0')``. Whatever goes on after it may make it
part of something else: of `0,91`, `1,234.5`, `0:08:20`, `9200/10000`, `1.2.3`, `0.5s`. So what may
stand after a number is a short list, and all else means that there is no number here.

The texts are parts of regular expressions. None of them gives back what it has taken, so that a
shorter number is never tried, and reading takes time in proportion to the line.
"""

from __future__ import annotations

import math
import re

_DIGITS = r"(?:[0-9]{1,40}(?:\.[0-9]{0,40}+)?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,5})?"
PLAIN = rf"[-+]?(?:{_DIGITS}|(?i:nan|inf(?:inity)?))"
"""A number that nothing is around."""

_TYPES = (
    "u?int[0-9]{0,2}|b?float[0-9]{0,3}|double|half|long(?:double|float)|Decimal"
    "|array|(?:Device)?Array|(?:Eager)?[tT]ensor"
)
_KEYWORD = r",\s*+[a-z_]{1,32}=[^,()\[\]]{0,64}+(?:\([^()]{0,64}\))?"
_CALL = (
    rf"(?:[A-Za-z_][A-Za-z0-9_]{{0,31}}\.){{0,3}}(?:{_TYPES})"
    rf"\(\s*+(?:{PLAIN}|'{PLAIN}'|\"{PLAIN}\")\s*+(?:{_KEYWORD}){{0,8}}\s*+\)"
)
_TF = rf"<tf\.Tensor: shape=\(\), dtype=[a-z0-9]{{1,16}}, numpy=(?:{PLAIN})>"
_UNQUOTED = rf"(?:{PLAIN}|{_CALL}|{_TF})"

VALUE = rf"(?>{_UNQUOTED}|'{_UNQUOTED}'|\"{_UNQUOTED}\")"
"""A number, also as NumPy, PyTorch, JAX, TensorFlow and Decimal write it, also in quotes."""

_BLANK = r"\x00-\x07\x09-\x1a\x1c-\x20"
# Of control characters, a backspace and what begins with ESC may go back to draw over the number.

ENDS = rf"""(?x:(?=
      \Z | [{_BLANK}] | [;|)\]}}>"`!?] (?![.0-9])
    | , (?![0-9])                           # not 0,91 and not 1,234
    | ' (?![0-9])                           # not 1'234
    | : (?![0-9])                           # not 0:08:20
    | \. (?: [{_BLANK}"')\]] | \Z )         # the end of a sentence; not 1.2.3, not 0.91...
    | % (?! [\w.%] | \s? \| \s*+ [█▉▊▋▌▍▎▏\#=>|] )   # a percentage; not how far a bar is
    | ± | \+/?-                             # 0.91±0.02, 0.91+/-0.02
    | \+ {_DIGITS} (?: [{_BLANK}] | \Z )    # 0.91+0.02, as XGBoost has it; not 1+2j
))"""
"""What may stand right after a number."""

_GOES_ON = rf"""(?x:
      (?: \s*+ / | \s++ : ) \s*+ [-+.0-9]                    # 9200 / 10000, 3 : 1
    | \s*+ % \s*+ [-+.0-9]
    | \s*+ [*×·] {{1,2}} \s*+ [\w(.]                        # 100 * correct / total, 1.5 × 10
    | \s*+ (?: -> | => | → | – | — | ~ | \.\. | to\b | x\b | (?:out\s)?of\b ) \s*+ [-+(.0-9]
    | \s++ - \s++ {PLAIN} {ENDS}                            # 0.1 - 0.2; but "0.9 - 2s" is read
    | (?:\s*+[,;])? \s++ {PLAIN} %?
      (?: \s*+ [,;] | \s*+ \Z | \s++ [-+]?[.0-9] )           # 0.9, 0.8, 0.7
    | \s++ \+ \s*+ (?>{_DIGITS}) (?! \t | \s*+ \Z )         # 0.5 + 0.1 = 0.6; not 0.58 + 0.01
    | \s++ \^ \s*+ [-+(.0-9] | \s*+ = \s*+ [-+.0-9]         # 0.5 ^ 2, 0.5 = 0.6
    | \s++ [eE][-+]?[0-9]                                   # 0.5 e-3
    | : \s*+ (?>{PLAIN}) (?! \s?% )                         # 0: 0.9, 1: 0.8; but 0.31:  40%|██
    | % \s*+ (?: [━─…█▉▊▋▌▍▎▏] | \[ [=\#>\-.\ ] )           # 50% ━━━━, 50% [===>  ]
    | \s++ (?: it | thousand | million | billion )\b        # 3.2 million
    | \s++ days?\b                                          # 1 day, 12:05:49
    | \s++ (?:h|hrs?|hours?|m|min|mins|minutes?)\b ,? \s*+ (?:and\s)? [0-9]   # 2 min 30 s
    | \  [kKMGT] (?:i?[Bb]?) (?!\w)                         # 3.2 M, 3.5 Gi
)"""

ALONE = rf"{ENDS}(?!{_GOES_ON})"
"""What may stand after a number that is the value of what is named before it."""

FRACTION = rf"([0-9]{{1,15}})\s?/\s?([0-9]{{1,15}})\s?\(\s*+({_DIGITS})\s?%\s*+\)"
"""Hits, total and their percentage, such as ``9200/10000 (92%)``, as three groups."""

_COUNT_GOES_ON = re.compile(
    rf"""(?x:
      \ [0-9]{{3}} (?![0-9%])                             # 1 234
    | \s*+ \( \s*+ {_DIGITS} \s*+ %? \s*+ \)             # 9200 (92%), 9200 (0.92)
    | \) \s*+ [.0-9]                                     # 1) 0.9
    | \s++ (?:\w++\s++){{0,2}} of \s++ (?:the\s++)? [0-9]  # 9200 correct of 10000
    | \s*+ \| \s*+ [0-9]++ (?![.0-9])                    # 9200 | 10000
    | \s++ [-+] \s++ [A-Za-z_] [\w.]*+ (?! \s*+ [:=(/])  # 1 - loss, in a line of a program
    )"""
)
_WHOLE = re.compile(_UNQUOTED)
_INSIDE = re.compile(rf"(?:numpy=|[('\"])\s*+['\"]?({PLAIN})")
_LONGEST = 256


def value_of(text: str) -> float | None:
    """The number in what ``VALUE`` has found; None where it is beyond a float."""
    try:
        value = float(text)
    except ValueError:
        inside = _INSIDE.search(text)
        if inside is None:
            return None
        text = inside[1]
        value = float(text)
    return None if math.isinf(value) and text[-1] in "0123456789." else value


def goes_on(digits: str, line: str, end: int) -> bool:
    """Whether digits that end there are no value: the first of `1 234`, a count `9200 (92%)`."""
    return digits.isdigit() and _COUNT_GOES_ON.match(line, end) is not None


def percentage(hits: str, total: str, percent: str) -> float | None:
    """The percentage of a ``FRACTION``; None where it is not that of its two numbers."""
    value = float(percent)
    agrees = int(total) and abs(100 * int(hits) / int(total) - value) <= 1
    return value if agrees else None


def number(value: object) -> float | None:
    """A JSON number as a float; None where it is none, or beyond a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def number_in(value: object) -> float | None:
    """The same, also of a number that is written as text, such as ``"0.5"`` or ``"nan"``."""
    if not isinstance(value, str):
        return number(value)
    text = value.strip()
    return value_of(text) if len(text) <= _LONGEST and _WHOLE.fullmatch(text) else None


def same(a: float, b: float) -> bool:
    """Whether two values are one; NaN is NaN."""
    return a == b or (a != a and b != b)


def fold_number(value: float | None) -> int | None:
    """The number of a fold; None where it can be none."""
    if value is None or not 0 <= value < 2**53 or value != int(value):
        return None
    return int(value)
