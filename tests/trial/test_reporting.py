"""Reports: the line, the number of each, Prometheus."""

import json
import math
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from kubestudy_trial import parameters, report
from kubestudy_trial.environment import Environment
from kubestudy_trial.reporting import LINE_BYTES, Reporter

from .conftest import PACKAGE, lines


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def test_a_report_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    report(step=40, epoch=1, eval_accuracy=0.81, eval_f1=1)
    (line,) = capsys.readouterr().out.splitlines()
    shown = json.loads(line)
    assert shown.pop("time").endswith("Z")
    assert shown == {"seq": 0, "step": 40, "epoch": 1, "eval_accuracy": 0.81, "eval_f1": 1}


def test_a_report_names_its_fold(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBESTUDY_FOLDS", "3")
    monkeypatch.setenv("KUBESTUDY_FOLD", "1,2")
    reporter = Reporter(Environment.read())
    reporter.report(accuracy=0.1, fold=1)
    reporter.report(accuracy=0.2, fold=2, final=True)
    reporter.report(accuracy=0.3)
    monkeypatch.setenv("KUBESTUDY_FOLD", "2")
    Reporter(Environment.read()).report(accuracy=0.4)
    shown = lines(capsys.readouterr().out)
    assert [r.get("fold") for r in shown] == [1, 2, None, 2]


def test_seq_grows_by_one_and_only_the_last_is_final(capsys: pytest.CaptureFixture[str]) -> None:
    report(accuracy=0.1)
    report(accuracy=0.2)
    report(accuracy=0.3, final=True)
    reports = lines(capsys.readouterr().out)
    assert [shown["seq"] for shown in reports] == [0, 1, 2]
    assert [shown.get("final") for shown in reports] == [None, None, True]
    assert "step" not in reports[0]


def test_threads_neither_mix_their_lines_nor_skip_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    threads = [
        threading.Thread(target=lambda: [report(accuracy=0.5) for _ in range(50)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out = capsys.readouterr().out
    assert [json.loads(line)["seq"] for line in out.splitlines()] == list(range(400))


def test_nan_is_told_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    report(loss=math.nan, other=-math.inf)
    out = capsys.readouterr().out
    assert '"loss": NaN' in out
    assert '"other": -Infinity' in out


@pytest.mark.parametrize("value", ["0.5", None, True, [1.0]])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="accuracy"):
        report(accuracy=value)


@pytest.mark.parametrize("name", ["seq", "time"])
def test_reserved_names_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match="reserved"):
        report(**{name: 1})


def test_a_number_of_another_library_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    class Scalar:
        def item(self) -> float:
            return 0.25

    report(accuracy=Scalar())
    assert lines(capsys.readouterr().out)[0]["accuracy"] == 0.25


def test_hundreds_of_metrics_are_cut_into_lines_that_a_log_keeps_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    metrics = {f"class_{number}_precision_at_{'x' * 40}": number / 7 for number in range(600)}
    report(step=3, final=True, **metrics)
    out = capsys.readouterr().out.splitlines()
    assert len(out) > 1
    assert max(map(len, out)) < 16 * 1024
    assert LINE_BYTES < 16 * 1024
    reports = [json.loads(line) for line in out]
    assert {name for shown in reports for name in shown} >= metrics.keys()
    assert [shown.get("final", False) for shown in reports] == [False] * (len(out) - 1) + [True]
    assert {shown["step"] for shown in reports} == {3}


def test_only_the_first_of_several_processes_speaks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, termination_log: Path
) -> None:
    monkeypatch.setenv("RANK", "1")
    report(accuracy=0.5)
    assert capsys.readouterr().out == ""
    assert not termination_log.exists()


def test_parameters_are_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBESTUDY_PARAMETERS", '{"learning_rate": 1e-5, "layers": 2, "opt": "sgd"}')
    assert parameters() == {"learning_rate": 1e-5, "layers": 2, "opt": "sgd"}


def test_without_a_controller_there_are_no_parameters() -> None:
    assert parameters() == {}


def test_prometheus_reads_the_metrics(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    reporter = Reporter(Environment(metrics_port=port, trial="secret-name"))
    reporter.report(step=40, epoch=1.5, eval_accuracy=0.81, loss=0.5)
    reporter.report(step=50, loss=0.4)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    assert 'kubestudy_trial_metric{metric="eval_accuracy"} 0.81' in text
    assert 'kubestudy_trial_metric_step{metric="eval_accuracy"} 40.0' in text
    assert 'kubestudy_trial_metric_epoch{metric="eval_accuracy"} 1.5' in text
    assert 'kubestudy_trial_metric_step{metric="loss"} 50.0' in text
    assert 'kubestudy_trial_metric_epoch{metric="loss"}' not in text
    assert "kubestudy_trial_step 50.0" in text
    assert "kubestudy_trial_epoch 1.5" in text
    assert "secret-name" not in text


def test_a_taken_port_is_a_warning(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        reporter = Reporter(Environment(metrics_port=other.getsockname()[1]))
        reporter.report(accuracy=0.5)
    assert not reporter.is_scraped
    assert "training goes on" in caplog.text
    assert len(lines(capsys.readouterr().out)) == 1


def test_report_needs_neither_torch_nor_time() -> None:
    code = (
        "import sys, time; start = time.perf_counter()\n"
        "import kubestudy_trial; kubestudy_trial.report(accuracy=0.5)\n"
        "print(time.perf_counter() - start, file=sys.stderr)\n"
        "assert not {'torch', 'transformers', 'numpy', 'prometheus_client'} & sys.modules.keys()\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert lines(run.stdout)[0]["accuracy"] == 0.5
    assert float(run.stderr) < 1


def test_the_callback_says_what_it_needs(start) -> None:
    code = (
        "import sys; sys.modules['transformers'] = None\n"  # As if it were not installed.
        "from kubestudy_trial import KubestudyCallback"
    )
    _, err = start("-c", code).communicate(timeout=30)
    assert "install kubestudy-trial with its extra [trainer]" in err


def test_the_help_is_quick_and_needs_no_torch(start) -> None:
    code = (
        "import sys\nfrom kubestudy_trial.cli import main\nmain(['--help'])\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    began = time.monotonic()
    process = start("-c", code)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert time.monotonic() - began < 5
    for word in ("--task", "--text_pair_column", "--learning_rate", "--dropout", "examples", "75"):
        assert word in out
