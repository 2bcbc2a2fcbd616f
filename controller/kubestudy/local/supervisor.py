"""Runs one process and writes down what became of it, whatever happens to who started it.

It plays the part of the kubelet for a pod, and is a program of its own, so that a run outlives a
runner that is killed, and its end is never lost. It imports nothing but the standard library.

    supervisor.py FOLDER LOG LOCK TIMEOUT GRACE COMMAND [ARGUMENT...]

- FOLDER is the pod's: ``started.json`` appears in it when the process has started, and
  ``exit.json`` when it has ended, the last lines of its log being written already.
- Both streams go to the file LOG by whole lines, as in a pod's log, so that a progress bar on one
  never cuts a report on the other in two.
- LOCK is the number of an inherited, locked file: it stays locked while anything of the run lives.
- SIGTERM asks the process to end, and it is killed GRACE seconds later; a second SIGTERM kills it
  at once. The same happens after TIMEOUT seconds, if there are any.
- When the process has ended, what it left is killed, as in a container: on Linux all that it has
  started, also in sessions of their own; elsewhere its process group, as far as there is no more.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LONGEST_LINE = 1 << 20
DRAIN_SECONDS = 0.5
"""How long a stream is waited for that somebody holds open who could not be killed."""
KILL_SECONDS = 1.0
"""How long what is left is killed again: it may have started more meanwhile."""

_PR_SET_CHILD_SUBREAPER = 36


class Lines:
    """One stream of the process, written to the log by whole lines."""

    def __init__(self, stream: int, log: int):
        self.stream, self._log, self._rest = stream, log, b""
        os.set_blocking(stream, False)

    def pump(self) -> bool:
        """Takes what has arrived; returns whether there may be more to come."""
        try:
            chunk = os.read(self.stream, 1 << 16)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        whole, newline, rest = (self._rest + chunk).rpartition(b"\n")
        self._write(whole + newline)
        self._rest = rest
        if len(rest) > LONGEST_LINE:
            # Where a progress bar begins to draw itself anew, or else between two words.
            end = rest.rfind(b"\r")
            end = end if end > 0 else rest.rfind(b" ")
            self._rest, rest = rest[:end] if end > 0 else rest, rest[end:] if end > 0 else b""
            self.flush()
            self._rest = rest
        return True

    def flush(self) -> None:
        """Ends a line that was left unended."""
        if self._rest:
            self._write(self._rest + b"\n")
        self._rest = b""

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._log, data) :]


class Supervisor:
    """Follows one process from its start to its end."""

    def __init__(self, folder: Path, log: int, timeout: float, grace: float):
        self._folder, self._log, self._grace = folder, log, grace
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout if timeout else None
        self._kill_at: float | None = None
        self._signals = 0
        self._heard = 0
        self._stopped = False
        self._timed_out = False
        self._adopts = False

    def run(self, command: list[str], lock: int) -> None:
        """Runs the command to its end."""
        wake, bell = os.pipe()
        for end in (wake, bell):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._adopts = _adopt_orphans()
        out_reader, out = os.pipe()
        err_reader, err = os.pipe()
        streams = [Lines(out_reader, self._log), Lines(err_reader, self._log)]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=(lock,),
            )
        except OSError as error:
            message = f"{command[0]}: {error.strerror}"
            os.write(self._log, f"{message}\n".encode(errors="replace"))
            self._tell("exit.json", code=127, reason="StartError", message=message)
            return
        finally:
            os.close(out)
            os.close(err)
        self._tell("started.json", pid=os.getpid(), process=process.pid)
        code = self._follow(process, streams, wake)
        self._tell(
            "exit.json",
            code=code if code >= 0 else 128 - code,
            stopped=self._stopped,
            reason="DeadlineExceeded" if self._timed_out else None,
            message=f"it was not done after {self._timeout:.0f} s" if self._timed_out else "",
        )

    def _follow(self, process: subprocess.Popen[bytes], streams: list[Lines], wake: int) -> int:
        with selectors.DefaultSelector() as selector:
            selector.register(wake, selectors.EVENT_READ)
            for stream in streams:
                selector.register(stream.stream, selectors.EVENT_READ, stream)
            gone_at: float | None = None
            code: int | None = None
            while True:
                self._pump(selector, wake, self._next_alarm() if code is None else 0.05)
                self._obey(process)
                if code is None:
                    if self._adopts:
                        _bury_orphans(process.pid)
                    if (code := process.poll()) is None:
                        continue
                    if self._asked:
                        # A shell that dies of the signal leaves the program that saves its work.
                        self._signal_all(process.pid, signal.SIGTERM)
                if gone_at is None:
                    patient = self._kill_at is not None and time.monotonic() < self._kill_at
                    if patient and self._anything_lives(process.pid):
                        continue
                    self._kill_all(process.pid)
                    gone_at = time.monotonic()
                # Who is no child of ours may hold a stream open for ever.
                if len(selector.get_map()) == 1 or time.monotonic() > gone_at + DRAIN_SECONDS:
                    break
            for stream in streams:
                stream.flush()
        return code

    def _pump(self, selector: selectors.BaseSelector, wake: int, timeout: float | None) -> None:
        for key, _ in selector.select(timeout):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
            elif not key.data.pump():
                selector.unregister(key.fileobj)

    @property
    def _asked(self) -> bool:
        return self._stopped or self._timed_out

    def _on_signal(self, *_: object) -> None:
        self._signals += 1

    def _next_alarm(self) -> float | None:
        alarms = [t for t in (self._deadline, self._kill_at) if t is not None]
        return max(0.0, min(alarms) - time.monotonic()) if alarms else None

    def _obey(self, process: subprocess.Popen[bytes]) -> None:
        """Does what signals and clocks ask for."""
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            if not self._asked:
                self._timed_out = True
                self._ask(process, now)
        if self._signals > self._heard:
            self._heard = self._signals
            if self._asked:
                self._kill_at = now
            else:
                self._stopped = True
                self._ask(process, now)
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at = None
            _kill_group(process.pid, signal.SIGKILL)

    def _ask(self, process: subprocess.Popen[bytes], now: float) -> None:
        # The process alone, as the kubelet does: it knows best what to do about its helpers.
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        self._kill_at = now + self._grace

    def _signal_all(self, group: int, number: int) -> None:
        """Sends a signal to what the process has left."""
        _kill_group(group, number)
        for child in _children() if self._adopts else ():
            with contextlib.suppress(OSError):
                os.kill(child, number)

    def _anything_lives(self, group: int) -> bool:
        _bury_all()
        return _group_lives(group) or (self._adopts and bool(_children()))

    def _kill_all(self, group: int) -> None:
        """Kills what the process has left; whose parent is killed is ours, and the next."""
        until = time.monotonic() + KILL_SECONDS
        self._signal_all(group, signal.SIGKILL)
        while self._anything_lives(group) and time.monotonic() < until:
            self._signal_all(group, signal.SIGKILL)
            time.sleep(0.005)

    def _tell(self, name: str, **facts: Any) -> None:
        facts["time"] = datetime.now(UTC).isoformat()
        new = self._folder / f".{name}.new"
        new.write_text(json.dumps(facts))
        new.rename(self._folder / name)


def _adopt_orphans() -> bool:
    """Makes what loses its parent a child of this process; False where a system cannot do that."""
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    return False


def _children() -> list[int]:
    """The children of this process that live.

    Their numbers are theirs until this process asks how they ended: no other process is meant.
    """
    found, own = [], str(os.getpid())
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The command's name, in parentheses, may hold anything: fields count from its end.
                stat = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].decode().split()
                if stat[1] == own and stat[0] not in "ZX":
                    found.append(int(entry.name))
    return found


def _bury_orphans(process: int) -> None:
    """Lets those orphans go that have ended, but for the process itself."""
    with contextlib.suppress(ChildProcessError):
        peek = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while (ended := os.waitid(os.P_ALL, 0, peek)) and ended.si_pid != process:
            os.waitpid(ended.si_pid, 0)


def _bury_all() -> None:
    """Lets all children go that have ended: they count as alive until somebody asks how."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True


def _kill_group(group: int, number: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(group, number)


def main(arguments: list[str]) -> None:
    """Runs as the module's docstring says."""
    folder, log, lock, timeout, grace, *command = arguments
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    Supervisor(Path(folder), file, float(timeout), float(grace)).run(command, int(lock))


if __name__ == "__main__":
    main(sys.argv[1:])
