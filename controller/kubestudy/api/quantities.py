"""Amounts as Kubernetes writes them: ``2``, ``500m``, ``1e3``, ``1.5Gi``.

Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from fractions import Fraction

_QUANTITY = re.compile(
    r"([+-]?)([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([eE][+-]?[0-9]{1,3})|([KMGTPE]i|[numkMGTPE]))?"
)
_LONGEST = 64
_BINARY = {f"{letter}i": Fraction(1024) ** i for i, letter in enumerate("KMGTPE", 1)}
_DECIMAL = {letter: Fraction(1000) ** (i - 3) for i, letter in enumerate("num", 0)} | {
    letter: Fraction(1000) ** i for i, letter in enumerate("kMGTPE", 1)
}


def parse_quantity(value: object) -> Fraction | None:
    """Reads an amount, exactly.

    Args:
        value: A string, or a number as YAML has it.

    Returns:
        The amount; None if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = value if isinstance(value, str) else repr(value)
    found = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return None
    sign, number, exponent, suffix = found.groups()
    amount = Fraction(number)
    if exponent is not None:
        amount *= Fraction(10) ** int(exponent[1:])
    elif suffix is not None:
        amount *= _BINARY[suffix] if suffix in _BINARY else _DECIMAL[suffix]
    return -amount if sign == "-" else amount
