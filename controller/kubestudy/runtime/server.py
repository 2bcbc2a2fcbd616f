"""The controller's own HTTP endpoint: probes and metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kubestudy.runtime.bounded_server import BoundedHandler, BoundedServer

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
                    self._answer(200 if alive() else 500, b"ok" if alive() else b"not alive")
                case "/readyz":
                    self._answer(200 if ready() else 503, b"ok" if ready() else b"not ready")
                case "/metrics":
                    self._answer(200, generate_latest(), CONTENT_TYPE_LATEST)
                case _:
                    self._answer(404, b"try /healthz, /readyz or /metrics")

        def _answer(self, code: int, body: bytes, kind: str = "text/plain") -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    server = BoundedServer(port, Handler, AT_ONCE)
    server.start("http")
    return server
