"""What a person sees on a terminal, read back from a pseudo terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

from tests.cli.conftest import GRID, Shell


def on_a_terminal(shell: Shell, *arguments: str, interrupt_at: str = "") -> tuple[int, str]:
    """Runs a command on a terminal of 100 columns; returns its exit code and what it drew."""
    master, slave = pty.openpty()
    environment = {**shell.environment, "TERM": "xterm-256color", "LINES": "30"}
    del environment["NO_COLOR"]
    child = subprocess.Popen(
        [sys.executable, "-m", "kubestudy.cli.main", *arguments],
        cwd=shell.folder,
        env=environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(slave)
    drawn, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([master], [], [], 0.1)[0]:
            try:
                chunk = os.read(master, 1 << 16)
            except OSError:  # The other end is closed.
                break
            if not chunk:
                break
            drawn += chunk
        if interrupt_at and interrupt_at in drawn.decode(errors="replace"):
            child.send_signal(signal.SIGINT)
            interrupt_at = ""
    os.close(master)
    return child.wait(timeout=10), drawn.decode()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")


SLOW = GRID.replace('echo "accuracy', 'sleep 0.5; [ $1$2 = 163 ] && exit 64; echo "accuracy')


def test_the_screen_of_a_run(shell: Shell) -> None:
    code, drawn = on_a_terminal(shell, "run", shell.write(SLOW))
    text = plain(drawn)
    assert code == 0
    assert "grid  Grid search, 18 trials, 4 at once, maximize accuracy" in text
    assert re.search(r"━+ *.* of 18 .*about \d+s left", text)
    assert re.search(r"trial +accuracy +step +for +lr +batch +epochs", text)
    assert re.search(r"★ best  grid-\d+  accuracy 0\.\d+  lr=\S+ batch=\d+ epochs=\d", text)
    assert re.search(r"✗ grid-0  InvalidArgument: exit code 64", text)
    assert "Ctrl-C stops; the same command goes on from there" in text
    assert "\x1b[?25h" in drawn, "the cursor is shown again"
    end = text[text.rindex("grid: Complete") :]
    assert "3 of 18 trials failed:" in end
    assert "Next:    kubestudy best grid -o args" in end
    assert "\x1b[1m" in drawn[drawn.rindex("Complete") :], "the best stands out"


def test_ctrl_c_leaves_a_clean_terminal(shell: Shell) -> None:
    code, drawn = on_a_terminal(shell, "run", shell.write(SLOW), interrupt_at="best")
    assert code == 130
    assert "to go on where it stopped: kubestudy run study.yaml" in plain(drawn)
    assert "\x1b[?25h" in drawn
    assert "Traceback" not in drawn


def test_no_color_is_honoured(shell: Shell) -> None:
    shell("run", shell.write(GRID.replace("[1.0e-5, 2.0e-5, 5.0e-5]", "[1.0e-5]")), "--quiet")
    _, coloured = on_a_terminal(shell, "top", "grid")
    assert "\x1b[32m" in coloured
    shell.environment["NO_COLOR"] = "1"
    done = shell("top", "grid")
    assert "\x1b" not in done.out
