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


def with_folds(
    monkeypatch: pytest.MonkeyPatch, count: int, *metrics: str, reports: int = 3
) -> Reporter:
    """A reporter that each fold has told three values of each metric, with all their digits."""
    monkeypatch.setenv("KUBESTUDY_OBJECTIVES", ",".join(metrics))
    monkeypatch.setenv("KUBESTUDY_FOLDS", str(count))
    monkeypatch.setenv("KUBESTUDY_FOLD", ",".join(map(str, range(count))))
    reporter = Reporter(Environment.read())
    for fold in range(count):
        for value in (fold + 1 / 3, fold + 2 / 7, fold + 5 / 11)[:reports]:
            reporter.report(fold=fold, other=1, **dict.fromkeys(metrics, value))
    return reporter


def test_the_folds_have_their_last_values_and_extremes(
    termination_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = with_folds(monkeypatch, 2, "accuracy")
    reporter.report(fold=1, loss=3, final=True)
    message = strict(termination_log.read_text())
    assert message["folds"] == {
        "accuracy": [[5 / 11, 2 / 7, 5 / 11], [1 + 5 / 11, 1 + 2 / 7, 1 + 5 / 11]]
    }
    assert (message["fold"], message["reason"]) == (1, "Completed")
    assert message["metrics"]["accuracy"]["max"] == 1 + 5 / 11


def test_a_fold_that_is_not_the_last_completes_nothing(
    termination_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = with_folds(monkeypatch, 2, "accuracy", reports=1)
    reporter.report(fold=0, accuracy=0.5, final=True)
    message = strict(termination_log.read_text())
    assert "reason" not in message
    assert message["folds"]["accuracy"][1] == 1 + 1 / 3


@pytest.mark.parametrize(("number", "digits"), [(1, 16), (2, 16), (3, 6)])
def test_20_folds_of_all_objectives_fit_whatever_the_message_is(
    termination_log: Path, monkeypatch: pytest.MonkeyPatch, number: int, digits: int
) -> None:
    names = [f"validation_metric_{i}" for i in range(number)]
    reporter = with_folds(monkeypatch, 20, *names)
    reporter.conclude("Failed", "x" * 4000)
    text = termination_log.read_text()
    assert len(text) <= MESSAGE_BYTES
    folds = strict(text)["folds"]
    assert list(folds) == names
    for fold, shown in enumerate(folds[names[-1]]):
        wanted = [fold + 5 / 11, fold + 2 / 7, fold + 5 / 11]
        assert shown == pytest.approx(wanted, rel=10.0 ** (1 - digits))


def test_what_does_not_fit_of_the_folds_is_left_out_from_the_end(
    termination_log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"validation_metric_{i}" for i in range(11)]
    with_folds(monkeypatch, 20, *names).conclude("Failed", "x" * 4000)
    text = termination_log.read_text()
    kept = list(strict(text)["folds"])
    assert kept == names[: len(kept)]
    assert 3 <= len(kept) < 11
    assert len(text) <= MESSAGE_BYTES


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
