"""What a trial's program leaves behind: it ends with the program, as in a container."""

from __future__ import annotations

import signal
from typing import Any

from kubestudy.api.manifests import dump, load
from kubestudy.local.store import Folder
from tests.cli.conftest import GRID, Shell
from tests.support.waiting import until

LEAVES = """
import os, signal, subprocess, sys, time
kind = sys.argv[1]
sleeper = ["sh", "-c", "trap '' TERM HUP; sleep 97; sleep 97"]
if kind == "daemon":
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp(sleeper[0], sleeper)
        os._exit(0)
    os.wait()
elif kind == "family":
    subprocess.Popen(["setsid", "sh", "-c", "setsid sleep 97 & setsid sleep 97 & wait"])
else:
    subprocess.Popen(sleeper, start_new_session=kind == "session")
"""
KINDS = ["background", "session", "daemon", "family"]


def study(program: str, *, kinds: list[str] = KINDS, **trial: Any) -> str:
    """A trial for each kind of what a program leaves."""
    made = load(GRID)
    made["spec"] |= {
        "parameters": [{"name": "kind", "choices": kinds}],
        "budget": {"parallelism": len(kinds), "maxFailedTrials": len(kinds)},
        "trial": {"command": ["python3", "-c", program], "args": ["${parameters.kind}"], **trial},
    }
    return dump(made)


def log(shell: Shell, index: int) -> str:
    return Folder(shell.folder / "results/grid").log(f"grid-{index}-0-0-0").read_text()


def test_what_a_program_leaves_ends_with_it_in_whatever_session(shell: Shell) -> None:
    # More than a pipe holds, so that the end of the log is still to be read when all has ended.
    lines = 20_000
    report = f"print('accuracy=0.9\\\\n' + 'x\\\\n' * {lines} + 'the end')"
    done = shell("run", shell.write(study(f"{LEAVES}\n{report}".replace("\\\\", "\\"))))
    assert done.code == 0, done.err
    trials = Folder(shell.folder / "results/grid").trials()
    assert [t.value("accuracy") for t in trials] == [0.9] * len(KINDS)
    assert shell.processes() == []
    for i in range(len(KINDS)):
        assert log(shell, i).count("x\n") == lines
        assert log(shell, i).endswith("the end\n")


def test_a_program_that_fails_or_is_killed_leaves_nothing_either(shell: Shell) -> None:
    done = shell("run", shell.write(study(f"{LEAVES}\nsys.exit('no such column')")))
    assert "no such column" in done.out
    assert shell.processes() == []
    deaf = f"{LEAVES}\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"
    file = shell.write(study(deaf, timeout="1s"))
    template = load((shell.folder / file).read_text())
    trial = template["spec"]["trial"]
    container = {"name": "trial", "image": "i", "command": trial["command"], "args": trial["args"]}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    template["spec"]["trial"] = {"timeout": "1s", "template": {"spec": pod}}
    done = shell("run", shell.write(dump(template)), "--restart")
    assert done.out.count("DeadlineExceeded: it was not done after 1 s") >= len(KINDS)
    assert shell.processes() == []


def test_a_program_in_a_session_of_its_own_may_save_its_work_when_it_is_stopped(
    shell: Shell,
) -> None:
    # A shell dies of the signal at once, and leaves the program that it has started.
    saves = "trap 'echo saved; exit 75' TERM; echo begun; while :; do sleep 0.1; done"
    file = shell.write(
        study("", kinds=["session"], command=["sh", "-c", f'setsid sh -c "{saves}"; true'])
    )
    runner = shell.start("run", file)
    path = Folder(shell.folder / "results/grid").log("grid-0-0-0-0")
    until(lambda: path.exists() and "begun" in path.read_text(), what="it has begun")
    runner.send_signal(signal.SIGINT)
    assert runner.wait(20) == 130
    assert log(shell, 0) == "begun\nsaved\n"
    assert shell.processes() == []


def test_orphans_that_have_ended_do_not_pile_up_while_the_program_runs(shell: Shell) -> None:
    program = """
import os, time
def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return fields[0], int(fields[1])
def piled_up():
    found = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            found += state(pid) == ("Z", os.getppid())
        except OSError:
            pass
    return found
for _ in range(20):
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.1)
        os._exit(0)
    os.wait()
time.sleep(0.5)
left = piled_up()
for _ in range(50):
    if left == 0:
        break
    time.sleep(0.1)
    left = piled_up()
print(f"accuracy={left}")
"""
    done = shell("run", shell.write(study(program, kinds=["daemon"])))
    assert done.code == 0, done.err
    (trial,) = Folder(shell.folder / "results/grid").trials()
    assert trial.value("accuracy") == 0
