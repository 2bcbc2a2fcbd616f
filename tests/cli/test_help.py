"""Help pages: all of them render, teach by an example, and the first one comes at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kubestudy.cli.main import SECTIONS, cli
from tests.cli.conftest import Invoke, environment

COMMANDS = [name for section in SECTIONS.values() for name in section]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from kubestudy.cli.main import main\n"
        "try: main()\n"
        "finally: print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert "Tune the hyperparameters" in done.stdout
    heavy = {"kubernetes", "pydantic", "rich", "yaml", "urllib3", "asyncio", "kubestudy.api"}
    assert not heavy & set(done.stderr.split())


def test_the_first_page_lists_every_command_and_exit_code(invoke: Invoke) -> None:
    page = invoke("--help").stdout
    assert cli.list_commands(None) == COMMANDS  # type: ignore[arg-type]
    for name in COMMANDS:
        assert f"\n  {name} " in page
    for code in ("0 ", "1 ", "2 ", "3 ", "130 "):
        assert f"\n  {code}" in page


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches(name: str, invoke: Invoke) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: kubestudy {name}" in result.stdout
    assert f"kubestudy {name}" in result.stdout.partition("Options:")[0].partition("\n")[2]
    assert "\\b" not in result.stdout


def test_usage_errors_end_with_2(invoke: Invoke) -> None:
    assert invoke("frobnicate").exit_code == 2
    assert invoke("top").exit_code == 2
    assert invoke("top", "x", "--results", "a", "-n", "b").exit_code == 2
    assert invoke("run", "x.yaml", "--parallelism", "0").exit_code == 2


def test_a_command_that_does_not_exist_is_told_its_neighbour(invoke: Invoke) -> None:
    assert "No such command 'tpo'. Did you mean 'top'?" in invoke("tpo").stderr
    assert "There are validate, run, get" in invoke("frobnicate").stderr


def test_the_plugin_has_its_own_name() -> None:
    code = (
        "import sys; sys.argv[0] = '/x/kubectl-study'; from kubestudy.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "top", "--help"],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert done.stdout.startswith("Usage: kubectl study top ")


def test_the_version_is_told(invoke: Invoke) -> None:
    assert invoke("--version").stdout.startswith("kubestudy 0.")
