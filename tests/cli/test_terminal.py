"""What others wrote is text on a terminal: it is no markup, and never drives the terminal."""

from __future__ import annotations

import json
import re

import pytest

from kubestudy.cli.terminal import shown, styled, width
from tests.cli.conftest import Shell
from tests.cli.test_screen import on_a_terminal, plain

HOSTILE = "a\x1b]0;owned\x07\x1b[2J\u202eb[bold red]c[/]d[/nothing]\x9b"
PROGRAM = r"""
import sys
print("step one \x1b[2J\x1b[31mred\x1b[0m \x1b]0;owned\x07[bold]text[/]")
print("accuracy=0.9")
if "1" in sys.argv[-1]:
    sys.exit("\x1b]0;owned\x07[bold red]why[/nothing]\x9b")
"""
STUDY = """\
apiVersion: kubestudy.dev/v1alpha1
kind: Study
metadata: {name: hostile}
spec:
  objectives: [{metric: accuracy, direction: Maximize}]
  parameters:
    - {name: note, choices: [%s]}
    - {name: width, values: [1, 2, 3]}
  algorithm: {type: Grid}
  budget: {parallelism: 1}
  trial: {command: [python3, train.py]}
"""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def hostile(shell: Shell) -> Shell:
    (shell.folder / "train.py").write_text(PROGRAM)
    shell.write(STUDY % json.dumps(HOSTILE))
    return shell


def test_no_command_lets_it_through(hostile: Shell) -> None:
    code, drawn = on_a_terminal(hostile, "run", "study.yaml")
    assert code == 0, drawn
    assert "\x07" not in drawn and "\x9b" not in drawn and "\u202e" not in drawn
    for words in (
        ("describe", "hostile"),
        ("describe", "hostile-0"),
        ("best", "hostile"),
        ("best", "hostile", "-o", "args"),
        ("best", "hostile", "-o", "yaml"),
        ("top", "hostile"),
        ("get",),
        ("get", "hostile", "-o", "json"),
        ("logs", "hostile-0"),
        ("export", "hostile"),
        ("validate", "study.yaml"),
        ("watch", "hostile"),
        ("describe", HOSTILE.replace("\x00", "")),
        ("validate", "no\x1b]0;owned\x07[/].yaml"),
    ):
        _, drawn = on_a_terminal(hostile, *words)
        text = COLOURS.sub("", drawn.replace("\r\n", "\n"))
        driving = {c for c in text if c != "\n" and shown(c) != c}
        assert not driving or words[0] == "watch", (words, driving, text)
        assert "\x07" not in text and "\x9b" not in text and "\u202e" not in text, words
        assert "MarkupError" not in text and "Traceback" not in text
    _, drawn = on_a_terminal(hostile, "describe", "hostile")
    assert "[bold red]why[/nothing]" in plain(drawn), "markup is text"


def test_a_program_that_reads_it_has_it_as_it_was(hostile: Shell) -> None:
    assert hostile("run", "study.yaml", "-q").code == 0
    printed = hostile("logs", "hostile-1").out
    assert "\x1b[2J\x1b[31mred\x1b[0m \x1b]0;owned\x07[bold]text[/]" in printed
    values = json.loads(hostile("best", "hostile", "-o", "json").out)["parameters"]
    assert values["note"] == HOSTILE


def test_our_own_colours_take_no_room() -> None:
    assert width(styled("best", "bold", "green")) == 4
    assert shown("a\nb\x1b[0m") == "a\\nb\\x1b[0m"
