"""A pod's log as the kubelet gives it: bytes, with a timestamp before each line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.core.reports import RunReport
from kubestudy.runtime.cache import Cache
from kubestudy.runtime.collector import Collector
from kubestudy.runtime.kept_logs import LogKeeper
from kubestudy.runtime.pod_log import LONGEST, Cursor, PodLog
from kubestudy.sources.log_lines import LineReader
from tests.unit.build import study

AT = b"2026-01-01T00:00:00.5Z "


def pod_log() -> PodLog:
    return PodLog(("team", "demo"), LineReader(study().spec), RunReport("accuracy"), 2.0)


@pytest.mark.parametrize(
    ("text", "is_report"),
    [
        (b'{"accuracy": 0.5}', True),
        (b"\xff\xfe accuracy=0.5 \x80", True),
        (b"\xc3(", False),
        (b"accuracy=0.5\x00", True),
        (b"x" * 10_000_000 + b" accuracy=0.5", False),
        (b'{"accuracy": 0.5, "x": "' + b"y" * LONGEST + b'"}', False),
        (b"50%|##\r" * 10_000 + b'{"accuracy": 0.5}', True),
        (b"", False),
    ],
    ids=lambda v: str(v)[:20],
)
def test_whatever_a_line_holds_it_has_its_result(text: bytes, is_report: bool) -> None:
    log = pod_log()
    assert log.take([AT + text]) == (1, int(is_report))
    # The next line is read as ever.
    assert log.take([AT + b"accuracy=0.75"]) == (1, 1)
    assert log.report.metrics["accuracy"].latest == 0.75


def read(cursor: Cursor, *moments: str) -> list[bool]:
    """Whether the lines of so many moments of one minute are new."""
    return [cursor.passes(f"2026-01-01T00:00:{moment}".encode()) for moment in moments]


def test_a_reading_that_begins_anew_takes_nothing_twice() -> None:
    cursor = Cursor()
    assert cursor.reopen() is None
    first = ["00.1Z", "00.1Z", "00.25Z"]
    assert all(read(cursor, *first))
    assert cursor.reopen() == "2026-01-01T00:00:00Z"
    assert not any(read(cursor, *first))
    assert read(cursor, "00.25Z", "01Z") == [True, True]


def test_a_reading_that_is_cut_in_what_was_read_before_is_begun_anew() -> None:
    cursor = Cursor()
    read(cursor, "00.1Z", "00.2Z", "00.2Z")
    cursor.reopen()
    assert read(cursor, "00.1Z", "00.2Z") == [False, False]
    cursor.reopen()
    assert read(cursor, "00.1Z", "00.2Z", "00.2Z", "00.2Z") == [False, False, False, True]


def test_lines_that_two_streams_wrote_in_the_wrong_order_all_count() -> None:
    cursor = Cursor()
    lines = ["00.5Z", "00.7Z", "00.6Z", "00.7Z", "00.65Z"]
    assert all(read(cursor, *lines))
    cursor.reopen()
    assert not any(read(cursor, *lines))
    assert read(cursor, "00.8Z", "00.75Z") == [True, True]


@pytest.mark.parametrize(
    ("stamp", "since"),
    [
        ("2026-01-01T00:00:59.999999999Z", "2026-01-01T00:00:59Z"),
        ("2026-01-01T02:00:00.5+01:00", "2026-01-01T01:00:00Z"),
        ("2026-01-01T00:00:00.123456789-05:30", "2026-01-01T05:30:00Z"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    ],
)
def test_a_nodes_own_time_zone_is_understood(stamp: str, since: str) -> None:
    cursor = Cursor()
    assert cursor.passes(stamp.encode())
    assert cursor.reopen() == since
    assert not cursor.passes(stamp.encode())


def test_what_has_no_timestamp_is_no_line_of_the_log() -> None:
    log = pod_log()
    assert log.take([b"unable to retrieve container logs: accuracy=0.5", b""]) == (0, 0)
    assert not log.report.metrics


@given(
    st.lists(st.integers(0, 4 * 10**9), max_size=30).map(sorted),
    st.lists(st.integers(0, 30), max_size=5),
)
def test_wherever_readings_are_cut_each_line_counts_once(
    moments: list[int], cuts: list[int]
) -> None:
    """Readings as the kubelet gives them: from a whole second on, up to where they break."""
    stamps = [f"2026-01-01T00:00:{m // 10**9:02}.{m % 10**9:09}Z" for m in moments]
    cursor, taken = Cursor(), 0
    for cut in [*cuts, len(stamps)]:
        since = (cursor.reopen() or "").removesuffix("Z")
        taken += sum(cursor.passes(s.encode()) for s in stamps[:cut] if s >= since)
    assert taken == len(stamps)


@pytest.mark.parametrize("follow", [60.0, None])
def test_what_a_log_holds_when_it_is_opened_is_news_at_once(follow: float | None) -> None:
    class Logs:
        def log_batches(self, *_: object, **__: object) -> Iterator[tuple[list[bytes], bool]]:
            yield [AT + b"no report"], True
            assert not told
            yield [AT + b"accuracy=0.5"], True
            assert told == [("team", "demo")], "it may be the last for an hour"

    told: list[tuple[str, str]] = []
    client: Any = Logs()
    pods: Cache[Any] = Cache(lambda pod: pod, lambda _: None)
    keeper = LogKeeper(client, Cache(lambda job: job, lambda _: None), pods, lambda _: True)
    collector = Collector(
        client, lambda _: study(), pods, lambda _: True, lambda key, _: told.append(key), keeper
    )
    pod = {"metadata": {"namespace": "team", "name": "p"}, "spec": {"containers": [{"name": "t"}]}}
    collector._read(pod, pod_log(), follow=follow)
