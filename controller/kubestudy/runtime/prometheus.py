"""The administrator's Prometheus, asked over its HTTP API.

Its address is a setting of the controller and never a part of a Study, so that no user can make
the controller speak to anything else; what is asked is bound to the trial's pod before it comes
here (``core/promql.py``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
LARGEST_ANSWER = 16 << 20


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

    def query(self, expression: str, at: float) -> list[dict[str, Any]]:
        """Evaluates an expression that gives ranges of samples.

        Args:
            expression: Already bound to a pod.
            at: When, in seconds since the epoch.

        Raises:
            PrometheusError: There was no answer, or a bad one.
        """
        status, text = self._ask(urlencode({"query": expression, "time": f"{at:.3f}"}))
        if 300 <= status < 400:
            raise PrometheusError("answers with a redirect, which is not followed", passing=False)
        try:
            answer = json.loads(text)
            if answer["status"] == "success" and answer["data"]["resultType"] == "matrix":
                result: list[dict[str, Any]] = answer["data"]["result"]
                return result
            said = str(answer.get("error") or "no range of samples")
        except (ValueError, KeyError, TypeError, RecursionError):
            said = text[:200].decode(errors="replace").strip() or "nothing"
        # What it cannot make sense of now, it never will; a refused token may be replaced.
        passing = status not in (200, 400, 404, 422)
        raise PrometheusError(f"answers {status}: {said[:500]}", passing)

    def _ask(self, body: str) -> tuple[int, bytes]:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "kubestudy"}
        try:
            if self._settings.token_file is not None:
                token = self._settings.token_file.read_text().strip()
                headers["Authorization"] = f"Bearer {token}"
            response = self._pool.request(
                "POST",
                self._url,
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
            )
            try:
                text = response.read(LARGEST_ANSWER + 1)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise PrometheusError(f"cannot be reached: {error}", passing=True) from error
        if len(text) > LARGEST_ANSWER:
            raise PrometheusError(f"answers with more than {LARGEST_ANSWER} bytes", passing=False)
        return response.status, text
