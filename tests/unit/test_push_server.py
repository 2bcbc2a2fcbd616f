"""The endpoint towards anybody who can reach it: limits of size, time and number."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from kubestudy.runtime import bounded_server, push_server
from kubestudy.runtime.client import KubeClient
from kubestudy.runtime.push_inbox import PushInbox, Rate, Rates, Sender
from kubestudy.runtime.push_server import PushServer, PushServerSettings
from tests.testcluster.certs import Authority

PATH = "/v1/runs/team/demo-0-0-0-0/8f3a2c1e-0000-4000-8000-000000000000"
BODY = b'{"trainerStatus": {}}'


class Known(PushInbox):
    """Takes whatever is of one token, and remembers it."""

    def __init__(self) -> None:
        self.taken: list[tuple[tuple[str, str], str, bytes]] = []

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def take(self, key: tuple[str, str], pod: str, sender: Sender, body: bytes) -> HTTPStatus:
        if sender.token != "right":
            return HTTPStatus.UNAUTHORIZED
        self.taken.append((key, pod, body))
        return HTTPStatus.OK


@contextmanager
def serving(*files: Path) -> Iterator[tuple[PushServer, Known]]:
    inbox = Known()
    server = PushServer(PushServerSettings(0, *files), inbox)
    server.start()
    yield server, inbox
    server.stop()
    server.server_close()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[PushServer, Known]]:
    with serving() as served:
        yield served


@pytest.fixture
def server(served: tuple[PushServer, Known]) -> PushServer:
    return served[0]


@pytest.fixture
def inbox(served: tuple[PushServer, Known]) -> Known:
    """What the server puts into, empty."""
    served[1].taken.clear()
    return served[1]


def connect(server: PushServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_port), timeout=30)


def request(
    method: str = "POST", path: str = PATH, length: str | None = None, body: bytes = BODY
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: push", "Authorization: Bearer right"]
    lines += [f"Content-Length: {len(body) if length is None else length}"] if length != "" else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    text = b""
    while chunk := connection.recv(4096):
        text += chunk
    return text


def status(server: PushServer, sent: bytes) -> int:
    with connect(server) as connection:
        connection.sendall(sent)
        return int(answer(connection).split()[1])


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (request(), 200),
        (request("GET"), 501),
        (request("PUT"), 501),
        (request(path="/"), 404),
        (request(path=PATH.replace("team", "..")), 404),
        (request(path=PATH.replace("team", "Team")), 404),
        (request(path=PATH + "?x=1"), 404),
        (request(length=""), 411),
        (request(length="-1"), 411),
        (request(length="1" * 5000), 411),
        (request(length="1e3"), 411),
        (request(body=b" " * 65_536), 200),
        (request(body=b" " * 65_537), 413),
        (request(body=b" " * 500_000), 413),
        (request().replace(b"Bearer right", b"Basic right"), 401),
        (request().replace(b"Bearer right", b"Bearer"), 401),
        (request().replace(b"Authorization", b"X"), 401),
        (request().replace(b"Host: push", b"Host: " + b"x" * 70_000), 431),
        (request(path="/" + "x" * 70_000), 431),
    ],
)
def test_each_request_has_its_answer(
    server: PushServer, inbox: Known, sent: bytes, expected: int
) -> None:
    assert status(server, sent) == expected
    assert len(inbox.taken) == (expected == 200)


def test_nothing_of_a_request_comes_back(server: PushServer) -> None:
    for sent in (request("<script>"), request(path="/<script>"), b"<script>\r\n\r\n"):
        with connect(server) as connection:
            connection.sendall(sent)
            assert b"script" not in answer(connection)


@pytest.mark.parametrize(
    "begun", [b"", b"POST / HT", request()[:-5], request(length="1000")], ids=range(4)
)
def test_a_request_that_does_not_go_on_is_given_up(
    server: PushServer, inbox: Known, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(bounded_server, "SECONDS", 0.3)
    with connect(server) as connection:
        connection.sendall(begun)
        assert answer(connection) == b"", "closed, without a word"
    assert not inbox.taken


def test_a_request_that_drips_is_given_up_as_well(
    server: PushServer, inbox: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_server, "SECONDS", 0.5)
    with connect(server) as connection:
        connection.settimeout(0.1)
        for byte in request(length="1000000", body=b"x" * 1000):
            try:
                connection.sendall(bytes([byte]))
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        else:
            pytest.fail("a byte every 0.1 s kept it waiting to the end")
    assert not inbox.taken


def test_so_many_are_answered_at_once_and_others_soon_after(
    server: PushServer, inbox: Known
) -> None:
    share = push_server.AT_ONCE * 3 // 4  # the rest is for other sources
    idle = [connect(server) for _ in range(share)]
    for connection in idle:
        connection.sendall(b"P")
    with connect(server) as one_more:
        assert answer(one_more) == b"", "turned away at once"
    for connection in idle:
        connection.sendall(request()[1:])
        assert answer(connection).startswith(b"HTTP/1.0 200")
        connection.close()
    assert len(inbox.taken) == share


def test_over_tls_it_shows_its_certificate_and_takes_a_new_one(tmp_path: Path) -> None:
    old, new = Authority(tmp_path / "old"), Authority(tmp_path / "new")
    for authority in (old, new):
        authority.create()
    pair = old.issue("push", "push", hosts=["127.0.0.1"])
    other = new.issue("push", "push", hosts=["127.0.0.1"])

    def over_tls(server: PushServer, trusted: Authority) -> bytes:
        context = ssl.create_default_context(cafile=str(trusted.pair.certificate))
        with context.wrap_socket(connect(server), server_hostname="127.0.0.1") as connection:
            connection.sendall(request())
            return answer(connection)

    with serving(pair.certificate, pair.key) as (server, inbox):
        assert over_tls(server, old).startswith(b"HTTP/1.0 200")
        with pytest.raises(ssl.SSLError):
            over_tls(server, new)
        with connect(server) as plain:
            plain.sendall(request())
            assert b"HTTP" not in answer(plain)
        pair.certificate.write_bytes(other.certificate.read_bytes())
        pair.key.write_bytes(other.key.read_bytes())
        assert over_tls(server, new).startswith(b"HTTP/1.0 200")
        assert len(inbox.taken) == 2


def test_a_rate_lets_a_few_through_at_once_and_then_so_many_a_second() -> None:
    rate = Rate(per_second=1e-6, at_once=3)
    assert [rate.allows() for _ in range(5)] == [True, True, True, False, False]
    fast = Rate(per_second=1e9, at_once=1)
    assert all(fast.allows() for _ in range(100))


def test_wrong_tokens_are_looked_up_at_a_bounded_rate() -> None:
    asked: list[str] = []

    class Nothing(KubeClient):
        def __init__(self) -> None:
            pass

        def get(self, resource: object, namespace: str, name: str) -> dict[str, object]:
            asked.append(name)
            return {"metadata": {}, "spec": {"template": {}}}

    inbox = PushInbox(Nothing())
    answers = [
        inbox.take(("team", f"demo-{i}"), "pod", Sender("guess", "10.0.0.1"), BODY)
        for i in range(500)
    ]
    assert set(answers) == {HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE}
    assert 12 <= len(asked) < 100
    # Whatever one source has asked for, a first post from elsewhere is looked up.
    for i in range(50):
        sender = Sender("guess", f"10.0.1.{i}")
        assert inbox.take(("team", "demo"), "pod", sender, BODY) == HTTPStatus.UNAUTHORIZED


def test_sources_that_were_not_seen_for_long_are_forgotten() -> None:
    rates = Rates(per_second=1e-6, at_once=1)
    for i in range(3 * Rates.MOST):
        assert rates.allows(str(i))
    assert len(rates._of) == Rates.MOST
    assert not rates.allows(str(3 * Rates.MOST - 1))


def test_a_head_without_end_takes_no_memory(server: PushServer, inbox: Known) -> None:
    headers = [b"X%d: %s" % (i, b"x" * 20_000) for i in range(5)]
    endless = b"\r\n".join([b"POST / HTTP/1.1", *headers, b"", b""])
    assert status(server, endless) == 431
    assert not inbox.taken
