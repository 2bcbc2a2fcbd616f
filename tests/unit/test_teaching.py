"""A metric that is missing: what is said of it, so that the next Study has it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.core.facts import RunState
from kubestudy.core.failures import judge
from kubestudy.core.reports import RunReport
from kubestudy.core.unread import LONGEST_LINE, MOST_NAMES
from kubestudy.sources import teaching
from kubestudy.sources.log_lines import LineReader
from kubestudy.sources.teaching import closest
from tests.unit.build import facts, study


def report_of(*lines: str, metrics: tuple[str, ...] = ("accuracy",), **spec: Any) -> RunReport:
    """What a log leaves that was read to its end."""
    objectives = [{"metric": name, "direction": "Maximize"} for name in metrics]
    of = study(objectives=objectives, **spec).spec
    reader, report = LineReader(of), RunReport.empty(of)
    for line in lines:
        reader.take(line, report)
    report.close(None)
    reader.explain(report)
    return report


@pytest.mark.parametrize(
    ("lines", "hint"),
    [
        (
            ["loading", "Test set: Accuracy: 9200/10000", "Test set: Accuracy: 9300/10000"],
            "accuracy was not read; names count as they are written, and this line has"
            " 'Test set: Accuracy: 9200/10000'",
        ),
        (
            ["the accuracy follows", "accuracy=0,91", "accuracy=0,92"],
            "accuracy was not read in this line: 'accuracy=0,91'",
        ),
        (
            ["accuracy: high", "accuracy: low"],
            "accuracy was not read in this line: 'accuracy: high'",
        ),
        (
            ["\x1b[31maccuracy\x1b[0m:\t1/2 \x07\x9b", "x"],
            "accuracy was not read in this line: 'accuracy: 1/2'",
        ),
        (["loss=0.5, acc=0.9"] * 3, "printed: loss, acc; did you mean acc?"),
        (["{'loss': 0.5, 'eval_accuracy': 0.9}"], "printed: loss, eval_accuracy; did you mean"),
        (['{"loss": 0.5, "Acc": 0.9}'], "printed: loss, Acc; did you mean Acc?"),
        (['{"seq": 0, "acuracy": 0.5}'], "printed: acuracy; did you mean acuracy?"),
        (["loss=0.5"], "printed: loss; print a line such as accuracy=0.5"),
        (["hello"], "print a line such as accuracy=0.5 (what is read: docs/metrics.md)"),
        ([], "print a line such as accuracy=0.5 (what is read: docs/metrics.md)"),
    ],
)
def test_the_log_is_quoted_or_an_example_given(lines: list[str], hint: str) -> None:
    verdict = judge(facts(state=RunState.SUCCEEDED), report_of(*lines), ["accuracy"])
    assert verdict.reason == "MetricMissing"
    assert hint in verdict.message
    assert verdict.message.isprintable()


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ({"formats": ["Json"]}, 'print a line such as {"accuracy": 0.5}'),
        ({"formats": ["TrainerLog"]}, "print a line such as {'accuracy': 0.5}"),
        ({"formats": ["Regex"], "regex": "(?P<value>x)"}, "no line matched spec.metrics' regex"),
    ],
)
def test_the_example_is_of_a_format_that_is_read(source: dict[str, Any], hint: str) -> None:
    of = study(metrics=[{"type": "Logs", **source}]).spec
    reader, report = LineReader(of), RunReport.empty(of)
    reader.explain(report)
    assert report.hint is not None
    assert hint in report.hint


def test_a_metric_that_was_reported_needs_no_hint() -> None:
    assert report_of("accuracy: none yet", "accuracy=0.5").hint is None


def test_of_several_metrics_those_that_are_missing_are_explained() -> None:
    report = report_of("{'f1': 0.5, 'recall': [0.1, 0.2]}", metrics=("f1", "recall"))
    assert report.metrics.keys() == {"f1"}
    assert report.hint is not None
    assert "recall was not read in this line" in report.hint
    assert "f1 was" not in report.hint


def test_the_example_is_of_a_metric_that_is_missing() -> None:
    report = report_of("f1=0.5", metrics=("f1", "recall"))
    assert report.hint is not None
    assert "print a line such as recall=0.5" in report.hint


def test_once_all_is_reported_no_line_is_looked_at() -> None:
    report = report_of("accuracy=0.5", *["accuracy: 1/2"] * 10)
    assert report.unread.over
    assert report.unread.lines == {}


def test_a_hint_is_given_once() -> None:
    report = report_of("hello")
    hint = report.hint
    LineReader(study().spec).explain(report)
    assert report.hint == hint


def test_a_name_is_found_late_in_a_long_log() -> None:
    before = ["nothing of interest: 1"] * (teaching.LOOK_AT_FIRST + 7)
    report = report_of(*before, *["val_acc=0.5"] * teaching.LOOK_EVERY, "Accuracy: 1/2")
    assert report.unread.printed == ["interest", "val_acc"]
    assert report.unread.lines == {"accuracy": "Accuracy: 1/2"}


@given(
    st.lists(st.text(max_size=400) | st.from_regex(r"[a-z_]{1,80}=1( accuracy:\S)?"), max_size=30)
)
def test_what_is_kept_is_bounded_and_can_be_shown(lines: list[str]) -> None:
    unread = report_of(*lines, "accuracy: " + "\x1b]0;x\x07" * 1000).unread
    assert unread.fits({"accuracy"})
    assert len(unread.printed) <= MOST_NAMES
    assert all(len(line) <= LONGEST_LINE for line in unread.lines.values())


@pytest.mark.parametrize(
    ("name", "known", "close"),
    [
        ("accuracy", ["loss", "acc"], "acc"),
        ("accuracy", ["loss", "Accuracy"], "Accuracy"),
        ("accuracy", ["acc", "eval_accuracy"], "eval_accuracy"),
        ("eval_accuracy", ["accuracy"], "accuracy"),
        ("acc", ["acc/top1", "lr"], "acc/top1"),
        ("eval_f1", ["eval_loss", "eval_runtime"], None),
        ("f1", ["lr", "step_time"], None),
        ("accurcay", ["accuracy"], "accuracy"),
        ("accuracy", [], None),
    ],
)
def test_the_name_that_somebody_may_have_meant(
    name: str, known: list[str], close: str | None
) -> None:
    assert closest(name, known) == close
