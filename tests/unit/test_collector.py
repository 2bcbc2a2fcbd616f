"""A pod's log as the kubelet gives it: bytes, with a timestamp before each line."""

from __future__ import annotations

import pytest

from kubestudy.core.facts import RunReport
from kubestudy.runtime.collector import LONGEST, Cursor, PodLog
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
    assert log.take(AT + text) is is_report
    # The next line is read as ever.
    assert log.take(AT + b"accuracy=0.75")
    assert log.report.metrics["accuracy"].latest == 0.75


def test_a_reading_that_begins_anew_takes_nothing_twice() -> None:
    cursor = Cursor()
    first = ["2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.25Z"]
    assert all(cursor.passes(t) for t in first)
    assert cursor.reopen() == "2026-01-01T00:00:00Z"
    assert not any(cursor.passes(t) for t in first)
    assert cursor.passes("2026-01-01T00:00:00.25Z")
    assert cursor.passes("2026-01-01T00:00:01Z")
