"""An edit of a Study's `trial` between two runs of it: what begins later is as it says now."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from kubestudy.api.manifests import dump, load
from kubestudy.local.store import Folder
from tests.cli.conftest import GRID, Shell
from tests.support.waiting import until

WAITS = 'echo begun as "$@"; while [ ! -e go ]; do sleep 0.05; done; echo accuracy=$1'


def study(script: str, *arguments: str, max_trials: int = 1, **trial: Any) -> str:
    made = load(GRID)
    made["spec"] |= {
        "parameters": [{"name": "lr", "values": [0.1, 0.2]}],
        "budget": {"parallelism": 1, "maxTrials": max_trials},
        "trial": {"command": ["sh", "-c", script, "sh"], "args": list(arguments), **trial},
    }
    return dump(made)


def results(shell: Shell) -> Folder:
    return Folder(shell.folder / "results/grid")


def begun(shell: Shell) -> Path:
    """The log of the first run, once that is under way."""
    log = results(shell).log("grid-0-0-0-0")
    until(lambda: log.exists() and "begun" in log.read_text(), what="it is under way", every=0.02)
    return log


def test_a_run_that_was_held_back_begins_again_as_the_trial_says_now(shell: Shell) -> None:
    runner = shell.start("run", shell.write(study(WAITS, "${parameters.lr}", "--warmup=1")))
    log = begun(shell)
    runner.send_signal(signal.SIGINT)
    assert runner.wait(20) == 130
    (shell.folder / "go").touch()
    edited = study(WAITS, "${parameters.lr}", "--warmup=2", env=[{"name": "A", "value": "b"}])
    done = shell("run", shell.write(edited))
    assert done.code == 0, done.err
    assert "note: spec.trial was edited: runs that begin from now on are as it says\n" in done.err
    assert log.read_text() == "begun as 0.1 --warmup=1\nbegun as 0.1 --warmup=2\naccuracy=0.1\n"
    assert "was edited" not in shell("run", "study.yaml").err


def test_trials_that_have_ended_keep_their_results_and_a_line_says_so(shell: Shell) -> None:
    shell("run", shell.write(study("echo accuracy=0.3", "${parameters.lr}")))
    done = shell("run", shell.write(study("echo accuracy=0.4", "${parameters.lr}", max_trials=2)))
    assert [t.value("accuracy") for t in results(shell).trials()] == [0.3, 0.4]
    assert (
        "spec.trial was edited: runs that begin from now on are as it says; the 1 trial that has"
        " ended keeps its results (--restart runs all of them again)"
    ) in " ".join(done.err.split())


def test_a_run_at_work_goes_on_as_it_was_started_and_a_line_says_so(shell: Shell) -> None:
    runner = shell.start("run", shell.write(study(WAITS, "${parameters.lr}", max_trials=2)))
    log = begun(shell)
    runner.kill()
    runner.wait()
    edited = study(WAITS, "${parameters.lr}", "--warmup=2", max_trials=2)
    again = shell.start("run", shell.write(edited))
    assert again.stderr is not None
    told = next(line for line in again.stderr if "at work" in line)
    before = "at work as they were started, before spec.trial was edited"
    assert told == f"note: {before}: grid-0-0-0-0\n"
    (shell.folder / "go").touch()
    assert again.wait(20) == 0
    assert log.read_text() == "begun as 0.1\naccuracy=0.1\n"
    assert (
        results(shell).log("grid-1-0-0-0").read_text() == "begun as 0.2 --warmup=2\naccuracy=0.2\n"
    )


def test_another_attempt_is_as_the_trial_says_now(shell: Shell) -> None:
    # Interrupted by somebody else, it waits for its next attempt when the runner ends.
    script = "echo begun; [ -e go ] || exit 75; echo accuracy=$1"
    runner = shell.start("run", shell.write(study(script, "${parameters.lr}")))
    until(
        lambda: len(list(results(shell).runs.glob("grid-0-0-0-*"))) > 1,
        what="it is tried again",
        every=0.02,
    )
    runner.send_signal(signal.SIGINT)
    assert runner.wait(20) == 130
    (shell.folder / "go").touch()
    done = shell("run", shell.write(study(script.replace("$1", "0.7"), "${parameters.lr}")))
    assert done.code == 0, done.err
    assert [t.value("accuracy") for t in results(shell).trials()] == [0.7]
