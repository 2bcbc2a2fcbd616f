"""Processes that outlive the command that started them, and are found again safely.

A record file names each by process id, start time and boot, so that a stale record (after a
SIGKILL or a restart of the machine) never makes us signal a process that is someone else's. A mark
in the environment finds those whose record is missing: a run that was cut off between start and
record, and containerd's shims, which inherit it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from .progress import ClusterError, tail, wait_for

MARK = "KUBESTUDY_CLUSTER_PROCESS"


class _Record(TypedDict):
    pid: int
    started: str
    argv: list[str]


def start_time(pid: int) -> str | None:
    """Returns what tells this process from a later one with the same id; None when it has ended."""
    if Path("/proc/self/stat").exists():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        # The command's name, in parentheses, may hold spaces: fields count from its end.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else f"{boot}/{fields[19]}"
    found = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = found.stdout.strip().partition(" ")
    return started.strip() if state and not state.startswith("Z") else None


class Daemon:
    """One long-running program of a cluster.

    Args:
        name: Its name, which also names its log and its record.
        state: The cluster's state folder.
    """

    def __init__(self, name: str, state: Path) -> None:
        self.name = name
        self.log = state / "logs" / f"{name}.log"
        self._record = state / "run" / f"{name}.json"
        self._mark = f"{MARK}={state}"

    def start(
        self,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        flags: Sequence[str] = (),
    ) -> None:
        """Starts it in a session of its own, with its output in its log.

        Args:
            argv: The command, as it will be restarted.
            env: Added to the environment.
            flags: Such as `--name=value`, for this time, as in `restart`.
        """
        self.stop()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._record.parent.mkdir(parents=True, exist_ok=True)
        command = [str(word) for word in argv]
        mark, _, value = self._mark.partition("=")
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # Not subprocess.Popen: it complains when it is dropped while its process still runs.
        try:
            pid = os.posix_spawn(
                command[0],
                _with_flags(command, flags),
                {**os.environ, **(env or {}), mark: value},
                setsid=True,
                setsigmask=[],
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(self.log), append, 0o644),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                    # A lock or a pipe of who called us would be held for as long as it runs.
                    *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited()),
                ],
            )
        except OSError as error:
            raise ClusterError(f"{self.name} cannot be started: {error}") from error
        record = _Record(pid=pid, started=start_time(pid) or "", argv=command)
        partial = self._record.with_suffix(".partial")
        partial.write_text(json.dumps(record, indent=1))
        partial.rename(self._record)

    def restart(self, *flags: str) -> None:
        """Starts it again as it was first started, also by another process than this one.

        Args:
            *flags: Such as `--name=value`, for this time: in place of those of these names, and
                besides the others.
        """
        record = self._read()
        if record is None:
            raise ClusterError(f"{self.name} was never started here")
        self.start(record["argv"], flags=flags)

    def stop(self, grace: float = 10.0) -> None:
        """Ends it: SIGTERM, and SIGKILL after the grace period. Its record stays, for restart."""
        pid = self.pid
        if pid is not None:
            _end([pid], grace)

    @property
    def pid(self) -> int | None:
        """Its process id, or None when it does not run."""
        record = self._read()
        if record is None:
            return None
        _reap(record["pid"])
        return record["pid"] if start_time(record["pid"]) == record["started"] else None

    def wait_until(self, ready: Callable[[], bool], *, timeout: float = 60.0) -> None:
        """Waits until it serves.

        Raises:
            ClusterError: It ended, or did not get there in time; with the end of its log.
        """

        def ready_or_dead() -> bool:
            if self.pid is None:
                raise ClusterError(f"{self.name} ended. The end of {self.log}:\n{tail(self.log)}")
            return ready()

        try:
            wait_for(ready_or_dead, what=f"{self.name} gets ready", timeout=timeout)
        except ClusterError as error:
            if self.pid is None:
                raise
            raise ClusterError(f"{error}. The end of {self.log}:\n{tail(self.log)}") from None

    def _read(self) -> _Record | None:
        try:
            record = json.loads(self._record.read_text())
            return _Record(
                pid=int(record["pid"]), started=str(record["started"]), argv=list(record["argv"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _inherited() -> list[int]:
    """What else was handed on to us, such as a lock: held by a daemon, it would never be free."""
    found = []
    for fd in sorted(int(path.name) for path in Path("/dev/fd").iterdir()):
        with contextlib.suppress(OSError):  # the folder's own, closed by now
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
    return found


def end_marked(state: Path, grace: float = 5.0) -> int:
    """Ends every process that carries this state folder's mark; returns how many there were."""
    mark = f"{MARK}={state}".encode()
    marked = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environ.read_bytes().split(b"\0"):
                marked.append(int(environ.parent.name))
        except OSError:
            continue  # it ended meanwhile, or is not ours to look at
    marked = [pid for pid in marked if pid != os.getpid()]
    _end(marked, grace)
    return len(marked)


def end_all(pids: Iterable[int]) -> None:
    """Kills processes at once, without a grace period."""
    _end(list(pids), grace=0.0)


def _end(pids: list[int], grace: float) -> None:
    alive = {pid: started for pid in pids if (started := start_time(pid)) is not None}
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience
        if patience > 0:
            for pid in alive:
                _signal(pid, number)
        while alive and time.monotonic() < deadline:
            for pid in alive:
                _reap(pid)
            alive = {pid: started for pid, started in alive.items() if start_time(pid) == started}
            time.sleep(0.02 if alive else 0)
    for pid in pids:
        _reap(pid)


def _with_flags(command: Sequence[str], flags: Sequence[str]) -> list[str]:
    new = {flag.partition("=")[0]: flag for flag in flags}
    replaced = [new.pop(word.partition("=")[0], word) for word in command]
    return [*replaced, *new.values()]


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap(pid: int) -> None:
    """Takes the exit status if it is our child: until then an ended process keeps its id."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
