"""The administrator's Prometheus, asked over its HTTP API.

Its address is a setting of the controller and never a part of a Study, so that no user can make
the controller speak to anything else; what is asked is bound to the trial's pod before it comes
here (``core/promql.py``).
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from kubestudy.runtime.json_cutter import JsonCutter, Piece

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
LONGEST_ANSWER = 30.0
"""Seconds in which the headers of an answer are in, and then its body."""
LARGEST_ANSWER = 16 << 20
LARGEST_SERIES = 1 << 20
DEEPEST_SERIES = 8

Series = dict[str, Any]


class PrometheusError(Exception):
    """Prometheus did not answer, or not with what was asked for.

    Attributes:
        passing: Whether another try may go better.
    """

    def __init__(self, message: str, passing: bool):
        super().__init__(message)
        self.passing = passing


@dataclass(frozen=True)
class PrometheusSettings:
    """What the administrator says of Prometheus.

    Attributes:
        url: Where it is, such as ``https://prometheus.monitoring:9090``; a path is kept.
        ca_file: The certificates that are trusted; those of the system where None.
        token_file: A file with a bearer token, read again for each query; no token where None.
        scrape_interval: Seconds between two scrapes of a pod.
    """

    url: str
    ca_file: Path | None = None
    token_file: Path | None = None
    scrape_interval: int = 30

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{self.url!r} is no http or https URL")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("the URL of Prometheus has no user, query or fragment")
        if self.scrape_interval < 1:
            raise ValueError("the scrape interval is at least one second")


class Prometheus:
    """A connection to one server, safe to share between threads."""

    def __init__(self, settings: PrometheusSettings):
        self._settings = settings
        self._url = f"{settings.url.rstrip('/')}/api/v1/query"
        ca_file = str(settings.ca_file) if settings.ca_file else None
        self._pool = urllib3.PoolManager(maxsize=8, cert_reqs="CERT_REQUIRED", ca_certs=ca_file)
        self._pool.pool_classes_by_scheme = {"http": _Pool, "https": _PoolTLS}

    def query(
        self, expression: str, at: float, takes: Callable[[Series], bool] = lambda _: True
    ) -> list[Series]:
        """Evaluates an expression that gives ranges of samples.

        Args:
            expression: Already bound to a pod.
            at: When, in seconds since the epoch.
            takes: Whether a series is of use; what is not is dropped while the answer is read.

        Raises:
            PrometheusError: There was no answer, or a bad one.
        """
        body = urlencode({"query": expression, "time": f"{at:.3f}"})
        cutter, found, begin = JsonCutter("result"), list[Series](), b""
        try:
            with contextlib.closing(self._ask(body)) as response:
                if 300 <= response.status < 400:
                    raise PrometheusError(
                        "answers with a redirect, which is not followed", passing=False
                    )
                for chunk in _chunks(response):
                    begin = begin or chunk
                    for piece in cutter.feed(chunk):
                        series = series_of(piece)
                        if series is not None and takes(series):
                            found.append(series)
            answer = json.loads(cutter.frame)
            data = answer["data"] if answer["status"] == "success" else {}
            if data.get("resultType") == "matrix" and data["result"] == []:
                return found
            said = str(answer.get("error") or "no range of samples")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise PrometheusError(f"cannot be reached: {error}", passing=True) from error
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            said = begin[:200].decode(errors="replace").strip() or "nothing"
        # What it cannot make sense of now, it never will; a refused token may be replaced.
        passing = response.status not in (200, 400, 404, 422)
        raise PrometheusError(f"answers {response.status}: {said[:500]}", passing)

    def _ask(self, body: str) -> urllib3.BaseHTTPResponse:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "kubestudy"}
        try:
            if self._settings.token_file is not None:
                token = self._settings.token_file.read_text().strip()
                headers["Authorization"] = f"Bearer {token}"
            return self._pool.request(
                "POST",
                self._url,
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
            )
        except ValueError as error:
            raise PrometheusError(f"cannot be reached: {error}", passing=True) from error


def _chunks(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """What arrives of an answer, up to so many bytes and within so long.

    Raises:
        PrometheusError: It is too long, in either way.
    """
    left, until = LARGEST_ANSWER, time.monotonic() + LONGEST_ANSWER
    while chunk := response.read1(1 << 16):
        left -= len(chunk)
        if left < 0:
            raise PrometheusError(f"answers with more than {LARGEST_ANSWER} bytes", passing=False)
        if time.monotonic() > until:
            raise PrometheusError(f"takes more than {LONGEST_ANSWER:g} s to answer", passing=True)
        yield chunk


def series_of(piece: Piece) -> Series | None:
    """A series, where it is what Prometheus says one is."""
    if piece.size > LARGEST_SERIES or piece.depth > DEEPEST_SERIES:
        return None
    try:
        found = json.loads(piece.raw)
    except (ValueError, RecursionError):
        return None
    labels = found.get("metric") if isinstance(found, dict) else None
    if not isinstance(labels, dict) or not all(isinstance(v, str) for v in labels.values()):
        return None
    return found if isinstance(found.get("values"), list) else None


class _Prompt(HTTPConnection):
    """A connection whose answer begins within a time, however its headers drip."""

    def getresponse(self) -> Any:
        answered = threading.Timer(LONGEST_ANSWER, self._give_up)
        answered.daemon = True
        answered.start()
        try:
            return super().getresponse()
        finally:
            answered.cancel()

    def _give_up(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _PromptTLS(_Prompt, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Prompt


class _PoolTLS(HTTPSConnectionPool):
    ConnectionCls = _PromptTLS
