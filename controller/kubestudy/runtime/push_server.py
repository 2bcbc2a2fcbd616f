"""The HTTP endpoint that trials push to: nothing of what a request says comes back."""

from __future__ import annotations

import logging
import re
import socket
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from kubestudy.runtime import metrics
from kubestudy.runtime.bounded_server import TEXT, BoundedHandler, BoundedServer
from kubestudy.runtime.push_inbox import PushInbox, Sender
from kubestudy.workloads.pushing import PATH

log = logging.getLogger(__name__)

AT_ONCE = 64
LARGEST = 64 * 1024
DRAINED = 1 << 20
"""How much of a body that is too large is read, so that the answer is heard."""

_NAME = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
_PATH = re.compile(
    PATH.format(
        namespace=rf"(?P<namespace>{_NAME})",
        job=rf"(?P<job>{_NAME})",
        pod=r"(?P<pod>[0-9a-f-]{36})",
    )
)


@dataclass(frozen=True)
class PushServerSettings:
    """What the administrator says of the endpoint.

    Attributes:
        port: Where it listens; 0 for any free port.
        certificate: Its certificate's file, read again for each connection; plain HTTP where None.
        key: The file of the certificate's key; None where it is in the same.
    """

    port: int
    certificate: Path | None = None
    key: Path | None = None


class PushServer(BoundedServer):
    """Answers posts in the background, from ``start`` to ``stop``.

    Args:
        settings: The administrator's.
        inbox: Takes what is posted.
    """

    def __init__(self, settings: PushServerSettings, inbox: PushInbox):
        self.inbox = inbox
        self._settings = settings
        super().__init__(settings.port, _Handler, AT_ONCE)

    def start(self, name: str = "push") -> None:
        """Begins to answer."""
        self.inbox.start()
        super().start(name)

    def stop(self) -> None:
        """Takes no more, and stores what waits."""
        self.shutdown()
        self.inbox.stop()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accepts a connection; what it says of TLS is heard by the thread that answers it."""
        connection, address = super().get_request()
        if self._settings.certificate is not None:
            try:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(self._settings.certificate, self._settings.key)
                connection = context.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            except OSError as error:
                log.error("the endpoint's certificate cannot be used: %s", error)
                connection.close()
                raise
        return connection, address


class _Handler(BoundedHandler):
    server: PushServer

    def do_POST(self) -> None:
        found = _PATH.fullmatch(self.path)
        if found is None:
            self._answer(HTTPStatus.NOT_FOUND)
            return
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,15}", length):
            self._answer(HTTPStatus.LENGTH_REQUIRED)
            return
        if int(length) > LARGEST:
            self.rfile.read(min(int(length), DRAINED))
            self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        body = self.rfile.read(int(length))
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            self._answer(HTTPStatus.UNAUTHORIZED)
            return
        key = (found["namespace"], found["job"])
        sender = Sender(token.strip(), self.client_address[0])
        self._answer(self.server.inbox.take(key, found["pod"], sender, body))

    def send_error(self, code: int, *_: object) -> None:
        """Says no more than the status, whatever the request was."""
        self._answer(HTTPStatus(code))

    def _answer(self, status: HTTPStatus) -> None:
        metrics.pushed(status)
        self.answer(status, TEXT, f"{status.phrase}\n".encode())
