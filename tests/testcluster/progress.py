"""What the test cluster says while it works, and the error that it ends with."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path


class ClusterError(Exception):
    """Something that the cluster needs did not work; the message names it and what to look at."""


def say(text: str) -> None:
    """Prints one line of progress on stderr, so that stdout stays for results."""
    print(f"testcluster: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Says what is done and, when it is done, how long it took."""
    started = time.monotonic()
    try:
        yield
    except BaseException:
        say(f"{what}: failed after {time.monotonic() - started:.1f} s")
        raise
    say(f"{what}: {time.monotonic() - started:.1f} s")


def tail(log: Path, lines: int = 25) -> str:
    """The end of a log, indented, for an error message."""
    try:
        text = log.read_text(errors="replace")
    except OSError as error:
        return f"    (no log: {error})"
    return "\n".join(f"    {line[:400]}" for line in text.splitlines()[-lines:])


def run(
    argv: Sequence[str | Path],
    *,
    what: str,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
) -> str:
    """Runs a command to its end and returns what it printed.

    Args:
        argv: The command.
        what: What it does, for the error message.
        log: Where its output goes; without it the output is returned and kept for the error.
        env: Its whole environment; ours by default.
        cwd: Its folder.
        stdin: What it reads.

    Raises:
        ClusterError: It failed; the message has the end of its output.
    """
    command = [str(word) for word in argv]
    try:
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w") as output:
                done = subprocess.run(
                    command, env=env, cwd=cwd, input=stdin, text=True,
                    stdout=output, stderr=subprocess.STDOUT, check=False,
                )  # fmt: skip
            if done.returncode != 0:
                raise ClusterError(f"{what} failed. The end of {log}:\n{tail(log)}")
            return ""
        done = subprocess.run(
            command, env=env, cwd=cwd, input=stdin, text=True, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{what}: {command[0]} is not there ({error})") from error
    if done.returncode != 0:
        output_end = "\n".join(f"    {line}" for line in done.stderr.splitlines()[-25:])
        raise ClusterError(f"{what} failed: {' '.join(command)}\n{output_end}")
    return done.stdout


def wait_for(
    condition: Callable[[], bool], *, what: str, timeout: float, interval: float = 0.1
) -> None:
    """Waits until a condition holds.

    Raises:
        ClusterError: It did not within the time.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {timeout:.0f} s")
        time.sleep(interval)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock between processes: two bring-ups or two builds at once wait for each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that holds {path}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
