"""What logs have said is kept on their Jobs, so that a restart loses nothing of it."""

from __future__ import annotations

import base64
import random
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.api.base import ANNOTATION_LOG, LABEL_RUN
from kubestudy.api.study import StudySpec
from kubestudy.core.reports import RunReport
from kubestudy.core.unread import LONGEST_LINE, MOST_NAMES, Unread
from kubestudy.runtime import kept_logs
from kubestudy.runtime.cache import Cache
from kubestudy.runtime.client import ApiError, Object
from kubestudy.runtime.collector import Collector
from kubestudy.runtime.kept_logs import KeptLog, LogKeeper
from kubestudy.runtime.pod_log import PodLog
from kubestudy.sources.log_lines import LineReader
from tests.support.waiting import until
from tests.unit.build import study

PLAIN = study().spec
RUNGS = study(
    algorithm={"type": "ASHA", "resource": {"name": "num_train_epochs", "max": 9}},
    parameters=[{"name": "lr", "min": 0.1, "max": 0.3}],
).spec
FOLDS = study(crossValidation={"folds": 3, "execution": "OnePod"}).spec


def log_of(spec: StudySpec, kept: KeptLog | None = None) -> PodLog:
    """The log of a pod, from its beginning or from where it was kept."""
    new = PodLog(("team", "demo"), LineReader(spec), RunReport.empty(spec), 2.0)
    if kept is not None:
        new.report, new.cursor, new.kept = kept.report, kept.cursor, kept.cursor.size
    return new


def shown(report: RunReport) -> str:
    """All of a report; two NaN are one, and sets have no order."""
    folds = {fold: shown(one) for fold, one in report.folds.items()}
    return f"{sorted(report.owed)} {replace(report, owed=frozenset(), folds={})!r} {folds}"


def line(moment: int, *, numbered: int | None, **numbers: float) -> bytes:
    seq = {} if numbered is None else {"seq": numbered}
    told = ", ".join(f'"{k}": {v!r}' for k, v in (numbers | seq).items())
    told = told.replace("nan", "NaN").replace("inf", "Infinity")
    return f"2026-01-01T00:00:{moment // 10:02}.{moment % 10}Z {{{told}}}".encode()


values = st.floats(width=64) | st.floats(-10, 10)


@given(st.data())
@pytest.mark.parametrize("spec", [PLAIN, RUNGS, FOLDS], ids=["plain", "rungs", "folds"])
@pytest.mark.parametrize("numbered", [True, False])
def test_a_restart_anywhere_is_not_noticed(spec: StudySpec, numbered: bool, data: Any) -> None:
    """What a report says at the end is what it says without restarts, to the last bit."""
    moments = sorted(data.draw(st.lists(st.integers(0, 99), max_size=30)))
    lines = [
        line(
            moment,
            numbered=i if numbered else None,
            accuracy=data.draw(values),
            epoch=data.draw(st.floats(0, 10)),
            fold=data.draw(st.integers(0, 2)),
            other=data.draw(values),
        )
        for i, moment in enumerate(moments)
    ]
    undisturbed = log_of(spec)
    undisturbed.take(lines)
    log = log_of(spec)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=4)))
    for cut in [*cuts, len(lines)]:
        since = (log.cursor.reopen() or "").removesuffix("Z").encode()
        log.take(one for one in lines[:cut] if one >= since)
        text = KeptLog("uid", *log.so_far()).text()
        kept = KeptLog.read(text, "uid", spec)
        assert kept is not None
        assert (shown(kept.report), kept.cursor) == (shown(log.report), log.so_far()[0])
        log = log_of(spec, kept)
    assert shown(log.report) == shown(undisturbed.report)
    assert log.cursor.size == undisturbed.cursor.size


def test_after_a_restart_the_files_that_are_gone_are_not_missed() -> None:
    before = log_of(PLAIN)
    before.take([line(i, numbered=i, accuracy=0.1 * i) for i in range(5)])
    kept = KeptLog.read(KeptLog("uid", *before.so_far()).text(), "uid", PLAIN)
    after = log_of(PLAIN, kept)
    assert after.cursor.reopen() == "2026-01-01T00:00:00Z"
    after.take([line(i, numbered=i, accuracy=0.1 * i) for i in range(3, 8)])
    track = after.report.metrics["accuracy"]
    assert (track.min, track.count, after.report.missing) == (0.0, 8, 0)


def test_after_a_restart_it_is_known_what_was_not_read() -> None:
    spec = study(
        objectives=[{"metric": m, "direction": "Maximize"} for m in ("accuracy", "f1")]
    ).spec
    before = log_of(spec)
    before.take([b"2026-01-01T00:00:00Z accuracy=0.5, f1: 1/2, acc=0.9"])
    kept = KeptLog.read(KeptLog("uid", *before.so_far()).text(), "uid", spec)
    assert kept is not None
    assert kept.report.unread == Unread(
        lines={"f1": "accuracy=0.5, f1: 1/2, acc=0.9"}, printed=["accuracy", "acc"], looked=1
    )
    after = log_of(spec, kept)
    after.take([b"2026-01-01T00:00:01Z f1: 1/3"])
    after.close(None, None)
    assert after.report.hint is not None
    assert "f1 was not read in this line: 'accuracy=0.5, f1: 1/2, acc=0.9'" in after.report.hint


def text_of(**changes: Any) -> str:
    log = log_of(PLAIN)
    log.take([line(0, numbered=None, accuracy=0.5)])
    cursor, report = log.so_far()
    for name, value in changes.items():
        setattr(cursor if hasattr(cursor, name) else report, name, value)
    return KeptLog("uid", cursor, report).text()


def test_what_was_kept_is_found() -> None:
    kept = KeptLog.read(text_of(complete=True), "uid", PLAIN)
    assert kept is not None and kept.report.metrics["accuracy"].latest == 0.5
    assert not kept.report.complete, "the end of its log may not have been seen"


def packed(text: str) -> str:
    return base64.b64encode(zlib.compress(text.encode())).decode()


def edited(old: str, new: str) -> str:
    """A text in which something is replaced."""
    text = zlib.decompress(base64.b64decode(text_of())).decode()
    assert old in text
    return packed(text.replace(old, new))


@pytest.mark.parametrize(
    "text",
    {
        "none": "",
        "no base64": "{}",
        "nothing packed": base64.b64encode(b"{}").decode(),
        "cut": text_of()[:100],
        "too long": text_of() + " " * kept_logs.LONGEST,
        "too much": packed(" " * 100_000_000),
        "deep": packed('{"report": ' + '{"folds": {"0": ' * 5000),
        "not of a pod": packed("null"),
        "another pod": edited("uid", "another"),
        "later than all": text_of(newest=10**30),
        "earlier than all": text_of(newest=-2),
        "other metrics": text_of(owed=frozenset()),
        "another course": text_of(curve_metric="other"),
        "other rungs": text_of(levels=(1,)),
        "folds": text_of(fold_count=20),
        "a fold": text_of(folds={0: RunReport()}),
        "a line for another metric": text_of(unread=Unread(lines={"other": "other: 1/2"})),
        "a long line": text_of(unread=Unread(lines={"accuracy": "x" * (LONGEST_LINE + 1)})),
        "a line that no terminal should show": text_of(unread=Unread(lines={"accuracy": "\x1b"})),
        "many names": text_of(unread=Unread(printed=["x"] * (MOST_NAMES + 1))),
        "no stride": text_of(_stride=0),
        "less than seen": text_of(_seen=-1),
        "no course": text_of(curve=[]),
        "no end": edited('"newest": {', '"newer": {'),
        "no sum": edited('"_sum": "1/2"', '"_sum": "1e30000000"'),
        "too large a sum": edited('"_sum": "1/2"', '"_sum": "1e4000"'),
        "NaN": edited('"max": 0.5', '"max": NaN'),
        "infinite": edited('"max": 0.5', '"max": 1e999'),
        "a long name": edited('"accuracy": {', f'"{"n" * 129}": {{'),
    }.items(),
    ids=lambda case: case[0],
)
def test_a_text_that_was_edited_is_as_good_as_not_there(text: tuple[str, str]) -> None:
    began = time.process_time()
    assert KeptLog.read(text[1], "uid", PLAIN) is None
    assert time.process_time() - began < 0.5


class Api:
    """An API server that has one Job."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.refuses: ApiError | None = None

    def hasty(self, _: float) -> Api:
        return self

    def get(self, _: object, namespace: str, name: str) -> Object:
        assert (namespace, name) == ("team", "demo-0-0-0-0")
        return {"metadata": {"annotations": {ANNOTATION_LOG: self.texts[-1]}}}

    def patch(self, _: object, namespace: str, name: str, body: Object) -> Object:
        assert (namespace, name) == ("team", "demo-0-0-0-0")
        assert body["metadata"]["uid"] == "job"
        if self.refuses is not None:
            raise self.refuses
        self.texts.append(body["metadata"]["annotations"][ANNOTATION_LOG])
        return {}


POD = {
    "metadata": {
        "namespace": "team",
        "name": "demo-0-0-0-0-abcde",
        "uid": "uid",
        "resourceVersion": "1",
        "labels": {LABEL_RUN: "demo-0-0-0-0"},
        "annotations": {"kubestudy.dev/study": "demo"},
        "ownerReferences": [{"uid": "job", "controller": True}],
    },
    "spec": {"containers": [{"name": "trial"}]},
}
MUCH = b"2026-01-01T00:00:09Z " + b"x" * kept_logs.MUCH
REPORT = line(0, numbered=None, accuracy=0.5)


class Kept:
    """A log that is read, with what keeps it."""

    def __init__(self, unstored: Callable[[Object], bool] = lambda _: True) -> None:
        self.api, self.log = Api(), log_of(PLAIN)
        self.jobs: Cache[Object] = Cache(lambda o: o, lambda _: None)
        pods: Cache[Object] = Cache(lambda o: o, lambda _: None)
        pods.put(POD)
        client: Any = self.api
        self.keeper = LogKeeper(client, self.jobs, pods, unstored)
        self.collector = Collector(
            client, lambda _: study(), pods, lambda _: True, lambda *_: None, self.keeper
        )
        self.keeper.start({"uid": self.log})

    def store(self) -> None:
        """The API server tells of the Job as it is now."""
        metadata = {"namespace": "team", "name": "demo-0-0-0-0", "uid": "job"}
        annotations = {ANNOTATION_LOG: self.api.texts[-1]}
        self.jobs.put(
            {"metadata": {**metadata, "resourceVersion": "1", "annotations": annotations}}
        )

    def writes(self, number: int) -> None:
        until(lambda: len(self.api.texts), lambda n: n == number, what="writes", timeout=5)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_logs, "LOOK_EVERY", 0.01)


def test_a_log_that_is_short_costs_no_write() -> None:
    kept = Kept()
    kept.log.take([REPORT, MUCH[:-100]])
    time.sleep(0.1)  # it would be written by now
    kept.keeper.stop()
    assert not kept.api.texts


def test_a_long_log_in_which_nothing_new_was_reported_costs_no_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kept_logs, "KEEP_EVERY", 0.0)
    kept = Kept()
    kept.log.take([MUCH, MUCH])
    time.sleep(0.1)  # it would be written by now
    assert not kept.api.texts
    kept.log.take([line(95, numbered=None, accuracy=0.5)])
    kept.writes(1)
    kept.log.take([MUCH, MUCH])
    kept.keeper.stop()
    assert len(kept.api.texts) == 1


def test_a_long_log_is_kept_at_times_and_once_more_when_the_process_ends() -> None:
    kept = Kept()
    kept.log.take([REPORT, MUCH])
    kept.writes(1)
    kept.log.take([MUCH, line(95, numbered=None, accuracy=0.25)])
    time.sleep(0.1)  # so soon it is not written again
    assert len(kept.api.texts) == 1
    kept.keeper.stop()
    kept.store()
    again = kept.keeper.find(POD, PLAIN)
    assert again is not None
    assert again.report.metrics["accuracy"].min == 0.25
    assert again.cursor == kept.log.so_far()[0]


def test_it_goes_on_where_it_was() -> None:
    kept = Kept()
    kept.log.take([REPORT, MUCH])
    kept.writes(1)
    kept.keeper.stop()
    kept.store()
    after = kept.collector._log_of(POD)
    assert after is not None
    assert after.report.metrics["accuracy"].latest == 0.5
    assert after.cursor.reopen() == "2026-01-01T00:00:09Z"
    assert (after.kept, after.news) == (after.cursor.size, False)


def test_of_a_run_whose_end_is_stored_nothing_is_written() -> None:
    kept = Kept(unstored=lambda _: False)
    kept.log.take([REPORT, MUCH])
    time.sleep(0.1)  # it would be written by now
    kept.keeper.stop()
    assert not kept.api.texts


@pytest.mark.parametrize("status", [0, 404, 409, 500])
def test_what_is_not_kept_is_tried_again(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_logs, "KEEP_EVERY", 0.05)
    kept = Kept()
    kept.api.refuses = ApiError(status, "", "refused")
    kept.log.take([REPORT, MUCH])
    time.sleep(0.1)  # it is refused by now
    kept.api.refuses = None
    kept.writes(1)
    kept.keeper.stop()


def test_what_is_too_much_is_not_kept() -> None:
    kept = Kept()
    kept.log.report.hint = random.Random(1).randbytes(kept_logs.LONGEST).hex()
    kept.log.take([REPORT, MUCH])
    time.sleep(0.1)  # it would be written by now
    kept.keeper.stop()
    assert not kept.api.texts


def test_the_most_that_a_log_can_say_is_kept() -> None:
    """64 metrics with the longest names, a full curve and all rungs."""
    log = log_of(RUNGS)
    names = ["accuracy", *("n" * 125 + f"{i:03}" for i in range(63))]
    for step in range(200):
        numbers = {n: -1.2345678901234567e-300 * (step + i + 1) for i, n in enumerate(names)}
        log.take([line(step % 100, numbered=step, epoch=step / 7, **numbers)])
    text = KeptLog("uid", *log.so_far()).text()
    assert len(log.report.metrics) == 64
    assert len(text) < kept_logs.LONGEST / 4
