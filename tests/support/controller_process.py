"""The real controller as a process of its own, which a test may kill."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
NO_CODE = 1000


class ControllerProcess:
    """`kubestudy controller`; as a context manager it runs from entry to exit.

    Args:
        kubeconfig: The way in.
        log: The file for its log, which its restarts go on writing.
        options: Of the command.
        env: Added to its environment.
    """

    def __init__(
        self, kubeconfig: Path, log: Path, *options: str, env: Mapping[str, str] | None = None
    ) -> None:
        self._log, self._env = log, env or {}
        self._command = [
            sys.executable,
            "-c",
            "from kubestudy.cli.controller import controller; controller()",
            f"--kubeconfig={kubeconfig}",
            "--port=0",
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._from = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        if error is not None:
            print(self._log.read_text()[-10_000:])

    def start(self) -> None:
        """Starts it (again)."""
        with self._log.open("ab") as log:
            self._from = log.tell()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT / "controller"), **self._env},
            )

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait_for_exit(self, timeout: float = 30.0) -> int:
        """Waits until it has ended and returns its exit code."""
        return NO_CODE if self._process is None else self._process.wait(timeout)

    def terminate(self, timeout: float = 10.0) -> int:
        """Ends it by SIGTERM and returns its exit code."""
        if self._process is None:
            return NO_CODE
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout)

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def peak_memory(self) -> int:
        """The most memory that it had at once since its last start, in MiB."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found, status
        return int(found[1]) // 1024

    @property
    def log(self) -> str:
        """Its log since the last start."""
        return self._log.read_bytes()[self._from :].decode(errors="replace")

    def wait_for_log(self, text: str, timeout: float = 30.0) -> None:
        """Waits until its log since the last start has a text."""

        def look() -> str:
            assert self.running, f"the controller has ended; its log:\n{self.log}"
            return self.log

        until(look, lambda log: text in log, what=f"log has {text!r}", timeout=timeout)

    def metrics(self) -> str:
        """What it tells Prometheus."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    @property
    def port(self) -> int:
        """Where it answers probes and tells its metrics."""
        found = re.search(r"listens on port (\d+)", self.log)
        assert found, f"no port in the controller's log:\n{self.log}"
        return int(found[1])
