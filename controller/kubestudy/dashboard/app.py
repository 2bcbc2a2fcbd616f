"""The dashboard as a web application: it shows what there is now, and lets nothing be changed."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from kubestudy.dashboard.optuna_studies import Reading, storage_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

FRESH_FOR = 5.0
"""Seconds for which what was read is shown before it is read anew."""


class Unreadable(Exception):
    """What is to be shown cannot be read; the message is for a person."""


class Dashboard:
    """Shows Studies.

    Args:
        read: Reads all of them; raises :class:`Unreadable` where it cannot.
        fresh_for: Seconds until they are read again.
        clock: Seconds that only grow.
        hosts: Names that it may be asked for by, besides ``localhost`` and addresses.
    """

    def __init__(
        self,
        read: Callable[[], Reading],
        fresh_for: float = FRESH_FOR,
        clock: Callable[[], float] = time.monotonic,
        hosts: Collection[str] = (),
    ):
        self._hosts = {"localhost", *(host.lower() for host in hosts)}
        self._read, self._fresh_for, self._clock = read, fresh_for, clock
        self._known: list[str] = []
        self._lock = threading.Lock()
        self._app: WSGIApplication | None = None
        self._stale_at = 0.0

    def __call__(self, environ: WSGIEnvironment, respond: StartResponse) -> Iterable[bytes]:
        """Answers one request."""
        if environ["PATH_INFO"] == "/healthz":
            return _plain(respond, "200 OK", "ok")
        if "HTTP_HOST" in environ and not self._is_ours(environ["HTTP_HOST"]):
            # A page elsewhere may have its own name lead here, to read what is shown to us.
            message = "This dashboard does not go by that name; see --allowed-host."
            return _plain(respond, "421 Misdirected Request", message)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            message = "This dashboard only shows. Studies are changed with kubectl or kubestudy."
            return _plain(respond, "405 Method Not Allowed", message)
        try:
            app = self._current()
        except Unreadable as error:
            return _plain(respond, "503 Service Unavailable", str(error))
        return app(environ, respond)

    def _is_ours(self, host: str) -> bool:
        """Whether a request's Host is an address, which no page elsewhere can have, or allowed."""
        host = host.lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        with contextlib.suppress(ValueError):
            return bool(ipaddress.ip_address(name.strip("[]")))
        return name.rstrip(".") in self._hosts

    def _current(self) -> WSGIApplication:
        from optuna_dashboard import wsgi

        with self._lock:
            if self._app is None or self._clock() >= self._stale_at:
                self._app = wsgi(storage_of(self._read(), self._known))
                self._stale_at = self._clock() + self._fresh_for
            return self._app


def _plain(respond: StartResponse, status: str, text: str) -> list[bytes]:
    body = f"{text}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    respond(status, [*headers, ("Allow", "GET, HEAD")])
    return [body]
