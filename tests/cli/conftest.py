"""What the tests of the command line share: a folder to work in, and ways to run commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import kubestudy
from kubestudy.cli.main import cli

PACKAGES = str(Path(kubestudy.__file__).parents[1])

GRID = """\
apiVersion: kubestudy.dev/v1alpha1
kind: Study
metadata: {name: grid}
spec:
  objectives:
    - {metric: accuracy, direction: Maximize}
  parameters:
    - {name: lr, values: [1.0e-5, 2.0e-5, 5.0e-5]}
    - {name: batch, values: [16, 32]}
    - {name: epochs, values: [3, 4, 5]}
  algorithm: {type: Grid}
  budget: {parallelism: 4}
  trial:
    command: [sh, -c, 'echo started >> "$STARTS/$KUBESTUDY_TRIAL"; echo "accuracy=0.$1$2"', sh]
    args: ["${parameters.batch}", "${parameters.epochs}"]
"""


@dataclass
class Finished:
    """A command that has ended."""

    code: int
    out: str
    err: str


def environment() -> dict[str, str]:
    """The environment of a command: this one, with the package on the path."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KUBE", "CUDA", "OMP"))}
    return {**kept, "PYTHONPATH": PACKAGES, "NO_COLOR": "1", "COLUMNS": "100"}


class Shell:
    """Runs ``kubestudy`` as a process of its own, in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.starts = folder / "starts"
        self.starts.mkdir()
        self.environment = {**environment(), "STARTS": str(self.starts)}
        self._children: list[subprocess.Popen[str]] = []

    def write(self, text: str, name: str = "study.yaml") -> str:
        (self.folder / name).write_text(text)
        return name

    def start(self, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-m", "kubestudy.cli.main", *arguments],
            cwd=self.folder,
            env={**self.environment, **extra},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A job in the background of a shell, as these tests may be, ignores Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._children.append(child)
        return child

    def __call__(self, *arguments: str, **extra: str) -> Finished:
        child = self.start(*arguments, **extra)
        out, err = child.communicate(timeout=60)
        return Finished(child.returncode, out, err)

    def count_starts(self) -> dict[str, int]:
        """How often each trial's process was started."""
        return {f.name: len(f.read_text().splitlines()) for f in self.starts.iterdir()}

    def processes(self) -> list[int]:
        """The processes that work in this folder."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "cwd").resolve() == self.folder.resolve():
                    found.append(int(entry.name))
            except OSError:  # It has just ended.
                continue
        return found

    def close(self) -> None:
        """Ends what is left."""
        for child in self._children:
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
            child.communicate()
        for process in self.processes():
            os.kill(process, signal.SIGKILL)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with_folder = Shell(tmp_path)
    yield with_folder
    with_folder.close()


Invoke = Callable[..., Result]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Runs a command within this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return invoke_here


def invoke_here(*arguments: str, **keywords: object) -> Result:
    result = CliRunner().invoke(cli, arguments, prog_name="kubestudy", **keywords)  # type: ignore[arg-type]
    if result.exception and not isinstance(result.exception, SystemExit | click.Abort):
        raise result.exception
    return result


@pytest.fixture(scope="session")
def finished_grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a Study of 18 points; not to be changed."""
    shell = Shell(tmp_path_factory.mktemp("finished"))
    done = shell("run", shell.write(GRID))
    assert done.code == 0, done.err
    (shell.folder / "stdout").write_text(done.out)
    shell.close()
    return shell.folder
