"""Conditions that users write: what they mean, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kubestudy.expressions import Expression, ExpressionError

VARIABLES = {
    "lr": None,
    "layers": None,
    "hidden": None,
    "optimizer": ("sgd", "adam", "it's"),
    "optim.beta": None,
    "with-dash": None,
    "in": None,
}
POINT: dict[str, Any] = {
    "lr": 0.1,
    "layers": 4,
    "hidden": 1024,
    "optimizer": "sgd",
    "with-dash": 3,
    "in": 7,
}


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        ("parameters.layers * parameters.hidden <= 4096", True),
        ("layers * hidden < 4096", False),
        ("!(optimizer == 'sgd' && lr > 0.1)", True),
        ('!(optimizer == "sgd" && lr >= 0.1)', False),
        ("1 + 2 * 3 == 7 && (1 + 2) * 3 == 9", True),
        ("10 - 4 - 3 == 3 && 2 * 3 % 4 == 2 && 8 / 4 / 2 == 1", True),
        ("7 / 2 == 3.5 && -layers + 5 == 1 && - -2 == 2", True),
        (".5 == 5e-1 && 1e3 == 1000", True),
        ("lr < 1 || layers > 9 && false", True),
        ("layers in [1, 2, 4] && !(optimizer in ['adam', 'it\\'s'])", True),
        ("optimizer == 'adam' ? lr < 0.01 : lr < 1 ? layers == 4 : false", True),
        ("(layers > 2 ? 'sgd' : 'adam') == optimizer", True),
        ("min(layers, hidden, 2) == 2 && max(lr, 1) == 1 && abs(lr - 1) > 0.8", True),
        ("has(lr) && !has(optim.beta) && !has(parameters.optim.beta)", True),
        ("parameters['with-dash'] == 3 && parameters[\"lr\"] == 0.1 && parameters.in == 7", True),
        ("true == (lr < 1)", True),
        # A parameter that is not active: what hangs on it holds, what does not is decided.
        ("optim.beta > 100", True),
        ("!(optim.beta > 100)", True),
        ("optim.beta > 100 && lr > 1", False),
        ("lr > 1 && optim.beta > 100", False),
        ("optim.beta > 100 || lr > 1", True),
        ("has(optim.beta) && optim.beta > 100", False),
        # No value at all.
        ("lr / 0 > 1", False),
        ("!(lr / 0 > 1)", False),
        ("lr % (layers - 4) == 0", False),
        ("1e308 * 10 > 1", False),
        ("lr / 0 > 1 || layers == 4", True),
    ],
)
def test_an_expression_means_what_it_means_in_cel(source: str, holds: bool) -> None:
    assert Expression(source, VARIABLES).holds(POINT) is holds


@pytest.mark.parametrize(
    ("source", "column", "words"),
    [
        ("", 1, "expected a parameter, a number, a string or '(', found the end"),
        ("layer < 4", 1, "no parameter is named 'layer' (did you mean layers?)"),
        ("lr < 1 && parameters.hiden > 2", 11, "no parameter is named 'hiden' (did you mean"),
        ("parameters['lrr'] < 1", 12, "(did you mean lr?)"),
        ("lr = 1", 4, "write == to compare"),
        ("lr < 1 and lr > 0", 8, "expected an operator or the end, found 'and' (write &&)"),
        ("not (lr < 1)", 1, "(write !)"),
        ("lr & 1", 4, "write && for and"),
        ("optimizer == 'sgd", 14, "the string has no end"),
        ("optimizer == 'sdg'", 14, "'optimizer' is never 'sdg' (did you mean sgd?)"),
        ("optimizer in ['sgd', 'adm']", 14, "is never 'adm' (did you mean adam?)"),
        ("(lr < 1", 8, "expected ')' to close the parenthesis, found the end"),
        ("min(lr, 1 < 2) > 0", 9, "min takes numbers"),
        ("lr", 1, "the whole expression must be true or false; this (lr) is a number"),
        ("optimizer < 3", 1, "'<' needs numbers on both sides; this (optimizer) is a string"),
        ("0 < lr < 1", 1, "'<' needs numbers on both sides; this is a bool"),
        ("lr == 'a'", 7, "'==' compares what is of one kind; this is a string"),
        ("lr in 3", 7, "expected a list"),
        ("lr in []", 7, "an empty list"),
        ("lr in [1, 'a']", 11, "the list begins with a number; this is a string"),
        ("lr ? true : false", 1, "what stands before '?'"),
        ("true ? lr : false", 13, "both values of '?' are of one kind"),
        ("sqrt(lr) < 1", 1, "no function is named 'sqrt'; there are has, min, max, abs"),
        ("has(3)", 1, "has takes the name of one parameter"),
        ("min(3) < 1", 1, "min takes two or more numbers"),
        ("lr < 1e999", 6, "too large"),
        ("lr; 3", 3, "';': is no part of an expression"),
        ("(" * 100 + "lr < 1" + ")" * 100, 65, "nested deeper than 64"),
        ("lr" + " + lr" * 64 + " < 1", 1, "nested deeper than 64"),
        ("lr < 1" + " " * 600, 513, "longer than 512"),
    ],
)
def test_an_error_says_where_and_what_was_expected(source: str, column: int, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(source, VARIABLES)
    assert words in str(caught.value)
    assert caught.value.column == column


PARAMETER_WORDS = ["lr", "layers", "optimizer", "optim.beta", "parameters", "'sgd'", "'x'"]
LITERALS = ["1", "0", "2.5", "1e308", "true", "false", "in", "has", "min", "max", "abs"]
SYMBOLS = [*"()[],?:!-+*/%<=.", "<=", "==", "!=", "&&", "||", "and"]
WORDS = PARAMETER_WORDS + LITERALS + SYMBOLS


@given(source=st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join) | st.text(max_size=40))
@settings(max_examples=300, deadline=None)
def test_nothing_but_its_own_error_is_raised(source: str) -> None:
    try:
        expression = Expression(source, VARIABLES)
    except ExpressionError as error:
        assert 1 <= error.column <= len(source) + 1
        return
    assert type(expression.holds(POINT)) is bool


def conditions(operators: str, numbers: list[str]) -> st.SearchStrategy[str]:
    """Expressions that are right."""

    def joined(part: st.SearchStrategy[str], signs: list[str]) -> st.SearchStrategy[str]:
        return st.tuples(part, st.sampled_from(signs), part).map(lambda t: f"({' '.join(t)})")

    number = st.recursive(
        st.sampled_from(numbers), lambda part: joined(part, operators.split()), max_leaves=5
    )
    comparison = joined(number, ["<", "<=", "==", "!=", ">", ">="])
    return st.recursive(
        comparison,
        lambda part: joined(part, ["&&", "||"]) | part.map(lambda p: f"(!{p})"),
        max_leaves=5,
    ).filter(lambda text: len(text) <= 512)


@given(
    source=conditions("+ - * / %", ["lr", "layers", "optim.beta", "0", "3", "1e200"]),
    lr=st.floats(allow_nan=False, allow_infinity=False),
    layers=st.integers(),
    active=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_right_expression_has_an_answer_everywhere(
    source: str, lr: float, layers: int, active: bool
) -> None:
    point: dict[str, Any] = {"lr": lr, "layers": layers} | ({"optim.beta": 0.5} if active else {})
    assert type(Expression(source, VARIABLES).holds(point)) is bool


@given(
    source=conditions("+ - *", ["lr", "layers", "0", "3"]),
    lr=st.integers(-9, 9),
    layers=st.integers(-9, 9),
)
@settings(max_examples=150, deadline=None)
def test_whole_numbers_are_reckoned_as_python_does(source: str, lr: int, layers: int) -> None:
    python = source.replace("&&", "and").replace("||", "or").replace("!(", "not (")
    expected = eval(python, {}, {"lr": lr, "layers": layers})
    assert Expression(source, VARIABLES).holds({"lr": lr, "layers": layers}) is expected
