"""The termination message: always whole, always within its 4,096 bytes."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy_trial.environment import Environment
from kubestudy_trial.reporting import MESSAGE_BYTES, Reporter, Series, termination_message


def strict(text: str) -> dict:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


@given(
    names=st.lists(st.text(min_size=1), max_size=300, unique=True),
    value=st.floats(),
    message=st.text(max_size=6000),
    seq=st.none() | st.integers(0, 10**9),
)
def test_it_is_bounded_json_whatever_is_in_it(names, value, message, seq) -> None:
    series = {}
    for name in names:
        series[name] = Series(value, seq)
        series[name].add(value, seq)
    text = termination_message(seq, seq, series, "Failed", message)
    assert len(text.encode()) <= MESSAGE_BYTES
    assert strict(text)["reason"] == "Failed"


def test_it_repeats_the_latest_and_the_extremes(termination_log: Path) -> None:
    reporter = Reporter(Environment.read())
    for step, accuracy in ((25, 0.64), (50, 0.83), (75, 0.81)):
        reporter.report(step=step, eval_accuracy=accuracy)
    reporter.conclude("Completed")
    assert strict(termination_log.read_text()) == {
        "seq": 2,
        "step": 75,
        "metrics": {"eval_accuracy": {"latest": 0.81, "step": 75, "min": 0.64, "max": 0.83}},
        "reason": "Completed",
        "message": "",
    }


def test_a_report_that_is_not_the_last_gives_no_reason(termination_log: Path) -> None:
    # Else a SIGKILL right after it would leave a message of success.
    reporter = Reporter(Environment.read())
    reporter.report(accuracy=0.5)
    assert "reason" not in strict(termination_log.read_text())
    reporter.report(accuracy=0.6, final=True)
    assert strict(termination_log.read_text())["reason"] == "Completed"


def test_a_shorter_message_leaves_nothing_of_a_longer_one(termination_log: Path) -> None:
    termination_log.write_text("x" * 9000)
    Reporter(Environment.read()).conclude("Failed", "short")
    assert strict(termination_log.read_text())["message"] == "short"


def test_what_the_objectives_name_comes_first(
    termination_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBESTUDY_OBJECTIVES", "zz_mine,eval_f1")
    reporter = Reporter(Environment.read())
    many = {f"eval_{number:03}_größe": number for number in range(300)}
    reporter.report(**many, loss=1, eval_runtime=2, eval_f1=3, zz_mine=4)
    kept = list(strict(termination_log.read_text())["metrics"])
    assert set(kept[:2]) == {"zz_mine", "eval_f1"}
    assert 20 < len(kept) < 300


def test_without_objectives_evaluations_come_before_the_rest(termination_log: Path) -> None:
    reporter = Reporter(Environment.read())
    reporter.report(eval_runtime=1, loss=2, eval_accuracy=3)
    names = list(strict(termination_log.read_text())["metrics"])
    assert names == ["eval_accuracy", "loss", "eval_runtime"]


def test_nan_is_a_word_and_no_extreme() -> None:
    series = Series(0.5, 1)
    series.add(0.5, 1)
    series.add(math.nan, 2)
    shown = strict(termination_message(1, 2, {"loss": series}, "Diverged", ""))
    assert shown["metrics"]["loss"] == {"latest": "NaN", "step": 2, "min": 0.5, "max": 0.5}
    assert math.isnan(float(shown["metrics"]["loss"]["latest"]))


def test_none_is_written_where_its_folder_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "missing" / "log"
    monkeypatch.setenv("KUBESTUDY_TERMINATION_LOG", str(path))
    Reporter(Environment.read()).conclude("Completed")
    assert not path.parent.exists()


def test_a_message_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("KUBESTUDY_TERMINATION_LOG", str(tmp_path))  # A folder.
    Reporter(Environment.read()).conclude("Completed")
    assert "no termination message" in caplog.text
