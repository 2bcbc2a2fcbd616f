"""The controller's own HTTP endpoint: probes and metrics."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kubestudy.runtime.bounded_server import TEXT, BoundedHandler, BoundedServer

AT_ONCE = 32
"""Connections: the kubelet's probes and a few scrapers take one for a moment each."""


def serve(port: int, alive: Callable[[], bool], ready: Callable[[], bool]) -> BoundedServer:
    """Answers /healthz, /readyz and /metrics in the background.

    Args:
        port: Where to listen; 0 for any free port.
        alive: Whether the process should go on rather than be started anew.
        ready: Whether it has seen everything it needs.
    """

    class Handler(BoundedHandler):
        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/healthz":
                    if alive():
                        self.answer(HTTPStatus.OK, TEXT, b"ok")
                    else:
                        self.answer(HTTPStatus.INTERNAL_SERVER_ERROR, TEXT, b"not alive")
                case "/readyz":
                    if ready():
                        self.answer(HTTPStatus.OK, TEXT, b"ok")
                    else:
                        self.answer(HTTPStatus.SERVICE_UNAVAILABLE, TEXT, b"not ready")
                case "/metrics":
                    self.answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest())
                case _:
                    self.answer(HTTPStatus.NOT_FOUND, TEXT, b"try /healthz, /readyz or /metrics")

    server = BoundedServer(port, Handler, AT_ONCE)
    server.start("http")
    return server
