"""The HTTP server of the controller's endpoints, with bounds that hold before anybody is known.

Whoever reaches an endpoint may be anybody. So many connections are answered at once, and no source
has more than a share of them; a request has so much time and so many bytes before its headers are
read. It is the standard library's server: what it lacks are these bounds
(docs/decisions/0014-endpoints-are-bounded-by-ourselves.md).
"""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import ssl
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kubestudy.runtime.slots import Slots

log = logging.getLogger(__name__)

SECONDS = 10.0
"""How long the whole of a request may take to arrive, its TLS handshake included."""
LONGEST_HEAD = 32 << 10
"""Bytes that are read of a request before its headers are complete."""
DRAINED = 1 << 17
"""Bytes that are read, and thrown away, of a request that goes on after it was answered."""


TEXT = "text/plain"


class TooLong(OSError):
    """A request goes on and on before it says what it wants."""


class BoundedServer(ThreadingHTTPServer):
    """Answers each connection in a thread of its own, if there is one left for its source.

    Args:
        port: Where to listen; 0 for any free port.
        handler: Answers one request.
        at_once: How many connections are answered at once; a source has at most three quarters of
            what the others leave.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, handler: type[BoundedHandler], at_once: int):
        self._slots = Slots(at_once)
        super().__init__(("", port), handler)

    def start(self, name: str) -> None:
        """Begins to answer, in the background."""
        threading.Thread(target=self.serve_forever, name=name, daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers in a thread of its own, unless too many are at work."""
        if self._slots.take(client_address[0]):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers one request."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.give_back(client_address[0])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no news."""
        log.debug("a request broke off", exc_info=True)


class BoundedHandler(BaseHTTPRequestHandler):
    """Reads one request within its bounds."""

    server_version, sys_version = "kubestudy", ""

    def setup(self) -> None:
        """Sets the bounds, and shakes hands if the connection is one of TLS."""
        super().setup()
        self.connection.settimeout(SECONDS)
        deadline = time.monotonic() + SECONDS
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()
        self._source = _Bounded(self.connection, deadline, LONGEST_HEAD)
        self.rfile = io.BufferedReader(self._source)

    def handle_one_request(self) -> None:
        """Answers one request; one whose head is too long is told so."""
        self.command, self.requestline, self.request_version = "", "", "HTTP/1.0"
        try:
            super().handle_one_request()
        except TooLong:
            self.close_connection = True
            self.send_error(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            self._source.left = DRAINED
            with contextlib.suppress(OSError):  # Read, so that the answer is heard.
                while self.rfile.read(8192):
                    pass

    def parse_request(self) -> bool:
        """Reads the head; what follows is bounded by whoever reads it."""
        parsed = super().parse_request()
        self._source.left = None
        self.close_connection = True
        return parsed

    def answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        """Answers the request, which is the only one of its connection.

        Args:
            status: How it went.
            kind: The media type of the body.
            body: What to say.
        """
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are counted, not logged."""


class _Bounded(io.RawIOBase):
    """Reads a connection until a moment, however slowly it speaks, and so many bytes.

    Attributes:
        left: How many bytes more may be read; None for any number.
    """

    def __init__(self, connection: socket.socket, deadline: float, left: int | None):
        self._connection, self._deadline, self.left = connection, deadline, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.left is not None and self.left <= 0:
            raise TooLong("the head of a request is too long")
        self._connection.settimeout(max(0.001, self._deadline - time.monotonic()))
        size = self._connection.recv_into(buffer)
        if self.left is not None:
            self.left -= size
        return size
