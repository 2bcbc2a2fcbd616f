"""How a process ends: exit code, reason, signals. Real processes, without torch."""

import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from kubestudy_trial import failures

from .test_reporting import free_port

Start = Callable[..., "subprocess.Popen[str]"]

SCRIPT = "import sys, time\nfrom kubestudy_trial import outcome, report\nwith outcome():\n"


def indented(body: str) -> str:
    return SCRIPT + "\n".join(f"    {line}" for line in body.splitlines())


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        ("report(accuracy=0.5)", 0, "Completed"),
        ("sys.exit(0)", 0, "Completed"),
        ("sys.exit(3)", 3, "Failed"),
        ("raise ValueError('odd')", 1, "Failed"),
        ("raise MemoryError", 71, "OutOfMemory"),
        ("raise RuntimeError('CUDA error: out of memory')", 71, "OutOfMemory"),
        ('raise RuntimeError("DefaultCPUAllocator: can\'t allocate memory")', 71, "OutOfMemory"),
        ("raise ConnectionError('no route')", 69, "DataUnavailable"),
        ("raise KeyboardInterrupt", 75, "Interrupted"),
    ],
)
def test_the_end_of_a_script(
    start: Start, termination_log: Path, body: str, code: int, reason: str
) -> None:
    process = start("-c", indented(body))
    process.communicate(timeout=30)
    assert process.returncode == code
    assert json.loads(termination_log.read_text())["reason"] == reason


def test_an_unexpected_error_shows_where_it_came_from(start: Start) -> None:
    _, err = start("-c", indented("raise ValueError('odd')")).communicate(timeout=30)
    assert "Traceback" in err
    assert err.count("ValueError: odd") >= 1


def test_a_user_error_is_told_without_a_traceback(start: Start) -> None:
    _, err = start("-m", "kubestudy_trial", "oops").communicate(timeout=30)
    assert "Traceback" not in err
    assert "InvalidArgument: 'oops' is not an argument" in err


def test_a_variable_that_breaks_the_contract_is_told(start: Start) -> None:
    process = start("-c", indented("pass"), KUBESTUDY_PARAMETERS="{")
    _, err = process.communicate(timeout=30)
    assert process.returncode == 64
    assert "InvalidArgument: KUBESTUDY_PARAMETERS is not JSON" in err


def test_torchs_own_memory_errors_are_known_by_name() -> None:
    class OutOfMemoryError(RuntimeError):
        pass

    assert failures.classify(OutOfMemoryError("CUDA")).exit_code == 71


def test_a_failure_ends_a_script_that_knows_nothing_of_it(start: Start) -> None:
    code = (
        "from kubestudy_trial.failures import Diverged\n"
        "try:\n    raise Diverged('x')\nexcept Exception:\n    pass\n"
    )
    process = start("-c", code)
    process.communicate(timeout=30)
    assert process.returncode == 65


def test_sigterm_outside_of_training_ends_at_once(start: Start, termination_log: Path) -> None:
    # Short sleeps: Python sees a signal that comes just before a system call only after it.
    body = (
        "report(step=1, accuracy=0.5)\n"
        "try:\n"
        "    while True: time.sleep(0.01)\n"
        "except BaseException:\n"
        "    pass"
    )
    process = start("-c", indented(body))
    assert process.stdout is not None
    process.stdout.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 75
    assert time.monotonic() - began < 5
    message = json.loads(termination_log.read_text())
    assert message["reason"] == "Interrupted"
    assert message["metrics"]["accuracy"]["latest"] == 0.5


def test_a_forked_worker_does_not_speak_for_the_trial(start: Start, termination_log: Path) -> None:
    body = (
        "import multiprocessing, os, signal\n"
        "report(accuracy=0.5)\n"
        "worker = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))\n"
        "worker.start(); time.sleep(0.3); worker.terminate(); worker.join()\n"
        "assert worker.exitcode == -signal.SIGTERM, worker.exitcode\n"
    )
    process = start("-c", indented(body))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert json.loads(termination_log.read_text())["reason"] == "Completed"


@pytest.mark.parametrize("interrupt", [True, False])
def test_the_endpoint_lingers_until_it_is_told_to_go(start: Start, interrupt: bool) -> None:
    port = free_port()
    process = start(
        "-c",
        indented("report(accuracy=0.75)"),
        KUBESTUDY_METRICS_PORT=str(port),
        KUBESTUDY_LINGER_SECONDS="60" if interrupt else "4",
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.5)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert "0.75" in answer.read().decode()
    assert process.poll() is None
    if interrupt:
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 0
