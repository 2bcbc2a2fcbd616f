"""Conditions that users write, in a small part of CEL: read, checked and evaluated here alone.

What there is: numbers, strings, ``true`` and ``false``, lists of numbers or strings, parameters by
name (``lr``, ``parameters.lr`` or ``parameters["lr"]``); ``+ - * / %``, ``== != < <= > >=``,
``in``, ``&& || !``, ``? :`` and parentheses; ``min``, ``max``, ``abs`` and ``has``. Unlike in
CEL, numbers are of one kind: ``7 / 2`` is 3.5.

An expression is checked whole before it is evaluated: its grammar, its names, the kinds of its
operands. Nothing in it loops, and its length and depth are bounded, so that it always ends.
"""

from kubestudy.expressions.expression import Expression
from kubestudy.expressions.tokens import ExpressionError

__all__ = ["Expression", "ExpressionError"]
