"""How logs are read: by follows that break, hang and end, and by turns once a pod has ended."""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.core.reports import RunReport
from kubestudy.local import reports as local_reports
from kubestudy.local import supervisor
from kubestudy.runtime import collector
from kubestudy.runtime.cache import Cache
from kubestudy.runtime.client import SILENT, ApiError, Batch, Object, batches
from kubestudy.runtime.collector import Collector
from kubestudy.runtime.kept_logs import LogKeeper
from kubestudy.runtime.pod_log import PodLog
from kubestudy.sources.log_lines import LineReader
from kubestudy.sources.terminal import shown
from tests.support.waiting import until
from tests.unit.build import study

Reading = list[Batch | ApiError | threading.Event]
BROKEN = ApiError(0, "StreamBroken", "")
HANGS = ApiError(0, SILENT, "")


class Logs:
    """Plays the API server: each reading of a pod's log is as it was laid down before."""

    def __init__(self, **readings: list[Reading]) -> None:
        self._readings = readings
        self.asked: list[dict[str, Any]] = []

    def log_batches(self, _: str, pod: str, **query: Any) -> Iterator[Batch]:
        self.asked.append({"pod": pod, **query})
        for step in self._readings[pod].pop(0) if self._readings[pod] else []:
            if isinstance(step, ApiError):
                raise step
            if isinstance(step, threading.Event):
                step.wait(10)
            else:
                yield step

    def patience(self) -> list[float]:
        return [one["read_timeout"] for one in self.asked if one["follow"]]


def said(second: int, value: float) -> bytes:
    return f"2026-01-01T00:00:{second:02}.5Z accuracy={value}".encode()


def lines(*values: float, begin: int = 0) -> Batch:
    return [said(begin + i, value) for i, value in enumerate(values)], True


class Pods:
    """The pods that a collector sees."""

    def __init__(self, logs: Logs) -> None:
        self.cache: Cache[Object] = Cache(lambda o: o, lambda o: ("team", "demo"))
        self.version = 0
        client: Any = logs
        self.collector = Collector(
            client,
            lambda _: study(),
            self.cache,
            lambda _: True,
            lambda *_: None,
            LogKeeper(client, Cache(lambda o: o, lambda _: None), self.cache, lambda _: True),
        )

    def tell(self, name: str, state: str) -> None:
        self.version += 1
        began = {"startedAt": "2026-01-01T00:00:00Z"}
        pod = {
            "metadata": {
                "namespace": "team",
                "name": name,
                "uid": name,
                "resourceVersion": str(self.version),
            },
            "spec": {"containers": [{"name": "main"}]},
            "status": {
                "phase": "Running" if state == "running" else "Succeeded",
                "containerStatuses": [{"name": "main", "state": {state: began}}],
            },
        }
        self.cache.put(pod)
        self.collector.pod_changed(pod)

    def values(self, name: str) -> tuple[int, float]:
        """How many values a pod was seen to report, and the last one."""
        report = self.collector.report(name)
        track = report.metrics.get("accuracy") if report else None
        return (track.count, track.latest) if track else (0, 0.0)

    def complete(self, name: str) -> bool:
        report = self.collector.report(name)
        return report is not None and report.complete


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Starts collectors that begin to read at once."""
    monkeypatch.setattr(collector, "FOLLOW_AFTER", 0.0)
    monkeypatch.setattr(collector, "FOLLOW_AGAIN", 0.0)
    started: list[Collector] = []

    def start(**readings: list[Reading]) -> tuple[Logs, Pods]:
        logs = Logs(**readings)
        pods = Pods(logs)
        started.append(pods.collector)
        pods.collector.start()
        return logs, pods

    yield start
    for one in started:
        one.stop()


def test_a_follow_that_is_silent_is_opened_anew_soon_and_then_ever_later(begin: Any) -> None:
    hung: list[Reading] = [[lines(0.5), HANGS], *([HANGS] for _ in range(6))]
    logs, pods = begin(a=[*hung, [BROKEN], [threading.Event()]])
    pods.tell("a", "running")
    until(logs.patience, lambda told: len(told) >= 9, what="it is followed again", timeout=10)
    assert logs.patience()[:9] == [2, 4, 8, 16, 32, 60, 60, 60, 2]
    assert logs.asked[1]["sinceTime"] == "2026-01-01T00:00:00Z"
    assert pods.values("a") == (1, 0.5)


def test_a_line_that_was_cut_is_read_again(begin: Any) -> None:
    _, pods = begin(
        a=[
            [lines(0.5), ([said(1, 0.7)[:-1]], False)],
            [lines(0.5, 0.7), threading.Event()],
        ]
    )
    pods.tell("a", "running")
    until(lambda: pods.values("a"), lambda seen: seen == (2, 0.7), what="both are read", timeout=10)


def test_the_last_line_of_a_pod_that_has_ended_needs_no_end(begin: Any) -> None:
    _, pods = begin(a=[[lines(0.5), ([said(1, 0.7)], False)]])
    pods.tell("a", "terminated")
    until(lambda: pods.complete("a"), what="it is read", timeout=10)
    assert pods.values("a") == (2, 0.7)


def test_a_follow_that_goes_on_after_the_end_keeps_nobody_else_waiting(begin: Any) -> None:
    end = threading.Event()
    names = [f"p{i}" for i in range(collector.READERS + 1)]
    going_on: dict[str, list[Reading]] = {
        n: [[lines(0.1), end, lines(0.2, begin=1)]] for n in names
    }
    _, pods = begin(**going_on, other=[[lines(0.7)]])
    for name in names:
        pods.tell(name, "running")
    until(lambda: all(pods.values(n)[0] for n in names), what="all are followed", timeout=10)
    for name in names:
        pods.tell(name, "terminated")
    pods.tell("other", "terminated")
    until(lambda: pods.complete("other"), what="the other one is read", timeout=10)
    assert not any(map(pods.complete, names))
    end.set()
    until(lambda: all(map(pods.complete, names)), what="all are read", timeout=10)
    assert {pods.values(n) for n in names} == {(2, 0.2)}


def test_a_long_log_is_read_by_turns(begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "TURN", 1e-9)
    log = [lines(0.1), lines(0.2, begin=1), lines(0.3, begin=2)]
    logs, pods = begin(a=[list(log) for _ in range(3)])
    pods.tell("a", "terminated")
    until(lambda: pods.complete("a"), what="it is read", timeout=10)
    assert pods.values("a") == (3, 0.3)
    # Two batches, one more, and nothing: only that is the end for certain.
    assert len(logs.asked) == 3


class Stream:
    """An answer of which so much arrives at a time."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)

    def read1(self, _: int) -> bytes:
        return self._chunks.pop(0) if self._chunks else b""


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"a\nb\n"], [([b"a", b"b"], True)]),
        ([b"a", b"b\nc"], [([b"ab"], True), ([b"c"], False)]),
        ([b"a\n\nb\n"], [([b"a", b"", b"b"], True)]),
        ([b"12345", b"67\nnext\n"], [([b"1234"], True), ([b"next"], True)]),
        ([b"12345", b"6789", b"0\n", b"\nnext\n"], [([b"1234"], True), ([b"", b"next"], True)]),
        ([b"12345", b"6"], [([b"1234"], True)]),
        ([b"T A\rB", b"C\rD\n"], [([b"T \rBC\rD"], True)]),
        ([b"12345", b"\r6\n", b"7\n"], [([b"1234"], True), ([b"7"], True)]),
    ],
)
def test_a_stream_is_split_into_lines(chunks: list[bytes], expected: list[Batch]) -> None:
    assert list(batches(Stream(*chunks), longest=4)) == expected  # type: ignore[arg-type]


# Lines that a progress bar draws anew, for as long as a training takes.

STAMP = b"2026-01-01T00:00:00.5Z "
drawings = st.lists(st.text("a =1.5", max_size=10), min_size=1, max_size=20)
drawn = st.tuples(drawings, st.sampled_from(["", "\r", "\r\r"])).map(
    lambda parts: "\r".join(parts[0]) + parts[1]
)


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(ends)]


@given(st.lists(drawn, max_size=5), st.lists(st.integers(0, 10_000), max_size=30))
def test_of_a_bar_what_it_leaves_is_kept_and_every_byte_is_counted(
    texts: list[str], cuts: list[int]
) -> None:
    data = b"".join(STAMP + text.encode() + b"\n" for text in texts)
    chunks = Stream(*chunked(data, cuts))
    lines = [line for batch, _ in batches(chunks, longest=48) for line in batch]  # type: ignore[arg-type]
    assert [line[: len(STAMP)] for line in lines] == [STAMP] * len(texts)
    left = [shown(line[len(STAMP) :].decode()) for line in lines]
    assert left == [shown(text) for text in texts]
    sizes = [len(line) + getattr(line, "left_out", 0) for line in lines]
    assert sizes == [len(STAMP) + len(text) for text in texts]


def bar(drawings: int) -> bytes:
    """The bar of a training: some 120 bytes a drawing, and no end of line before its end."""
    begin = "".join(
        f"\rEpoch 0: {i:6}|██████████| [00:16<00:00, 61.2it/s, train_loss=0.31, accuracy=0.{i % 7}]"
        for i in range(drawings)
    )
    return (begin + "\rEpoch 0: 100%|██████████| [train_loss=0.31, accuracy=0.875]").encode()


@pytest.mark.parametrize("drawings", [0, 100, 5_000, 30_000])
def test_a_bar_of_any_length_is_read_at_its_end(drawings: int) -> None:
    data = STAMP + bar(drawings) + b"\n2026-01-01T00:00:01.5Z it is done\n"
    log = PodLog(("team", "demo"), LineReader(study().spec), RunReport("accuracy"), 2.0)
    largest = 0
    for _ in range(2):  # What is read again counts no more.
        pieces = Stream(*(data[i : i + 65_536] for i in range(0, len(data), 65_536)))
        log.cursor.reopen()
        for batch, _ in batches(pieces):  # type: ignore[arg-type]
            largest = max(largest, *map(len, batch))
            log.take(batch)
    track = log.report.metrics["accuracy"]
    assert (track.latest, track.count) == (0.875, 1)
    assert log.cursor.size == len(data) - 2
    assert largest < 1_200_000


@given(st.lists(drawn, max_size=5), st.lists(st.integers(0, 10_000), max_size=10))
def test_a_local_log_is_read_as_one_on_a_cluster(texts: list[str], cuts: list[int]) -> None:
    spec = study(objectives=[{"metric": "a", "direction": "Maximize"}]).spec
    reader, expected = LineReader(spec), RunReport.empty(spec)
    for text in texts:
        reader.take(text, expected)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_reports, "_LONGEST", 24)
        tail = local_reports._Tail(Path(folder, "log"), 0, RunReport.empty(spec))
        for chunk in chunked("".join(f"{text}\n" for text in texts).encode(), cuts):
            with tail.path.open("ab") as file:
                file.write(chunk)
            tail.read(reader)
    assert repr(tail.report.metrics) == repr(expected.metrics)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ([b"\raccuracy=0.12\raccuracy=0.34"], [b"\raccuracy=0.12", b"\raccuracy=0.34"]),
        ([b"some words, accuracy=0.34"], [b"some words,", b" accuracy=0.34"]),
        ([b"x" * 30], [b"x" * 30]),
        ([b"\raccuracy=0.12\raccu", b"racy=0.34\n"], [b"\raccuracy=0.12", b"\raccuracy=0.34"]),
    ],
)
def test_a_local_line_that_is_too_long_is_cut_between_drawings_or_words(
    said: list[bytes], written: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_LINE", 18)
    reading, writing = os.pipe()
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    lines = supervisor.Lines(reading, log)
    for piece in said:
        os.write(writing, piece)
        lines.pump()
    lines.flush()
    for file in (reading, writing, log):
        os.close(file)
    assert (tmp_path / "log").read_bytes() == b"".join(line + b"\n" for line in written)
