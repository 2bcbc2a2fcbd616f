"""Serves the dashboard over HTTP."""

from __future__ import annotations

import logging
import socket
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import WSGIApplication

log = logging.getLogger(__name__)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _ServerOfV6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = 30  # of a browser that opens a connection and says nothing

    def log_message(self, format: str, *args: object) -> None:
        """Each page polls, which is worth no line."""
        log.debug(format, *args)


def make(app: WSGIApplication, host: str, port: int) -> WSGIServer:
    """Makes a server that listens.

    Args:
        app: What it serves.
        host: The address to listen at.
        port: The port; 0 for any that is free.

    Raises:
        OSError: It cannot listen there.
    """
    kind = _ServerOfV6 if ":" in host else _Server
    return make_server(host, port, app, server_class=kind, handler_class=_Handler)
