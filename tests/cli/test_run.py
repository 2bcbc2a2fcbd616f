"""``kubestudy run``: whatever happens to the runner, each trial is run once and none is lost."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kubestudy.api.manifests import dump, load
from kubestudy.api.meta import condition
from kubestudy.cli.views import reason, study_state
from kubestudy.local.store import Folder
from tests.cli.conftest import GRID, Shell
from tests.support.waiting import until

SLOW = GRID.replace('echo started >> "$STARTS', 'sleep 0.4; echo started >> "$STARTS')


def grid(**changes: Any) -> str:
    """The Study, with parts of its spec replaced."""
    study = load(GRID)
    for field, value in changes.items():
        target = study["spec"]
        *path, last = field.split("__")
        for part in path:
            target = target[part]
        target[last] = value
    return dump(study)


def one(script: str, *arguments: str, **changes: Any) -> str:
    """A Study of one trial that runs a script."""
    command = ["sh", "-c", script, "sh"]
    return grid(
        **{
            "parameters": [{"name": "lr", "values": [0.1]}],
            "trial__command": command,
            "trial__args": list(arguments) or ["${parameters.lr}"],
            **changes,
        }
    )


def folder(shell: Shell) -> Folder:
    return Folder(shell.folder / "results/grid")


def check_all_18(shell: Shell, starts: bool = True) -> None:
    trials = folder(shell).trials()
    assert [t.spec.index for t in trials] == list(range(18))
    assert len({json.dumps(t.spec.parameters) for t in trials}) == 18
    assert {t.state for t in trials} == {"Succeeded"}
    for t in trials:
        p = t.spec.parameters
        assert t.value("accuracy") == pytest.approx(float(f"0.{p['batch']}{p['epochs']}"))
    study = folder(shell).study()
    assert study.status and study.status.best and study.status.progress == "18/18"
    assert study.status.best.objectives[0].value == pytest.approx(0.325)
    if starts:
        assert shell.count_starts() == {f"grid-{i}": 1 for i in range(18)}


def test_a_grid_of_18_points(finished_grid: Path) -> None:
    shell = Shell.__new__(Shell)
    shell.folder, shell.starts = finished_grid, finished_grid / "starts"
    check_all_18(shell)
    assert shell.processes() == []


def test_the_plain_output(finished_grid: Path) -> None:
    text = (finished_grid / "stdout").read_text()
    assert "\x1b" not in text
    lines = re.sub(r"<1s|\b\d+s\b", "TIME", text).splitlines()
    assert lines[0] == "grid: Grid search, 18 trials, 4 at once, maximize accuracy"
    done = sorted(lines[1:19], key=lambda line: int(re.search(r"grid-(\d+)", line)[1]))  # type: ignore[index]
    assert [line[:8] for line in lines[1:19]] == [f"[{i:>2}/18] " for i in range(1, 19)]
    assert done[0][8:] == "grid-0  accuracy=0.163  lr=1e-05 batch=16 epochs=3  TIME"
    assert done[17][8:] == "grid-17  accuracy=0.325  lr=5e-05 batch=32 epochs=5  TIME"
    assert "\n".join(lines[19:]) == (
        "\n"
        "grid: Complete after TIME: all 18 points of the search space were tried;"
        " 18 of 18 trials finished; best accuracy 0.325 in grid-5\n"
        "\n"
        "The best 10 of 18:\n"
        "TRIAL     ACCURACY   LR      BATCH   EPOCHS   DURATION\n"
        "grid-5    0.325      1e-05   32      5        TIME\n"
        "grid-11   0.325      2e-05   32      5        TIME\n"
        "grid-17   0.325      5e-05   32      5        TIME\n"
        "grid-4    0.324      1e-05   32      4        TIME\n"
        "grid-10   0.324      2e-05   32      4        TIME\n"
        "grid-16   0.324      5e-05   32      4        TIME\n"
        "grid-3    0.323      1e-05   32      3        TIME\n"
        "grid-9    0.323      2e-05   32      3        TIME\n"
        "grid-15   0.323      5e-05   32      3        TIME\n"
        "grid-2    0.165      1e-05   16      5        TIME\n"
        "\n"
        "Best: grid-5 with accuracy 0.325\n"
        "  --lr=1.0e-05 --batch=32 --epochs=5\n"
        "\n"
        "Results: results/grid\n"
        "Next:    kubestudy best grid -o args"
    )


def test_a_runner_killed_three_times_loses_nothing_and_starts_nothing_twice(shell: Shell) -> None:
    file, uid = shell.write(SLOW), ""
    for finished in (2, 6, 11):
        runner = shell.start("run", file)
        until(
            lambda n=finished: sum(t.finished for t in folder(shell).trials()) >= n,  # type: ignore[misc]
            what=f"{finished} trials have finished",
            every=0.02,
        )
        runner.send_signal(signal.SIGKILL)
        runner.wait()
        uid = uid or str(folder(shell).study().metadata.uid)
    done = shell("run", file)
    assert done.code == 0, done.err
    assert "going on:" in done.out
    check_all_18(shell)
    assert folder(shell).study().metadata.uid == uid
    assert shell.processes() == []


def test_ctrl_c_lets_runs_save_their_work_and_they_go_on(shell: Shell) -> None:
    script = """
        state=$KUBESTUDY_CHECKPOINT_DIR/step
        trap 'echo interrupted at $step; echo $step > $state; exit 75' TERM
        step=$(cat $state 2>/dev/null || echo 0)
        echo begun at $step, attempt $KUBESTUDY_ATTEMPT
        while [ $step -lt 6 ]; do
          sleep 0.2; step=$((step+1)); echo "step=$step accuracy=0.$step"
        done
    """
    file = shell.write(
        one(
            script,
            "${parameters.lr}",
            parameters=[{"name": "lr", "values": [0.1, 0.2]}],
            trial__checkpoints={"claimName": "any"},
        )
    )
    runner = shell.start("run", file)
    log = folder(shell).log("grid-0-0-0-0")
    until(lambda: log.exists() and "step=3" in log.read_text(), what="it is under way", every=0.02)
    runner.send_signal(signal.SIGINT)
    out, err = runner.communicate(timeout=20)
    assert runner.returncode == 130, err
    assert "stopped: " in out
    assert f"to go on where it stopped: kubestudy run {file}" in out
    assert "Traceback" not in err
    assert shell.processes() == []
    study, trials = folder(shell).study(), folder(shell).trials()
    assert {t.state for t in trials} == {"Pending"}

    done = shell("run", file)
    assert done.code == 0, done.err
    assert folder(shell).study().metadata.uid == study.metadata.uid
    after = folder(shell).trials()
    assert [t.metadata.uid for t in after] == [t.metadata.uid for t in trials]
    for t in after:
        assert t.value("accuracy") == 0.6
        assert t.status and t.status.runs and [r.attempt for r in t.status.runs] == [0]
    text = log.read_text()
    assert re.findall(r"begun at (\d), attempt 0", text) == ["0", re.findall(r"at (\d)", text)[1]]
    assert "begun at 0" in text and "interrupted at" in text


def test_a_second_ctrl_c_kills(shell: Shell) -> None:
    file = shell.write(one("trap '' TERM; echo here; while :; do sleep 0.1; done"))
    runner = shell.start("run", file)
    log = folder(shell).log("grid-0-0-0-0")
    until(lambda: log.exists() and "here" in log.read_text(), what="it is under way")
    runner.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert runner.poll() is None, "a run has time to save its work"
    runner.send_signal(signal.SIGINT)
    assert runner.wait(timeout=10) == 130
    assert shell.processes() == []


def test_a_machine_that_went_down_counts_as_an_interruption(shell: Shell) -> None:
    script = (
        "echo begun $KUBESTUDY_ATTEMPT; [ $KUBESTUDY_ATTEMPT = 0 ] && sleep 60; echo accuracy=1"
    )
    file = shell.write(one(script))
    runner = shell.start("run", file)
    log = folder(shell).log("grid-0-0-0-0")
    until(lambda: log.exists() and "begun" in log.read_text(), what="it is under way")
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    for pid in shell.processes():
        os.kill(pid, signal.SIGKILL)
    done = shell("run", file)
    assert done.code == 0, done.err
    assert "NodeLost" in done.out and "run again" in done.out
    (trial,) = folder(shell).trials()
    assert trial.value("accuracy") == 1
    assert trial.status and [r.reason for r in trial.status.runs or ()] == ["NodeLost", "Completed"]


def test_an_interrupted_run_is_run_again_and_others_are_not(shell: Shell) -> None:
    script = """
        echo x >> "$STARTS/$KUBESTUDY_TRIAL"
        case $1 in
          0.1) [ $KUBESTUDY_ATTEMPT = 2 ] || exit 75;;
          0.2) exit 75;;
          0.3) echo 'ValueError: no such column' >&2; exit 64;;
          0.4) exit 0;;
          0.5) echo 'accuracy=nan';;
        esac
        [ $1 = 0.4 ] || echo accuracy=$1
    """
    values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    file = shell.write(one(script, parameters=[{"name": "lr", "values": values}]))
    done = shell("run", file)
    assert done.code == 0, done.err
    told = {t.metadata.name: (t.state, reason(t)[0]) for t in folder(shell).trials()}
    assert told == {
        "grid-0": ("Succeeded", "Completed"),
        "grid-1": ("Failed", "Interrupted"),
        "grid-2": ("Failed", "InvalidArgument"),
        "grid-3": ("Failed", "MetricMissing"),
        "grid-4": ("Failed", "Diverged"),
        "grid-5": ("Succeeded", "Completed"),
    }
    assert list(dict(sorted(shell.count_starts().items())).values()) == [3, 3, 1, 1, 1, 1]
    assert (
        "grid-2  failed: InvalidArgument: exit code 64, after printing: ValueError: no su"
        in done.out
    )
    assert "4 of 6 trials failed:" in done.out


def test_a_study_whose_trials_all_fail_fails(shell: Shell) -> None:
    done = shell("run", shell.write(grid(trial__command=["sh", "-c", "exit 3"], trial__args=[])))
    assert done.code == 1
    assert "grid: Failed after" in done.out
    assert "the first" in done.out and "all failed" in done.out
    assert shell.processes() == []


def test_a_program_that_refuses_its_arguments_ends_the_study_and_names_its_log(
    shell: Shell,
) -> None:
    (shell.folder / "train.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\np.add_argument('--rate')\np.parse_args()\n"
    )
    command = [sys.executable, "train.py"]
    text = grid(trial__command=command, trial__args=[], budget__parallelism=1)
    done = shell("run", shell.write(text))
    assert done.code == 1
    assert {t.metadata.name for t in folder(shell).trials()} == {"grid-0", "grid-1", "grid-2"}
    study = folder(shell).study()
    assert study_state(study) == "Failed"
    told = done.out.partition("3 of 3 trials failed:\n")[2]
    assert told.startswith(
        "  3 trials (grid-0, grid-1, grid-2): InvalidArgument: exit code 2, after printing:"
        " train.py: error: unrecognized arguments: --lr="
    )
    assert told.endswith("Next:    kubestudy logs grid-0\n")
    assert "usage: train.py" in shell("logs", "grid-0").out
    best = shell("best", "grid", "-o", "args")
    assert (best.code, best.out) == (3, "")
    assert "no trial of grid has succeeded; all 3 that failed did so by InvalidArgument" in best.err
    assert best.err.endswith("Next:  kubestudy logs grid-0\n")
    described = shell("describe", "grid").out
    assert "Failures:\n  3 trials (grid-0, grid-1, grid-2): InvalidArgument" in described
    (event,) = [line for line in described.splitlines() if " TrialFailed " in line]
    assert "(x3)" in event


def test_an_exit_code_of_2_alone_is_nobodys_mistake(shell: Shell) -> None:
    done = shell("run", shell.write(one("ls /nowhere")))
    assert "grid-0  failed: exit code 2, after printing: ls: cannot access" in done.out


def test_failures_of_one_kind_are_told_once_and_others_beside_them(shell: Shell) -> None:
    script = "[ $1 = 1 ] && exit 4; [ $1 = 5 ] && { echo accuracy=1; exit; }; echo no $1; exit 3"
    done = shell(
        "run",
        shell.write(
            grid(
                parameters=[{"name": "lr", "values": [1, 2, 3, 4, 5]}],
                trial__command=["sh", "-c", script, "sh"],
                trial__args=["${parameters.lr}"],
                budget__maxFailedTrials=9,
            )
        ),
    )
    assert done.code == 0
    told = done.out.partition("4 of 5 trials failed:\n")[2].splitlines()
    assert told[:2] == [
        "  3 trials (grid-1, grid-2, grid-3): exit code 3, after printing: no 2",
        "  grid-0: exit code 4",
    ]


def test_a_lowered_number_of_trials_is_never_less_than_those_that_have_finished(
    shell: Shell,
) -> None:
    assert shell("run", shell.write(grid())).code == 0
    again = shell("run", "study.yaml", "--max-trials", "3")
    assert "18 of 18 trials finished" in again.out and "of 3 trials" not in again.out


def test_results_that_somebody_has_edited_are_told_by_file_and_field(shell: Shell) -> None:
    assert shell("run", shell.write(one("echo accuracy=1"))).code == 0
    file = shell.folder / "results/grid/trials/grid-0.yaml"
    file.write_text(file.read_text().replace("index: 0", "index: first"))
    for command in (["run", "study.yaml"], ["top", "grid"]):
        done = shell(*command)
        assert done.code == 1 and "Traceback" not in done.err
        assert (
            "error: the results cannot be read: results/grid/trials/grid-0.yaml: spec.index: must"
            " be an integer, not 'first'; mend the file" in done.err
        )


def test_a_folder_that_cannot_be_written_is_told(shell: Shell) -> None:
    file = shell.write(one("echo $1"))
    done = shell("run", file, "--results", "/proc/nowhere")
    assert (done.code, done.err) == (1, "error: /proc/nowhere: No such file or directory\n")


def test_a_goal_stops_the_others(shell: Shell) -> None:
    script = "[ $1 = 0.1 ] && sleep 30; echo accuracy=$1"
    text = one(script, parameters=[{"name": "lr", "values": [0.1, 0.9]}])
    done = shell(
        "run",
        shell.write(text.replace("direction: Maximize", "direction: Maximize\n    target: 0.9")),
    )
    assert done.code == 0, done.err
    assert {t.metadata.name: t.state for t in folder(shell).trials()} == {
        "grid-0": "Stopped",
        "grid-1": "Succeeded",
    }
    assert shell.processes() == []


CURVE = """
import sys, time
level, steps = float(sys.argv[1]), 200 if sys.argv[1] == "0.1" else 3
for step in range(1, steps + 1):
    print(f"step={step} accuracy={level * step / (step + 1)}", flush=True)
    time.sleep(0.1)
"""


def curves(**stopping: Any) -> str:
    """Trials that report as they learn; the last would take 20 seconds."""
    return grid(
        parameters=[{"name": "lr", "values": [0.9, 0.8, 0.1]}],
        budget__parallelism=1,
        trial__command=["python3", "-c", CURVE],
        trial__args=["${parameters.lr}"],
        earlyStopping=stopping,
    )


def test_a_bad_trial_is_stopped_early(shell: Shell) -> None:
    text = curves(type="Median", settings={"startupTrials": 2, "minSteps": 2})
    done = shell("run", shell.write(text))
    assert done.code == 0, done.err
    trials = folder(shell).trials()
    assert [t.state for t in trials] == ["Succeeded", "Succeeded", "Stopped"]
    assert trials[2].status
    said = condition(trials[2].status.conditions, "Stopped")
    assert said and said.reason == "EarlyStopped"
    assert re.fullmatch(
        r"accuracy 0\.0\d+ at step \d+ is worse than the median 0\.\d+ of 2 trials", said.message
    )
    assert said.message in shell("describe", "grid-2").out
    assert shell.processes() == []


def test_a_trial_that_no_longer_improves_is_done(shell: Shell) -> None:
    flat = CURVE.replace("level * step / (step + 1)", "level")
    study = load(curves(type="Patience", settings={"patience": 4}))
    study["spec"]["trial"]["command"][2] = flat
    done = shell("run", shell.write(dump(study)))
    assert done.code == 0, done.err
    trials = folder(shell).trials()
    assert [t.state for t in trials] == ["Succeeded"] * 3
    assert [t.value("accuracy") for t in trials] == [0.9, 0.8, 0.1]
    assert shell.processes() == []


def test_a_study_that_no_longer_improves_ends(shell: Shell) -> None:
    text = one(
        "echo accuracy=0.5",
        parameters=[{"name": "lr", "min": 0.1, "max": 0.9}],
        algorithm={"type": "Random", "seed": 1},
        budget={"parallelism": 1, "maxTrialsWithoutImprovement": 3},
    )
    done = shell("run", shell.write(text))
    assert done.code == 0, done.err
    assert "no improvement in the last 3 trials" in done.out
    assert len(folder(shell).trials()) == 4


@pytest.mark.parametrize("script", ["sleep 30", "trap 'exit 0' TERM; sleep 30 & wait"])
def test_a_run_beyond_its_time_fails(shell: Shell, script: str) -> None:
    done = shell("run", shell.write(one(f"echo accuracy=0.5; {script}", trial__timeout="1s")))
    assert done.code == 1
    assert "DeadlineExceeded" in done.out
    assert "it was not done after 1 s" in done.out


def test_a_suspended_study_waits_and_goes_on(shell: Shell) -> None:
    file = shell.write(SLOW.replace("  trial:\n", "  suspend: true\n  trial:\n"))
    runner = shell.start("run", file)
    until(lambda: folder(shell).exists() and folder(shell).study().status, what="it is seen")
    time.sleep(0.5)
    assert folder(shell).trials() == []
    assert shell("resume", "grid").out == "grid resumed\n"
    until(lambda: len(shell.count_starts()) >= 4, what="trials run")
    assert shell("suspend", "grid").out == "grid suspended\n"
    until(lambda: study_state(folder(shell).study()) == "Suspended", what="it is suspended")
    until(lambda: len(shell.processes()) <= 1, what="nothing but the runner is at work")
    shell("resume", "grid")
    assert runner.wait(timeout=40) == 0
    check_all_18(shell, starts=False)


def test_an_edited_budget_is_taken_and_an_edited_search_space_refused(shell: Shell) -> None:
    first = shell("run", shell.write(grid(budget={"maxTrials": 2})))
    assert first.code == 0
    assert len(folder(shell).trials()) == 2
    more = shell("run", shell.write(grid(budget={"maxTrials": 3, "parallelism": 3})))
    assert more.code == 0, more.err
    assert len(folder(shell).trials()) == 3
    assert folder(shell).study().metadata.generation == 2
    again = shell("run", "study.yaml", "--max-trials", "5", "--parallelism", "2")
    assert again.code == 0
    assert len(folder(shell).trials()) == 5

    file = shell.write(
        grid(algorithm={"type": "Random"}, objectives=[{"metric": "f1", "direction": "Maximize"}])
    )
    refused = shell("run", file)
    assert refused.code == 2
    assert "spec.objectives, spec.algorithm cannot be changed" in refused.err
    assert "--results OTHER" in refused.err and "--restart" in refused.err
    assert len(folder(shell).trials()) == 5

    anew = shell(
        "run", shell.write(grid(budget={"maxTrials": 1}, algorithm={"type": "Random"})), "--restart"
    )
    assert anew.code == 0, anew.err
    assert len(folder(shell).trials()) == 1
    (old,) = (shell.folder / "results/.old").iterdir()
    assert len(Folder(old).trials()) == 5
    assert shell("get").out.count("\n") == 2


def test_two_runners_do_not_collide(shell: Shell) -> None:
    file = shell.write(one("sleep 3; echo accuracy=1"))
    runner = shell.start("run", file)
    until(lambda: folder(shell).exists() and folder(shell).trials(), what="it is under way")
    second = shell("run", file)
    assert second.code == 1
    assert f"process {runner.pid}" in second.err
    refused = shell("delete", "grid", "--yes")
    assert refused.code == 1 and "Ctrl-C" in refused.err
    assert runner.wait(timeout=20) == 0


BITING = [
    '"; rm -rf /',
    "'; echo accuracy=9 #",
    "$(HOME)",
    "$$(HOME)",
    "$$$HOME `id` ${HOME}",
    "no",
    "1e-4",
    "ünï ✓ 日本",
    "two\nlines\n",
    " spaces  ",
    "",
    "-n",
    "--lr=5",
    "back\\slash \\n",
    "%s*?[a]~",
    "${parameters.lr}",
    "{{.x}} <%= y %>",
]


def test_values_that_bite_reach_the_process_exactly(shell: Shell) -> None:
    script = """
import json, os, sys
print("SEEN " + json.dumps([sys.argv[1:], os.environ["TEXT"], os.environ["KUBESTUDY_PARAMETERS"]]))
print("accuracy=1")
"""
    text = grid(
        parameters=[{"name": "text", "choices": BITING}],
        trial__command=["python3", "-c", script],
        trial__args=["${parameters.text}", "--text=${parameters.text}"],
        trial__env=[{"name": "TEXT", "value": "${parameters.text}"}],
    )
    done = shell("run", shell.write(text))
    assert done.code == 0, done.err
    for i, value in enumerate(BITING):
        log = folder(shell).log(f"grid-{i}-0-0-0").read_text()
        seen = json.loads(log.partition("SEEN ")[2].partition("\n")[0])
        assert seen == [
            [value, f"--text={value}"],
            value,
            json.dumps({"text": value}, ensure_ascii=False),
        ]
    assert [t.spec.parameters["text"] for t in folder(shell).trials()] == BITING


def test_numbers_reach_the_process_as_written_for_it(shell: Shell) -> None:
    parameters = [
        {"name": "lr", "values": [1e-4]},
        {"name": "decay", "values": [1.0], "type": "Double"},
        {"name": "epochs", "values": [3]},
        {"name": "mode", "choices": ["no"]},
    ]
    text = grid(
        parameters=parameters,
        trial__command=[
            "sh",
            "-c",
            'echo "$@ $KUBESTUDY_PARAMETERS" > seen; echo accuracy=1',
            "sh",
        ],
        trial__args=["--given=1"],
    )
    assert shell("run", shell.write(text)).code == 0
    assert (shell.folder / "seen").read_text() == (
        "--given=1 --lr=0.0001 --decay=1.0 --epochs=3 --mode=no"
        ' {"lr": 0.0001, "decay": 1.0, "epochs": 3, "mode": "no"}\n'
    )


def test_each_run_has_its_own_part_of_the_machine(shell: Shell) -> None:
    program = shell.folder / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf '0\\n1\\n2\\n3\\n'\n")
    program.chmod(0o755)
    script = """
        mkdir -p held; for gpu in $(echo $CUDA_VISIBLE_DEVICES | tr , ' '); do
          mkdir held/$gpu || echo collision >> collisions; done
        echo "$CUDA_VISIBLE_DEVICES" >> used
        sleep 0.3
        for gpu in $(echo $CUDA_VISIBLE_DEVICES | tr , ' '); do rmdir held/$gpu; done
        echo accuracy=1
    """
    path = f"{shell.folder}:{os.environ['PATH']}"
    values = [{"name": "lr", "values": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}]
    file = shell.write(one(script, parameters=values, trial__gpus=2, budget={"parallelism": 4}))
    done = shell("run", file, PATH=path)
    assert done.code == 0, done.err
    assert not (shell.folder / "collisions").exists()
    used = (shell.folder / "used").read_text().split()
    assert set(used) == {"0,1", "2,3"}
    assert len(used) == 6
    status = folder(shell).study().status
    assert status and status.gpu_seconds and status.gpu_seconds.used >= 0
    assert "no GPU" not in done.err


def test_cpus_are_shared_where_there_is_no_gpu(shell: Shell) -> None:
    script = 'echo "$CUDA_VISIBLE_DEVICES $OMP_NUM_THREADS" >> seen; echo accuracy=1'
    file = shell.write(one(script, trial__gpus=1, budget={"parallelism": 2}))
    done = shell("run", file, PATH="/usr/bin:/bin")
    assert done.code == 0, done.err
    assert "this machine has no GPU" in done.err
    cpus = len(os.sched_getaffinity(0))
    assert (shell.folder / "seen").read_text() == f" {max(1, cpus // 2)}\n"
    shell("run", file, "--restart", "--quiet", OMP_NUM_THREADS="7")
    assert (shell.folder / "seen").read_text().splitlines()[1] == " 7"


def test_the_last_word_and_long_lines_are_read(shell: Shell) -> None:
    script = """
import json, os, sys
sys.stderr.write("x" * 200000 + "\\r 50%"); sys.stderr.flush()
print(json.dumps({"seq": 0, "step": 1, "accuracy": 0.25}), flush=True)
sys.stderr.write("\\r100%"); sys.stderr.flush()
word = {"seq": 2, "step": 3, "metrics": {"accuracy": {"latest": 0.5, "min": 0.25, "max": 0.5}}}
open(os.environ["KUBESTUDY_TERMINATION_LOG"], "w").write(json.dumps(word))
"""
    file = shell.write(one("", "-c", script, trial__command=["python3"]))
    assert shell("run", file).code == 0
    (trial,) = folder(shell).trials()
    assert trial.value("accuracy") == 0.5
    log = folder(shell).log("grid-0-0-0-0").read_text()
    assert '{"seq": 0, "step": 1, "accuracy": 0.25}' in log.splitlines()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trial": {"image": "me/mine"}}, "spec.trial.command is needed on this machine"),
        (
            {"trial": {"command": ["no-such-program"]}},
            "spec.trial.command[0] 'no-such-program' is not",
        ),
        ({"algorithm": {"type": "Gird"}}, "spec.algorithm.type: unknown algorithm"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(
    change: dict[str, Any], told: str, shell: Shell
) -> None:
    refused = shell("run", shell.write(grid(**change)))
    assert refused.code == 2
    assert told in refused.err
    assert not (shell.folder / "results").exists()


def test_quiet_prints_nothing(shell: Shell) -> None:
    done = shell("run", shell.write(one("echo accuracy=1")), "--quiet", "--results", "elsewhere")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert Folder(shell.folder / "elsewhere/grid").trials()


def test_a_file_kept_from_hangups_hears_them_not(shell: Shell) -> None:
    """As under nohup: SIGHUP was ignored when the runner started, and stays so."""
    file = shell.write(one("sleep 1; echo accuracy=1"))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        runner = shell.start("run", file)
    finally:
        signal.signal(signal.SIGHUP, before)
    until(lambda: folder(shell).exists() and folder(shell).trials(), what="it is under way")
    runner.send_signal(signal.SIGHUP)
    assert runner.wait(timeout=20) == 0
