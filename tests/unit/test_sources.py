"""Reading reports: whatever a log holds, reading is bounded and never raises."""

from __future__ import annotations

import itertools
import json
import math
import re
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.log_reading import hard
from kubestudy.api.trial import MAX_METRICS, MAX_POINTS
from kubestudy.core.acceptance import problems
from kubestudy.core.reports import LastWord, MetricTrack, Observation, RunReport
from kubestudy.sources import dictionaries, numbers, teaching, terminal
from kubestudy.sources.log_lines import MAX_LINE, LineReader
from kubestudy.sources.termination import last_word
from tests.unit.build import study

SPEC = study().spec
READER = LineReader(SPEC)
IN_ONE_POD = study(crossValidation={"folds": 3, "execution": "OnePod"}).spec

DEEP = "[" * 20_000
LINES: list[tuple[str, dict[str, float] | None]] = [
    # Json
    ('{"accuracy": 0.9}', {"accuracy": 0.9}),
    ('{"seq": 3, "step": 40, "epoch": 1.0, "accuracy": 1, "f1": 2}', {"accuracy": 1, "f1": 2}),
    ('  {"accuracy": 1e-4}\r\n', {"accuracy": 1e-4}),
    ('{"accuracy": Infinity}', {"accuracy": math.inf}),
    ('{"accuracy": -Infinity}', {"accuracy": -math.inf}),
    ('{"accuracy": "0.9"}', {"accuracy": 0.9}),
    ('{"accuracy": "0,9"}', None),
    ('{"accuracy": "0.9 of 1"}', None),
    ('{"accuracy": true}', None),
    ('{"accuracy": null, "seq": 1}', {}),
    ('{"accuracy": {"value": 1}}', None),
    ('{"accuracy": 0.9', None),
    ('[{"accuracy": 0.9}]', None),
    ('{"time": 1722000000, "seq": 0, "accuracy": 0.5}', {"accuracy": 0.5}),
    ('{"accuracy": 0.5, "' + "n" * 129 + '": 1}', {"accuracy": 0.5}),
    ('{"accuracy": 0.5, "\\ud800": 1, "": 2, "a\\nb": 3}', {"accuracy": 0.5}),
    ('{"accuracy": 0.5, "big": 1' + "0" * 400 + "}", {"accuracy": 0.5}),
    # Structured logs that are no reports
    ('{"level": 30, "time": 1722000000, "msg": "epoch done", "pid": 7}', None),
    ('{"loss": 0.3}', None),
    # TrainerLog
    ("{'accuracy': 0.91, 'epoch': 1.0}", {"accuracy": 0.91}),
    ("{'accuracy': '0.91', 'loss': '1.2e-05'}", {"accuracy": 0.91, "loss": 1.2e-5}),
    ("{'accuracy': -inf, 'loss': 2}", {"accuracy": -math.inf, "loss": 2}),
    ("{'loss': 0.5, 'learning_rate': 2e-05}", None),
    ("{'accuracy': 'high'}", None),
    # KeyValue
    ("accuracy=0.91", {"accuracy": 0.91}),
    ("epoch 1: accuracy: 0.91, loss=0.2", {"accuracy": 0.91}),
    ("step=3 accuracy = .5", {"accuracy": 0.5}),
    ("accuracy=1e-4 done", {"accuracy": 1e-4}),
    ("accuracy=-inf", {"accuracy": -math.inf}),
    ("eval_accuracy=0.91", None),
    ("accuracy_top5=0.91", None),
    ("my-accuracy=0.91", None),
    ("Accuracy=0.91", None),
    ("accuracy=high", None),
    ("accuracy=0.91.3", None),
    ("The best was accuracy=0.91.", {"accuracy": 0.91}),
    ("accuracy: 3. Done.", {"accuracy": 3}),
    ("accuracy=0.91, all else as before", {"accuracy": 0.91}),
    ("accuracy=1e", None),
    # Progress bars
    ('\r 50%|##  | 1/2\r100%|####| 2/2 [00:01]{"accuracy": 0.9}', {"accuracy": 0.9}),
    ('100%|####| 2/2\r{"accuracy": 0.9}\r\n', {"accuracy": 0.9}),
    ('100%|####| 2/2\r{"accuracy": 0.9}\r', {"accuracy": 0.9}),
    ("accuracy=0.1\raccuracy=0.2\raccuracy=0.3", {"accuracy": 0.3}),
    ("accuracy=0.1\rdone", None),
    ("10%|\r" * MAX_LINE + '{"accuracy": 0.9}', {"accuracy": 0.9}),
    ('said {"accuracy": 0.9}', {"accuracy": 0.9}),
    ("said '{\"accuracy\": 0.9}'", None),
    ('{"accuracy": 0.9}{"accuracy": 0.8}', None),
    # What is not finite counts where the Study or the training depends on it
    ('{"accuracy": 0.9, "grad_norm": Infinity, "f1": NaN}', {"accuracy": 0.9}),
    ('{"accuracy": 0.9, "eval_loss": Infinity}', {"accuracy": 0.9, "eval_loss": math.inf}),
    ("{'loss': inf, 'grad_norm': nan, 'accuracy': 1.0}", {"accuracy": 1, "loss": math.inf}),
    # Colours
    ("\x1b[32maccuracy\x1b[0m=\x1b[1;31m0.5\x1b[0m", {"accuracy": 0.5}),
    ('\x1b[2K{"accuracy": 0.5}', {"accuracy": 0.5}),
    # No reports at all
    ("", None),
    ("{", None),
    ("{'", None),
    ("\x00\xff\ufffd", None),
    ('{"a":' + DEEP, None),
    ('{"accuracy": ' + "1" * 5000 + "}", None),
]


@pytest.mark.parametrize(("line", "metrics"), LINES, ids=lambda v: str(v)[:40])
def test_a_line_is_read(line: str, metrics: dict[str, float] | None) -> None:
    observation = READER.read(line)
    assert (observation.metrics if observation else None) == metrics


@pytest.mark.parametrize(
    "line",
    [
        '{"accuracy": NaN}',
        "{'accuracy': nan}",
        "{'accuracy': 'nan'}",
        "accuracy=nan",
        "accuracy: NaN",
    ],
)
def test_nan_is_read_as_nan(line: str) -> None:
    observation = READER.read(line)
    assert observation is not None
    assert math.isnan(observation.metrics["accuracy"])


@pytest.mark.parametrize(
    ("line", "step", "seq", "final"),
    [
        ('{"accuracy": 1}', None, None, False),
        ('{"accuracy": 1, "step": 7, "epoch": 2}', 7, None, False),
        ('{"accuracy": 1, "epoch": 2.5, "final": true}', 2.5, None, True),
        ('{"accuracy": 1, "final": 1}', None, None, False),
        ('{"accuracy": 1, "seq": 5}', None, 5, False),
        ('{"accuracy": 1, "seq": -1}', None, None, False),
        ('{"accuracy": 1, "seq": NaN}', None, None, False),
        ('{"accuracy": 1, "seq": 1e300}', None, None, False),
        ('{"accuracy": 1, "step": NaN}', None, None, False),
        ('{"accuracy": 1, "step": Infinity}', None, None, False),
        ("{'accuracy': 1, 'epoch': 0.5}", 0.5, None, False),
        ("step=3 accuracy=1", 3, None, False),
        ("step=nan accuracy=1", None, None, False),
        ("epoch 3: accuracy=1", 3, None, False),
        ("Epoch 3/10: accuracy=1", 3, None, False),
        ("Epoch [3/10], Step [40/100] accuracy=1", 40, None, False),
        ("Epoch: [3][ 40/100] accuracy=1", 3, None, False),
        ("epoch=3/10 accuracy=1", 3, None, False),
        ("epoch 3 of 10 accuracy=1", 3, None, False),
        ("epoch 3: {'accuracy': 1}", 3, None, False),
        ("epoch 3: {'accuracy': 1, 'epoch': 4}", 4, None, False),
        ('epoch 3: {"accuracy": 1}', 3, None, False),
        ('step 40: {"accuracy": 1, "seq": 2}', 40, 2, False),
        ('{"accuracy": 1, "step": "7"}', 7, None, False),
        ('{"accuracy": 1, "seq": "7"}', None, None, False),
        ("epoch 2 is done, epoch 3: accuracy=1", None, None, False),
        ("epoch 0:08:20 accuracy=1", None, None, False),
        ("epoch 3/10/2025 accuracy=1", None, None, False),
        ("Step 1,200: accuracy=1", None, None, False),
        ("step 40s accuracy=1", None, None, False),
        ("0.3 s per step 5, accuracy=1", None, None, False),
        ("accuracy=1 (best epoch 3)", None, None, False),
        ("epochs 3 accuracy=1", None, None, False),
        ("epoch 40% accuracy=1", None, None, False),
        ("epoch: 40%|####      | 4/10 accuracy=1", None, None, False),
        ("each epoch 5 minutes, accuracy=1", None, None, False),
        ("global_step=3 accuracy=1", None, None, False),
    ],
)
def test_where_in_training_a_report_is_from(
    line: str, step: float | None, seq: int | None, final: bool
) -> None:
    assert READER.read(line) == Observation({"accuracy": 1.0}, step, seq, final)


@pytest.mark.parametrize(
    ("line", "fold"),
    [
        ('{"accuracy": 1, "fold": 2}', 2),
        ('{"accuracy": 1, "fold": 0.0}', 0),
        ('{"accuracy": 1, "fold": 1.5}', None),
        ('{"accuracy": 1, "fold": -1}', None),
        ('{"accuracy": 1, "fold": NaN}', None),
        ('{"accuracy": 1, "fold": Infinity}', None),
        ('{"accuracy": 1, "fold": "1"}', 1),
        ('{"accuracy": 1, "fold": "one"}', None),
        ('{"accuracy": 1}', None),
        ("{'accuracy': 1, 'fold': 2}", 2),
        ("fold=1 accuracy=1", 1),
        ("fold: 12, accuracy: 1", 12),
        ("fold 1: accuracy=1", None),
        ("fold=1/5 accuracy=1", None),
        ("manifold=1 accuracy=1", None),
    ],
)
def test_the_fold_that_a_report_is_of(line: str, fold: int | None) -> None:
    assert READER.read(line) == Observation({"accuracy": 1.0}, fold=fold)


def test_only_the_formats_that_were_asked_for_are_read() -> None:
    spec = study(metrics=[{"type": "Logs", "formats": ["KeyValue"]}]).spec
    assert LineReader(spec).read('{"accuracy": 0.9}') is None
    assert LineReader(spec).read("accuracy=0.9") is not None


def test_a_metric_whose_name_is_an_expression_is_taken_by_the_letter() -> None:
    spec = study(objectives=[{"metric": "a.b/c", "direction": "Maximize"}]).spec
    assert LineReader(spec).read("a.b/c=1") is not None
    assert LineReader(spec).read("axb/c=1") is None


def test_a_line_beyond_the_cap_is_not_even_looked_at() -> None:
    fits = '{"accuracy": 0.5}'.ljust(MAX_LINE)
    assert READER.read(fits) is not None
    assert READER.read(fits + " ") is None
    assert READER.read('{"accuracy": 0.5, "x": "' + "y" * 10_000_000 + '"}') is None


REGEX = r"(?:\[(?P<step>\d+)\] )?(?P<name>[a-z]+): *(?P<value>[-+.\deE]+|nan)"


def by_regex(expression: str, *more: str) -> LineReader:
    source = {"type": "Logs", "formats": ["Regex", *more], "regex": expression}
    return LineReader(study(metrics=[source]).spec)


@pytest.mark.parametrize(
    ("expression", "line", "expected"),
    [
        (REGEX, "[7] accuracy: 0.5 loss: 1e-3", Observation({"accuracy": 0.5, "loss": 1e-3}, 7)),
        (REGEX, "accuracy: .5.", None),
        (REGEX, "loss: 0.5", None),
        (REGEX, "accuracy: 0.5\ud800", Observation({"accuracy": 0.5})),
        (REGEX, "\x1b[1maccuracy\x1b[0m: 0.5", Observation({"accuracy": 0.5})),
        (r"Top1 (?P<value>\S+)%", "Top1 91.5% of all", Observation({"accuracy": 91.5})),
        (r"Top1 (?P<value>\S+)", "Top1 high", None),
        (r"(?P<name>\w+)? ?= (?P<value>\d+)", "= 3", Observation({"accuracy": 3.0})),
        (r"(?P<value>\d+)", "1 2 3", Observation({"accuracy": 3.0})),
        (r"(?P<value>\d*)", "none", None),
        (r"Top1 (?P<value>[\d.]+)", "Top1 91,5", None),
        (r"Top1 (?P<value>[\d.]+)", "Top1 9e-1", None),
        (r"Top1 (?P<value>\d+)", "Top1 91.5", None),
        (r"Top1 (?P<value>\d+)", "Top1 0:08:20", None),
        (r"Top1 (?P<value>\d+)", "Top1 91.", Observation({"accuracy": 91.0})),
        (r"Top1 (?P<value>\d+)", "Top1 91/100", Observation({"accuracy": 91.0})),
        (r"Top1 (?P<value>[\d.]+),", "Top1 91.5,93.1", Observation({"accuracy": 91.5})),
        (r"Top1 (?P<value>\S+)", "Top1 np.float64(0.5)", Observation({"accuracy": 0.5})),
    ],
)
def test_a_regex_reads_what_its_groups_name(
    expression: str, line: str, expected: Observation | None
) -> None:
    assert by_regex(expression).read(line) == expected


def test_a_regex_stands_beside_other_formats() -> None:
    reader = by_regex(r"acc (?P<value>\S+)", "Json")
    assert reader.read("acc 0.5") == reader.read('{"accuracy": 0.5}')
    assert reader.read("accuracy=0.5") is None


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (r"(?P<value>\d+", "at character 1: missing ): (?P<value>"),
        (r"(?P<value>(a)\1)", "at character 14: invalid escape sequence: \\1"),
        (r"x(?P<value>a)(?=b)", "at character 14: invalid perl operator: (?="),
        (r"(\d+)", "has no group (?P<value>...)"),
        (r"(?P<value>\d+)(?P<unit>%)", "the group 'unit' means nothing"),
        (r"(?P<value>(((x{99}){99}){99}))", "invalid repetition size"),
    ],
)
def test_a_regex_that_cannot_be_used_is_refused_with_its_place(
    expression: str, message: str
) -> None:
    source = {"type": "Logs", "formats": ["Regex"], "regex": expression}
    (error,) = problems(study(metrics=[source]))
    assert error.field == "spec.metrics[0].regex"
    assert message in error.message


EXPLOSIVE = [
    r"(?P<value>(a+)+)+$",
    r"(a*)*(a*)*(a*)*b(?P<value>x)",
    r"(.*)(.*)(.*)(.*)(.*)(?P<value>\d)x",
    r"a(?:.*b)?(?P<value>\d?)",
    r"(a|aa|aaa)+(?P<value>\d)",
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("expression", EXPLOSIVE)
def test_no_expression_takes_long(expression: str) -> None:
    """Python's own engine would not be back in years from some of these."""
    reader = by_regex(expression)
    for line in ("a" * MAX_LINE, "ab" * (MAX_LINE // 2), "1a" * (MAX_LINE // 2)):
        observation = reader.read(line)
        assert observation is None or observation.metrics.keys() == {"accuracy"}


CATASTROPHIC = [
    "1" * MAX_LINE,
    "accuracy=" + "1" * (MAX_LINE - 9),
    ("accuracy" + " " * 9) * (MAX_LINE // 17),
    ("accuracy=" * MAX_LINE)[:MAX_LINE],
    "{'" + "a" * (MAX_LINE - 2),
    "{" + "'a': '" * 2700,
    ("{'a': " + "1." * MAX_LINE)[:MAX_LINE],
    ("\x1b[" + "1;" * MAX_LINE)[:MAX_LINE],
    "\x1b[" * (MAX_LINE // 2),
    ("{" * MAX_LINE),
    ("\r" * MAX_LINE),
    ('\r{"' * MAX_LINE)[:MAX_LINE],
    ("{" + '"a":{' * MAX_LINE)[:MAX_LINE],
    *hard("accuracy").values(),
]


@pytest.mark.parametrize("line", CATASTROPHIC, ids=lambda v: v[:12])
def test_reading_is_linear_in_the_line(line: str) -> None:
    """Twice the line, about twice the time; an expression that backtracks would take four."""

    def cost(text: str) -> float:
        times = []
        for _ in range(5):
            began = time.process_time()
            READER.take(text, RunReport.of(["accuracy"]))
            times.append(time.process_time() - began)
        return min(times)

    assert len(line) <= MAX_LINE
    assert cost(line) < 0.15
    half = cost(line[: len(line) // 4])
    assert cost(line) < 10 * half + 0.003


@pytest.mark.parametrize(
    "pattern",
    [
        terminal._COLOUR,
        terminal._MOVE,
        numbers._WHOLE,
        numbers._INSIDE,
        numbers._COUNT_GOES_ON,
        dictionaries._PAIR,
        dictionaries._NOT_FLAT,
        dictionaries._TOKEN,
        dictionaries._JSON_BEGIN,
        teaching._NAMED,
        READER._pairs._pattern,
        READER._places._words,
    ],
    ids=lambda p: p.pattern[:20],
)
def test_what_repeats_without_a_bound_gives_nothing_back(pattern: re.Pattern[str]) -> None:
    text = re.sub(r"\\.|\[(?:\\.|[^\]])*\]", "x", pattern.pattern)
    text = re.sub(r"(?:\{[0-9,]+\}|\?)\+?|#.*", "", text)
    # A group may be repeated if all that repeats in it is so: it matches in one way only, and
    # Python 3.11 below 3.11.5 has possessive groups wrong.
    text = text.replace(")*", ")")
    assert set(re.findall(r"[*+]+", text)) <= {"*+", "++"}


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_nothing_raises(text: str) -> None:
    READER.take(text, RunReport.of(["accuracy"]))
    READER.read('{"accuracy": ' + text)
    READER.read("{'accuracy': " + text)
    last_word(text)
    last_word('{"metrics": {"accuracy": {"latest": ' + text)


# Reports.


def told(*observations: Observation, curve: str = "accuracy") -> RunReport:
    report = RunReport.of([curve])
    for o in observations:
        report.add(o)
    return report


def seen(value: float, seq: int | None = None, step: float | None = None) -> Observation:
    return Observation({"accuracy": value}, step, seq)


@pytest.mark.parametrize(
    ("numbers", "count", "missing"),
    [
        ([0, 1, 2], 3, 0),
        ([0, 1, 1, 0, 2], 3, 0),
        ([0, 3], 2, 2),
        ([2], 1, 2),
        ([1, 2], 2, 0),
        ([1, 3], 2, 1),
        ([None, None], 2, 0),
    ],
)
def test_gaps_are_counted_and_repeats_are_not_taken_twice(
    numbers: list[int | None], count: int, missing: int
) -> None:
    report = told(*(seen(1, seq) for seq in numbers))
    assert report.metrics["accuracy"].count == count
    assert report.missing == missing


def test_a_track_keeps_latest_and_extremes() -> None:
    track = told(*(seen(v, step=s) for s, v in enumerate([2, 5, -1, 3]))).metrics["accuracy"]
    assert (track.latest, track.min, track.max, track.step, track.count) == (3, -1, 5, 3, 4)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_remembered_and_not_stored(value: float) -> None:
    report = told(seen(1, step=1), seen(value, step=2), seen(3, step=3))
    assert report.not_finite is not None
    assert report.not_finite[0] == "accuracy"
    assert report.not_finite[2] == 2
    assert (report.metrics["accuracy"].latest, report.metrics["accuracy"].count) == (3, 2)


@pytest.mark.parametrize("number", [1, 99, 100, 101, 199, 200, 201, 1000, 12_345])
def test_a_curve_is_thinned_evenly_and_keeps_its_order(number: int) -> None:
    curve = told(*(seen(i, step=i) for i in range(number))).curve
    steps = [p.step for p in curve]
    assert steps[0] == 0
    assert steps == sorted(set(steps))
    assert min(number, MAX_POINTS // 2) <= len(curve) <= MAX_POINTS
    assert len({b - a for a, b in itertools.pairwise(steps)}) <= 1
    assert number - 1 - steps[-1] <= 2 * max(1, number // (MAX_POINTS // 2))


def test_the_objective_is_kept_even_where_many_metrics_come_first() -> None:
    many = Observation({f"m{i}": 1.0 for i in range(MAX_METRICS + 5)})
    report = told(many, seen(0.5))
    assert report.metrics["accuracy"].latest == 0.5
    assert len(report.metrics) == MAX_METRICS + 1
    assert report.dropped == 5


def test_5000_names_take_bounded_space() -> None:
    report = told(*(Observation({f"m{i}": 1.0}) for i in range(5000)), seen(0.5))
    assert len(report.metrics) == MAX_METRICS + 1
    assert report.dropped == 5000 - MAX_METRICS
    assert report.metrics["accuracy"].latest == 0.5


def word(seq: int | None = None, **values: float) -> LastWord:
    return LastWord({n: MetricTrack(v, v, v, 9.0) for n, v in values.items()}, seq, "Completed")


def test_a_newer_last_word_adds_what_the_log_lost() -> None:
    report = told(seen(1, 0), seen(5, 1))
    report.close(LastWord({"accuracy": MetricTrack(3, 0.5, 5, 9.0)}, seq=4))
    track = report.metrics["accuracy"]
    assert report.complete
    assert report.missing == 3
    assert (track.latest, track.min, track.max, track.count) == (3, 0.5, 5, 3)


def test_a_last_word_that_is_no_newer_changes_nothing() -> None:
    report = told(seen(1, 0), seen(5, 1))
    report.close(word(seq=1, accuracy=3))
    assert report.metrics["accuracy"].latest == 5
    assert report.missing == 0


def test_the_last_word_alone_is_enough() -> None:
    report = RunReport()
    report.close(word(seq=None, accuracy=3))
    assert report.metrics["accuracy"].latest == 3


def test_a_last_word_with_nan_is_not_stored() -> None:
    report = RunReport()
    report.close(word(accuracy=math.nan))
    assert report.not_finite is not None
    assert not report.metrics


def test_a_last_word_keeps_the_bounds_on_the_number_of_metrics() -> None:
    report = told(*(Observation({f"m{i}": 1.0}) for i in range(MAX_METRICS)))
    report.close(word(extra=1, accuracy=2))
    assert "extra" not in report.metrics
    assert report.metrics["accuracy"].latest == 2


def test_a_last_word_has_the_folds_that_the_log_lost() -> None:
    report = RunReport.empty(IN_ONE_POD)
    report.add(Observation({"accuracy": 0.5}, seq=0, fold=0))
    of_folds = [0.7, [0.8, 0.1, 0.9], "Infinity", None]
    text = json.dumps({"seq": 5, "fold": 2, "folds": {"accuracy": of_folds, "f1": 3, "": [1]}})
    report.close(last_word(text, frozenset({"accuracy"})))
    assert report.missing == 5
    seen = {fold: (m.latest, m.min, m.max) for fold, m in tracks(report).items()}
    assert seen == {0: (0.7, 0.5, 0.7), 1: (0.8, 0.1, 0.9)}
    assert report.not_finite == ("accuracy", math.inf, None)
    assert sorted(report.folds_done) == [0, 1]


def test_a_last_word_of_more_folds_than_there_are_is_bounded() -> None:
    report = RunReport.empty(IN_ONE_POD)
    report.close(last_word(json.dumps({"folds": {"accuracy": [1.0] * 1000}})))
    assert sorted(report.folds) == [0, 1, 2]


def test_a_pod_of_one_fold_need_not_say_which() -> None:
    report = RunReport.of(["accuracy"])
    report.add(Observation({"accuracy": 0.5}, fold=7))
    report.close(last_word(json.dumps({"seq": 1, "fold": 7, "folds": {"accuracy": [0.1]}})))
    assert (report.metrics["accuracy"].latest, report.folds, report.hint) == (0.5, {}, None)


def tracks(report: RunReport) -> dict[int, MetricTrack]:
    return {f: r.metrics["accuracy"] for f, r in report.folds.items() if r.metrics}


# Termination messages.


@pytest.mark.parametrize(
    "message",
    [
        None,
        "",
        "Traceback (most recent call last):",
        "{",
        "[]",
        "null",
        '{"metrics": ' + "[" * 3000,
        '{"metrics": {"a": {"latest": 1}}'.ljust(5 * 1024, "x"),
        json.dumps({"seq": 1, "message": "x" * 5000})[:4096],
    ],
)
def test_garbage_is_no_last_word(message: str | None) -> None:
    assert last_word(message) is None


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({}, LastWord({})),
        ({"seq": 3, "reason": "Completed"}, LastWord({}, 3, "Completed")),
        ({"seq": True, "reason": "two words"}, LastWord({}, message="two words")),
        ({"reason": "Preempted", "message": "not I"}, LastWord({}, message="Preempted: not I")),
        ({"seq": "3", "reason": 7, "message": 8}, LastWord({}, message="8")),
        ({"reason": "A" * 2000}, LastWord({}, message="A" * 1024)),
        ({"metrics": [1]}, LastWord({})),
        ({"metrics": {"a": 1, "b": {"latest": "x"}, "c": {"min": 1}}}, LastWord({})),
        ({"metrics": {"a": {"latest": 10**400}}}, LastWord({})),
        ({"metrics": {"n" * 129: {"latest": 1}, "\ud800": {"latest": 1}}}, LastWord({})),
        (
            {"metrics": {"a": {"latest": 2, "min": 1, "max": 3, "step": 5}}},
            LastWord({"a": MetricTrack(2, 1, 3, 5)}),
        ),
        ({"metrics": {"a": {"latest": 2}}}, LastWord({"a": MetricTrack(2, 2, 2, None)})),
        (
            {"metrics": {"a": {"latest": 2, "step": math.nan}}},
            LastWord({"a": MetricTrack(2, 2, 2, None)}),
        ),
    ],
    ids=lambda v: str(v)[:40],
)
def test_a_last_word_is_read_as_far_as_it_makes_sense(
    record: dict[str, Any], expected: LastWord
) -> None:
    assert last_word(json.dumps(record)) == expected


def test_a_last_word_of_what_is_not_finite_counts_where_it_matters() -> None:
    nan = {"latest": "NaN"}
    message = json.dumps({"metrics": {"f1": nan, "eval_loss": nan, "accuracy": nan}})
    found = last_word(message, READER.wanted)
    assert found is not None
    assert set(found.metrics) == {"eval_loss", "accuracy"}


def test_a_message_that_is_no_text_is_made_text() -> None:
    found = last_word('{"message": "\\ud800 and on"}')
    assert found is not None
    assert found.message.encode()
