"""Probes and metrics towards anybody who can reach them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from kubestudy.runtime.bounded_server import BoundedServer
from kubestudy.runtime.server import AT_ONCE, serve
from tests.support.waiting import until


@pytest.fixture
def server() -> Iterator[BoundedServer]:
    server = serve(0, alive=lambda: True, ready=lambda: False)
    yield server
    server.shutdown()
    server.server_close()


def ask(server: BoundedServer, path: str, source: str = "127.0.0.1") -> bytes:
    address = ("127.0.0.1", server.server_port)
    with socket.create_connection(address, 10, (source, 0)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_each_path_has_its_answer(server: BoundedServer) -> None:
    assert b" 200 " in ask(server, "/healthz")
    assert b" 503 " in ask(server, "/readyz")
    assert b"# TYPE python_info" in ask(server, "/metrics")
    assert b" 404 " in ask(server, "/")


def test_idle_connections_of_one_source_keep_neither_threads_nor_others_out(
    server: BoundedServer,
) -> None:
    before = threading.active_count()
    with contextlib.ExitStack() as idle:
        for _ in range(200):
            connection = socket.create_connection(("127.0.0.1", server.server_port), 10)
            idle.enter_context(connection)
        until(lambda: ask(server, "/healthz") == b"", what="its share is taken")
        assert threading.active_count() - before <= AT_ONCE
        assert b" 200 " in ask(server, "/healthz", source="127.0.0.2")
