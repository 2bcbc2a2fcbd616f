"""A real Prometheus server (Debian's), which scrapes processes of this machine, or of pods."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.waiting import until
from tests.testcluster import packages

ROOT = Path(__file__).parents[2]
PACKAGE = {"prometheus": "prometheus"}
INTERVAL = 1

CONFIG = """
global:
  scrape_interval: {interval}s
  scrape_timeout: {interval}s
scrape_configs:
  - job_name: trials
    honor_labels: true
    file_sd_configs:
      - files: [targets/*.json]
"""


class PrometheusServer:
    """Runs from entry to exit, and scrapes once a second what it is told to.

    Args:
        folder: For its configuration and data.
        config: Its configuration, where that is another one than to scrape what it is told to.
        address: Where it serves.
    """

    def __init__(self, folder: Path, config: str | None = None, address: str = "127.0.0.1") -> None:
        self._folder = folder
        self._listens = f"{address}:{free_port()}"
        self.url = f"http://{self._listens}"
        (folder / "targets").mkdir()
        (folder / "prometheus.yml").write_text(config or CONFIG.format(interval=INTERVAL))

    def __enter__(self) -> Self:
        packages.install(PACKAGE)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    shutil.which("prometheus") or "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self._listens}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(self._ready, what="Prometheus is ready", timeout=30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(30)
        if error is not None:
            print((self._folder / "log").read_text()[-3000:])

    def scrape(self, name: str, port: int, **labels: str) -> None:
        """Scrapes a process from now on, as a target with these labels."""
        target = [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]
        new = self._folder / "targets" / f".{name}"
        new.write_text(json.dumps(target))
        new.rename(self._folder / "targets" / f"{name}.json")

    def wait_until_scraped(self, port: int) -> None:
        """Waits until a process has been scraped; Prometheus finds new ones every five seconds."""
        expression = f'up{{instance="127.0.0.1:{port}"}} == 1'
        until(lambda: self.query(expression), what=f"port {port} is scraped", timeout=30)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now."""
        url = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_trial(
    script: str, port: int, linger: float = 0.0, **variables: str
) -> subprocess.Popen[bytes]:
    """Starts a program that reports by the trial library, with its metrics on a port.

    Its endpoint is up at once; the script itself begins with the first line of its input.
    """
    code = (
        "import time\nfrom kubestudy_trial import parameters, report\nparameters()\ninput()\n"
        f"{script}\ntime.sleep({linger})\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={
            **variables,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT / "trial_image"),
            "KUBESTUDY_METRICS_PORT": str(port),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )


def begin(process: subprocess.Popen[bytes]) -> None:
    """Lets the script of a trial begin."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
