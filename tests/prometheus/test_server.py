"""What the controller makes of whatever answers in Prometheus' place."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from kubestudy.runtime import prometheus
from kubestudy.runtime.prometheus import Prometheus, PrometheusError, PrometheusSettings

EMPTY = b'{"status": "success", "data": {"resultType": "matrix", "result": []}}'


class Answers(BaseHTTPRequestHandler):
    """Answers every request in one way, and remembers what was asked."""

    status, body = 200, EMPTY
    headers_sent: ClassVar[dict[str, str]] = {}
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.path, self.headers["Authorization"]))
        self.send_response(self.status)
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[int, list]]]:
    servers = []

    def start(
        status: int = 200,
        body: bytes = EMPTY,
        certificate: tuple[Path, Path] | None = None,
        **headers: str,
    ) -> tuple[int, list]:
        fields = {"status": status, "body": body, "headers_sent": headers, "asked": []}
        handler = type("Handler", (Answers,), fields)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port, fields["asked"]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def many(series: bytes) -> bytes:
    """An answer that is larger than any that is read."""
    begin, end = EMPTY.split(b"[")
    return begin + b"[" + series * (prometheus.LARGEST_ANSWER // len(series) + 1) + b"{}" + end


def refused(port: int) -> PrometheusError:
    with pytest.raises(PrometheusError) as error:
        Prometheus(PrometheusSettings(f"http://127.0.0.1:{port}")).query("up[1m]", 0)
    return error.value


def test_a_redirect_is_not_followed(serve) -> None:
    elsewhere, asked = serve()
    port, _ = serve(307, b"", Location=f"http://127.0.0.1:{elsewhere}/api/v1/query")
    error = refused(port)
    assert "redirect" in str(error)
    assert not error.passing
    assert not asked


@pytest.mark.parametrize(
    ("status", "body", "passing", "says"),
    [
        (401, b"who are you?", True, "answers 401: who are you?"),
        (503, b"", True, "answers 503: nothing"),
        (400, b'{"status": "error", "error": "parse error"}', False, "400: parse error"),
        (200, b"<html>", False, "answers 200: <html>"),
        (200, b"[" * 100_000, False, "answers 200"),
        (200, b'{"status": "success", "data": {"resultType": "vector"}}', False, "no range"),
        (200, many(b'{"metric": {"a": "%s"}},' % (b"b" * 1000)), False, "more than 16777216 bytes"),
        (200, b" " * (1 << 20), False, "answers 200"),
        (200, EMPTY.replace(b"[]", b'{"a": 1}'), False, "answers 200"),
        (200, EMPTY.replace(b'"matrix"', b"[" * 2000), False, "answers 200"),
    ],
    ids=["401", "503", "400", "no json", "deep", "vector", "large", "empty", "object", "kind"],
)
def test_a_bad_answer_is_told(serve, status: int, body: bytes, passing: bool, says: str) -> None:
    port, _ = serve(status, body)
    error = refused(port)
    assert says in str(error)
    assert error.passing is passing


def test_of_an_answer_only_series_are_taken_that_are_wanted(serve) -> None:
    good = {"metric": {"metric": "loss"}, "values": [[1, "0.5"]]}
    odd = [
        3,
        "x",
        [],
        {},
        {"metric": 3, "values": []},
        {"metric": {"a": 3}, "values": []},
        {"metric": {}, "values": 7},
        {"metric": {"a": "b" * (1 << 20)}, "values": []},
    ]
    deep = EMPTY.replace(b"[]", b'[{"metric": {}, "values": ' + b"[" * 2000 + b"]" * 2000 + b"}]")
    unwanted = [{"metric": {"metric": f"m{i}"}, "values": [[1, "0.5"]]} for i in range(1000)]
    body = EMPTY.replace(b"[]", json.dumps([*odd, good, *unwanted]).encode())
    port, _ = serve(200, body)
    client = Prometheus(PrometheusSettings(f"http://127.0.0.1:{port}"))
    assert client.query("up[1m]", 0, lambda s: s["metric"].get("metric") == "loss") == [good]
    port, _ = serve(200, deep)
    assert Prometheus(PrometheusSettings(f"http://127.0.0.1:{port}")).query("up[1m]", 0) == []


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n"])
def test_an_answer_that_drips_is_given_up(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "LONGEST_ANSWER", 0.2)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                client.sendall(head)
                while not over.wait(0.01):
                    client.sendall(b" ")

        threading.Thread(target=drip, daemon=True).start()
        try:
            error = refused(server.getsockname()[1])
        finally:
            over.set()
    assert error.passing


def test_nobody_there_and_no_answer_may_pass(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as silent:  # Accepts, and says nothing.
        monkeypatch.setattr(prometheus, "READ_TIMEOUT", 0.3)
        error = refused(silent.server_port)
    assert error.passing
    assert "cannot be reached" in str(error)
    assert refused(silent.server_port).passing


def test_the_token_is_read_again_for_each_query(serve, tmp_path: Path) -> None:
    port, asked = serve()
    token = tmp_path / "token"
    settings = PrometheusSettings(f"http://127.0.0.1:{port}/prometheus/", token_file=token)
    for text in ("one\n", "two\n"):
        token.write_text(text)
        assert Prometheus(settings).query("up[1m]", 0) == []
    path = "/prometheus/api/v1/query"
    assert asked == [(path, "Bearer one"), (path, "Bearer two")]


def test_tls_trusts_what_the_administrator_says(serve, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    port, asked = serve(certificate=certificate)
    url = f"https://localhost:{port}"
    with pytest.raises(PrometheusError, match="CERTIFICATE_VERIFY_FAILED"):
        Prometheus(PrometheusSettings(url)).query("up[1m]", 0)
    assert not asked
    assert Prometheus(PrometheusSettings(url, ca_file=certificate[0])).query("up[1m]", 0) == []


def make_certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "tls.crt", folder / "tls.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-out", str(certificate), "-keyout", str(key)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


@pytest.mark.parametrize(
    "url", ["", "prometheus:9090", "file:///etc/passwd", "http://", "http://u:p@host", "http://h?x"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        PrometheusSettings(url)
