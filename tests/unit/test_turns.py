"""Reading lines in turn: a namespace's slow expression holds up its own logs only."""

from __future__ import annotations

import threading
from unittest.mock import patch

import pytest

from kubestudy.core.metric_regex import MOST_INSTRUCTIONS, MetricRegex, MetricRegexError
from kubestudy.runtime.turns import LONGEST_PAUSE, Turns


def test_whoever_is_in_a_turn_of_its_own_holds_up_nobody_else() -> None:
    turns, others = Turns(), []

    def read() -> None:
        with turns.common():
            others.append("common")
        with turns.own("b"):
            others.append("b")

    with turns.own("a"):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join(10)
    assert others == ["common", "b"]


def test_a_namespace_has_one_turn_at_a_time() -> None:
    turns, inside = Turns(), threading.Event()

    def read() -> None:
        with turns.own("a"):
            inside.set()

    with turns.own("a"):
        thread = threading.Thread(target=read)
        thread.start()
        assert not inside.wait(0.05)
    thread.join(10)
    assert inside.is_set()


@pytest.mark.parametrize(("taken", "pause"), [(0.01, None), (0.4, 1.2), (60.0, LONGEST_PAUSE)])
def test_what_was_slow_is_paid_for_by_a_pause(taken: float, pause: float | None) -> None:
    with (
        patch("kubestudy.runtime.turns.time.thread_time", side_effect=[1.0, 1.0 + taken]),
        patch("kubestudy.runtime.turns.time.sleep") as sleep,
        Turns().own("a"),
    ):
        pass
    assert [pytest.approx(call.args[0]) for call in sleep.call_args_list] == (
        [] if pause is None else [pause]
    )


def test_an_expression_has_a_bounded_program() -> None:
    MetricRegex(r"accuracy\W{1,40}(?P<value>[-+.0-9eE]{1,40})")
    with pytest.raises(MetricRegexError, match=f"may have {MOST_INSTRUCTIONS}: repeat less"):
        MetricRegex("((?P<value>a)|a?){1000}$")
