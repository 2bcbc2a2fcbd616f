"""What others wrote is text on a terminal: it is no markup, and never drives the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kubestudy.api.base import ApiModel
from kubestudy.api.manifests import dump, load
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.cli.main import SECTIONS
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


# What these hold decides what is shown at all, or belongs to the name of a file.
KEPT = {"apiVersion", "kind", "name", "uid", "job", "type", "status", "outcome", "study"}
KEPT |= {"metric", "note"}


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all texts."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))
        elif isinstance(value, str) and key not in KEPT:
            yield (*path, key)


def made_hostile(file: Path, model: type[ApiModel]) -> int:
    """Puts hostile text wherever an object takes it; returns in how many places."""
    data, count = load(file.read_text()), 0
    for *path, last in leaves(data):
        holder = data
        for key in path:
            holder = holder[key]
        before, holder[last] = holder[last], f"{holder[last]}{HOSTILE}"
        try:
            model.model_validate(data)
            count += 1
        except (ValidationError, ValueError):
            holder[last] = before
    file.write_text(dump(data))
    return count


COMMANDS = {
    "validate": [["validate", "wrong.yaml"], ["validate", "study.yaml"]],
    "run": [["run", "wrong.yaml"], ["run", "study.yaml", "--results", "other"]],
    "get": [
        ["get"],
        ["get", "hostile-1"],
        *(["get", "hostile", "-o", o] for o in ("yaml", "json")),
    ],
    "watch": [["watch", "hostile"]],
    "top": [["top", "hostile"]],
    "best": [
        ["best", "hostile"],
        *(["best", "hostile", "-o", o] for o in ("yaml", "json", "args")),
    ],
    "describe": [["describe", "hostile"], *(["describe", f"hostile-{i}"] for i in range(3))],
    "logs": [["logs", "hostile-0"], ["logs", "hostile"]],
    "export": [["export", "hostile"], ["export", "hostile", "-o", "jsonl"]],
    "suspend": [["suspend", "hostile"], ["suspend", HOSTILE]],
    "resume": [["resume", "hostile"]],
    "delete": [["delete", "hostile", "--yes"], ["delete", HOSTILE]],
}
ELSEWHERE = {"dashboard": "a browser shows it", "controller": "it writes to no terminal"}


def test_no_text_of_an_object_drives_the_terminal_in_any_command(hostile: Shell) -> None:
    """Results in which every text that may be anything is hostile."""
    assert hostile("run", "study.yaml", "-q").code == 0
    folder = hostile.folder / "results" / "hostile"
    assert made_hostile(folder / "study.yaml", Study) > 5
    for file in (folder / "trials").iterdir():
        assert made_hostile(file, Trial) > 5
    wrong = load((hostile.folder / "study.yaml").read_text())
    wrong |= {"kind": f"Study{HOSTILE}", "metadata": {"name": HOSTILE}}
    wrong["spec"] |= {HOSTILE: 1, "objectives": [{"metric": HOSTILE, "direction": HOSTILE}]}
    hostile.write(dump(wrong), "wrong.yaml")
    known = {name for section in SECTIONS.values() for name in section}
    assert known == COMMANDS.keys() | ELSEWHERE
    for command in (words for cases in COMMANDS.values() for words in cases):
        _, drawn = on_a_terminal(hostile, *command)
        assert "Traceback" not in drawn and "MarkupError" not in drawn, command
        for driving in ("\x1b]", "\x07", "\x9b", "\u202e"):
            assert driving not in drawn, command


def test_a_program_that_reads_it_has_it_as_it_was(hostile: Shell) -> None:
    assert hostile("run", "study.yaml", "-q").code == 0
    printed = hostile("logs", "hostile-1").out
    assert "\x1b[2J\x1b[31mred\x1b[0m \x1b]0;owned\x07[bold]text[/]" in printed
    values = json.loads(hostile("best", "hostile", "-o", "json").out)["parameters"]
    assert values["note"] == HOSTILE


def test_our_own_colours_take_no_room() -> None:
    assert width(styled("best", "bold", "green")) == 4
    assert shown("a\nb\x1b[0m") == "a\\nb\\x1b[0m"


LOG = r"\033[32mgreen\033[0m\n 10%%\r 50%%\r100%%\r\n\033[2Aup\ttab\033]0;owned\007\nnaïve ✓ 日本\n"


def test_a_log_keeps_its_colours_on_a_terminal_and_everything_elsewhere(shell: Shell) -> None:
    script = f"printf '{LOG}'; echo accuracy=1"
    study = load(STUDY % "a")
    study["spec"]["parameters"] = [{"name": "lr", "values": [0.1]}]
    study["spec"]["trial"] = {"command": ["sh", "-c", script, "sh"], "args": ["${parameters.lr}"]}
    assert shell("run", shell.write(dump(study)), "-q").code == 0
    _, drawn = on_a_terminal(shell, "logs", "hostile-0")
    assert drawn.replace("\r\n", "\n") == (
        "\x1b[32mgreen\x1b[0m\x1b[0m\n100%\nup\ttab\\x1b]0;owned\\x07\nnaïve ✓ 日本\naccuracy=1\n"
    )
    shell.environment["NO_COLOR"] = "1"
    raw = "\x1b[32mgreen\x1b[0m\n 10%\r 50%\r100%\r\n\x1b[2Aup\ttab\x1b]0;owned\x07\n"
    # Universal newlines of this test's own pipe.
    assert shell("logs", "hostile-0").out.startswith(raw.replace("\r\n", "\n").replace("\r", "\n"))


@pytest.mark.parametrize("text", ["naïve ✓ 日本 👩‍👩‍👧 \xa0 ›", "a'b\"c\\", "[bold]"])
def test_other_text_is_shown_as_it_is(text: str) -> None:
    assert shown(text) == text
