"""Stands between a controller and a real API server, and does to requests what networks do.

The controller speaks plain HTTP to the proxy; the proxy speaks TLS to the API server with the
rights of a kubeconfig. What happens to a request is decided by ``fault``, which a test may change
at any time; streams that are open feel a partition and silence as well.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import yaml
from kubernetes import config
from kubernetes.client.configuration import Configuration

from tests.support.audit import retries_in_a_second

_NO_BODY = (204, 304)


@dataclass(frozen=True)
class Call:
    """One request that passes.

    Attributes:
        number: Its place among the requests that change something, from 1; 0 for the others.
        method: ``GET``, ``POST``, ...
        path: With the query.
    """

    number: int
    method: str
    path: str

    @property
    def writes(self) -> bool:
        """Whether it asks for a change."""
        return self.method != "GET"

    @property
    def watches(self) -> bool:
        """Whether it opens a watch."""
        return "watch=true" in self.path


@dataclass(frozen=True)
class Fault:
    """What is done to a request.

    Attributes:
        delay: Seconds before it is forwarded.
        status: Answered with this status instead of being forwarded; 0 to forward it.
        reason: Kubernetes' word for that status.
        answer: Answered with this text instead of being forwarded; None to forward it.
        cut: The connection ends without an answer, and the request is not forwarded.
        lose: It is forwarded, and the connection ends before the answer.
        then: Called where the connection would end, before it does.
    """

    delay: float = 0.0
    status: int = 0
    reason: str = ""
    answer: bytes | None = None
    cut: bool = False
    lose: bool = False
    then: Callable[[], object] | None = None


NONE = Fault()

ERRORS = tuple(
    Fault(status=status, reason=reason)
    for status, reason in (
        (429, "TooManyRequests"),
        (500, "InternalError"),
        (503, "ServiceUnavailable"),
        (504, "Timeout"),
    )
)


def some(
    share: float, faults: Sequence[Fault], of: Callable[[Call], bool] = lambda _: True
) -> Callable[[Call], Fault]:
    """A share of the requests meets one of these faults."""
    dice = random.Random(20)

    def choose(call: Call) -> Fault:
        return dice.choice(faults) if of(call) and dice.random() < share else NONE

    return choose


class FaultProxy:
    """A proxy in front of an API server, from entry to exit.

    Args:
        kubeconfig: The way to the API server.
        folder: Where the proxy's own kubeconfig is written.

    Attributes:
        fault: Says what happens to each request.
        silent: While it is set, nothing of a stream is passed on.
        counts: The requests so far, by method and path without the query.
        failed: When they failed on the way here, by the same and the monotonic clock.
    """

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        access = Configuration()
        config.load_kube_config(config_file=str(kubeconfig), client_configuration=access)
        context = ssl.create_default_context(cafile=access.ssl_ca_cert)
        context.load_cert_chain(access.cert_file, access.key_file)
        address = urlsplit(access.host)
        self.fault: Callable[[Call], Fault] = lambda _: NONE
        self.silent = threading.Event()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.failed: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self.writes = 0
        self._lock = threading.Lock()
        self._parted = threading.Event()
        self._healed = threading.Event()
        self._healed.set()
        self._streams: set[socket.socket] = set()
        proxy = self

        class Handler(_Handler):
            faults = proxy

            def upstream(self) -> http.client.HTTPSConnection:
                return http.client.HTTPSConnection(
                    address.hostname or "", address.port, context=context, timeout=330
                )

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.kubeconfig = folder / f"kubeconfig-{self._server.server_port}"
        server = f"http://127.0.0.1:{self._server.server_port}"
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "proxy", "cluster": {"server": server}}],
                    "users": [{"name": "nobody", "user": {}}],
                    "contexts": [
                        {"name": "proxy", "context": {"cluster": "proxy", "user": "nobody"}}
                    ],
                    "current-context": "proxy",
                }
            )
        )

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut_streams()
        self._server.shutdown()
        self._server.server_close()

    @property
    def spinning(self) -> dict[tuple[str, str], list[float]]:
        """What was tried again more than once within a second after it had failed here."""
        return {what: at for what, at in self.failed.items() if retries_in_a_second(at) > 1}

    def part(self, silently: bool = False) -> None:
        """From now on, nothing gets through.

        Args:
            silently: Whether nobody is told so: requests hang, and streams fall silent.
        """
        self._parted.set()
        if silently:
            self._healed.clear()
            self.silent.set()
        else:
            self.cut_streams()

    def heal(self) -> None:
        """Everything gets through again; what hung until now has failed."""
        self.cut_streams()
        self._parted.clear()
        self.silent.clear()
        self._healed.set()

    def cut_streams(self) -> None:
        """Ends all connections."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            with contextlib.suppress(OSError):  # it may have ended by itself
                stream.shutdown(socket.SHUT_RDWR)

    def took(self, method: str, path: str) -> Call:
        """Takes note of a request."""
        with self._lock:
            self.counts[method, path.partition("?")[0]] += 1
            self.writes += method != "GET"
            return Call(self.writes if method != "GET" else 0, method, path)

    def failing(self, call: Call) -> None:
        """Takes note that a request fails."""
        with self._lock:
            self.failed[call.method, call.path.partition("?")[0]].append(time.monotonic())


class _Handler(BaseHTTPRequestHandler):
    faults: FaultProxy
    protocol_version = "HTTP/1.1"

    def upstream(self) -> http.client.HTTPSConnection:
        raise NotImplementedError

    def setup(self) -> None:
        super().setup()
        with self.faults._lock:
            self.faults._streams.add(self.connection)

    def finish(self) -> None:
        with self.faults._lock:
            self.faults._streams.discard(self.connection)
        with contextlib.suppress(OSError):  # the other side may be gone
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # cut, as tests do
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        call = self.faults.took(self.command, self.path)
        fault = self.faults.fault(call)
        time.sleep(fault.delay)
        if self.faults._parted.is_set() or fault.cut:
            self.faults.failing(call)
            self.faults._healed.wait()
            self._end(fault)
            return
        if fault.status:
            self.faults.failing(call)
            self._refuse(fault)
            return
        if fault.answer is not None:
            self._answer(200, "text/plain", fault.answer)
            return
        upstream = self.upstream()
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            upstream.request(self.command, self.path, body, headers)
            answer = upstream.getresponse()
            if fault.lose:
                answer.read()
                self._end(fault)
                return
            self._pass_on(answer)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
        finally:
            upstream.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass

    def _pass_on(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        if answer.status in _NO_BODY:
            self.end_headers()
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while chunk := answer.read1(1 << 16):
            while self.faults.silent.is_set():
                time.sleep(0.05)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, fault: Fault) -> None:
        status = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": fault.reason,
            "message": f"{fault.reason} (injected)",
            "code": fault.status,
        }
        self._answer(fault.status, "application/json", json.dumps(status).encode())

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _end(self, fault: Fault) -> None:
        if fault.then is not None:
            fault.then()
        self.close_connection = True
