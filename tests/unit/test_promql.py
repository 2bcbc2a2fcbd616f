"""A query is bound to its pod, or refused: nothing in it reaches the series of others."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.core.promql import PromQLError, bind

MINE = '{namespace="team",pod="a-0"}'
AND_MINE = ',namespace="team",pod="a-0"}'


@pytest.mark.parametrize(
    ("query", "bound"),
    [
        ("accuracy", f"accuracy{MINE}"),
        ("accuracy{}", f"accuracy{MINE}"),
        ("a:b{x='y', }", f'a:b{{x="y"{AND_MINE}'),
        ('{__name__=~"a|b"}', f'{{__name__=~"a|b"{AND_MINE}'),
        ('x{a="}) or up{"}', f'x{{a="}}) or up{{"{AND_MINE}'),
        (r'x{a=~"b\\.c"}', rf'x{{a=~"b\\.c"{AND_MINE}'),
        ("max(rate(x[5m])) * 100", f"max(rate(x{MINE}[5m])) * 100"),
        ("a - b", f"a{MINE} - b{MINE}"),
        ("-a", f"-a{MINE}"),
        ("1 - (a / b)", f"1 - (a{MINE} / b{MINE})"),
        ("quantile_over_time(0.9, x[1h])", f"quantile_over_time(0.9, x{MINE}[1h])"),
        ("sum(x) by (le)", f"sum by (le) (x{MINE})"),
        (
            "histogram_quantile(0.9, sum by (le, job) (rate(x_bucket[5m])))",
            f"histogram_quantile(0.9, sum by (le,job) (rate(x_bucket{MINE}[5m])))",
        ),
    ],
)
def test_each_selector_gets_the_pod(query: str, bound: str) -> None:
    assert bind(query, "team", "a-0").text == bound


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('x{pod="b"}', "at character 3: 'pod' is set by kubestudy"),
        ('x{namespace=~".*"}', "at character 3: 'namespace' is set by kubestudy"),
        ("{}", "names no metric"),
        ('{job="x"}', "names no metric"),
        ('{__name__!="x"}', "names no metric"),
        ('{"up"}', "a label is expected"),
        ("a or up", "at character 3: 'or' is not understood"),
        ("a and on() up", "'and' is not understood"),
        ("a offset 5m", "'offset' is not understood"),
        ("a @ 5", "'@' is not understood"),
        ("a # b", "'#' is not understood"),
        ("a[5m]", "'[' is not understood"),
        ("rate(a)", "at character 7: ')' is not understood; '[' is expected"),
        ("rate(a[5m:1s])", "is not understood"),
        ('label_replace(a, "b", "c", "d", "e")', "'label_replace' is no function"),
        ("absent(up)", "'absent' is no function"),
        ("1 + 1", "names no series"),
        ("", "the end is not understood"),
        ("a{", "the end"),
        ('a{b="c}', "is not understood"),
        ("(" * 50 + "a", "nested too deeply"),
        ("a" + "{", "the end"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(query: str, message: str) -> None:
    with pytest.raises(PromQLError, match=re.escape(message)):
        bind(query, "team", "a-0")


def test_a_selector_is_read_as_it_was_scraped_and_an_expression_in_steps() -> None:
    assert bind("a", "team", "a-0").over(60, 5) == f"a{MINE}[60s]"
    assert bind("-a", "team", "a-0").over(60, 5) == f"(-a{MINE})[60s:5s]"


@pytest.mark.parametrize(
    ("query", "single"),
    [
        ("max(a)", True),
        ("-sum(a) / sum(b) * 100", True),
        ("max(max by (metric) (a))", True),
        ("max by (metric) (a)", False),
        ("max(a) by (metric)", False),
        ('{__name__=~"a|b"}', False),
        ("a", False),
        ("max(a) + b", False),
    ],
)
def test_an_aggregation_of_everything_is_one_series(query: str, single: bool) -> None:
    assert bind(query, "team", "a-0").single is single


WORDS = [
    *("a", "up", "sum", "rate", "by", "or", "offset", "max_over_time", "__name__", "pod"),
    *("(", ")", "{", "}", "[5m]", "[5m:1m]", ",", "+", "-", "*", "/", "=", "=~", "!=", "@", "#"),
    *('"x"', "'y'", '"\\""', '"}"', "`z`", "1", "1.5", "5m", "\n", " ", "\\"),
]


@given(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join) | st.text(max_size=60))
def test_nothing_that_is_accepted_has_a_selector_of_others(query: str) -> None:
    try:
        text = bind(query, "team", "a-0").text
    except PromQLError:
        return
    plain = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    assert plain.count("{") == plain.count("}") >= 1
    for matchers in re.findall(r"\{(.*?)\}", plain):
        assert matchers.endswith('namespace="",pod=""')
    # A name that stands alone would be a selector of its own.
    known = r"[a-z_0-9]+(?= ?\()|by \([^)]*\)"
    for name in re.findall(r"[A-Za-z_:][A-Za-z0-9_:]*", re.sub(known, "", plain)):
        assert re.search(rf"{re.escape(name)}(\{{|!?=)|\[?\d+{re.escape(name)}", plain)
