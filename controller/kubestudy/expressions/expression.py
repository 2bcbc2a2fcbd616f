"""An expression that is ready to be evaluated."""

from __future__ import annotations

from kubestudy.expressions.nodes import Inactive, NoValue, Values
from kubestudy.expressions.parser import Parser, Variables


class Expression:
    """A condition on the parameters of a point.

    Args:
        source: As the user wrote it.
        variables: The parameters that it may name, each with its choices; None for a number.

    Attributes:
        cost: How many steps it takes at most to evaluate it.

    Raises:
        ExpressionError: It is wrong; the error says where.
    """

    def __init__(self, source: str, variables: Variables):
        self.source = source
        parser = Parser(source, variables)
        self.cost = parser.cost
        self._root = parser.condition()

    def holds(self, values: Values) -> bool:
        """Whether a point keeps the condition.

        It does where the answer hangs on a parameter that is not active. It does not where the
        expression has no value: division by zero, or a number that is too large.
        """
        try:
            return bool(self._root.value(values))
        except Inactive:
            return True
        except NoValue:
            return False
