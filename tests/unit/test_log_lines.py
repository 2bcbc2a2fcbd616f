"""The lines of real programs: each is read right or passed over, and none is read wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.sources.log_lines import LineReader
from kubestudy.sources.numbers import number_in
from tests.unit.build import study

TABLE = Path(__file__).with_name("log_lines.txt")
ESCAPES = {r"\r": "\r", r"\t": "\t", r"\e": "\x1b", r"\b": "\b"}


@dataclass(frozen=True)
class Entry:
    """A line of a program, and what is read of it.

    Attributes:
        program: What prints it.
        line: The line.
        reads: The metrics that are wanted; None where one is passed over.
        place: Where in training it says that it is.
    """

    program: str
    line: str
    reads: dict[str, float | None]
    place: float | None


def entries() -> Iterator[Entry]:
    program = ""
    for text in TABLE.read_text().splitlines():
        if text.startswith("## "):
            program = text.removeprefix("## ")
        elif text and not text.startswith("# "):
            told, _, line = text.partition(" | ")
            for escape, character in ESCAPES.items():
                line = line.replace(escape, character)
            words = told.split()
            places = [float(w[1:]) for w in words if w.startswith("@")]
            pairs = [w.split("=") for w in words if not w.startswith("@")]
            reads = {name: None if value == "-" else float(value) for name, value in pairs}
            yield Entry(program, line, reads, places[0] if places else None)


def reader(*metrics: str, **spec: object) -> LineReader:
    objectives = [{"metric": name, "direction": "Maximize"} for name in metrics]
    return LineReader(study(objectives=objectives, **spec).spec)


@pytest.mark.parametrize("entry", list(entries()), ids=lambda e: f"{e.program}: {e.line[:50]}")
def test_a_line_is_read_right_or_passed_over(entry: Entry) -> None:
    observation = reader(*entry.reads).read(entry.line)
    found = observation.metrics if observation else {}
    expected = {name: value for name, value in entry.reads.items() if value is not None}
    # As texts, since NaN is not NaN.
    assert str({n: found[n] for n in entry.reads if n in found}) == str(expected)
    if observation is not None:
        assert observation.step == entry.place


def test_the_table_is_long_enough() -> None:
    table = list(entries())
    assert len(table) >= 150
    assert len({e.program for e in table}) >= 15


# What docs/metrics.md says of it.

PAGE = Path(__file__).parents[2] / "docs/metrics.md"


def promises() -> Iterator[tuple[str, float | None]]:
    """The lines of the page's table, and what it says that they are read as."""
    table = PAGE.read_text().partition("| read | as | passed over | since |")[2]
    for row in table.partition("\n\n")[0].splitlines()[2:]:
        read, number, passed_over, _ = re.split(r" *(?<!\\)\| *", row)[1:5]
        value = re.match(r"[\d.]+", number)
        for cell, expected in ((read, value and float(value[0])), (passed_over, None)):
            if number != "not finite" or cell == passed_over:
                yield from ((span.replace("\\|", "|"), expected) for span in _spans(cell))


def _spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize(("span", "value"), list(promises()))
def test_what_the_page_says_of_a_line_is_true(span: str, value: float | None) -> None:
    names = ("accuracy", "Accuracy", "acc", "loss", "seconds")
    name = next((n for n in names if re.search(rf"\b{n}\b", span)), None)
    observation = reader(name or "accuracy").read(span if name else f"accuracy={span}")
    assert (observation and observation.metrics[name or "accuracy"]) == value


def test_the_page_is_read_at_all() -> None:
    assert len(list(promises())) > 40


# Whatever a number is printed like.

ACCURACY = reader("accuracy")
FORMATS = {
    "as it is": repr,
    "rounded": "{:.4f}".format,
    "short": "{:g}".format,
    "with an exponent": "{:e}".format,
    "signed": "{:+.3e}".format,
    "quoted": "'{!r}'".format,
    "in thousands": "{:,.2f}".format,
    "in the style of others": lambda f: f"{f:.4f}".replace(".", ","),
    "as a percentage": "{:.1%}".format,
    "with a unit": "{:.2f}s".format,
    "by NumPy": "np.float64({!r})".format,
    "by PyTorch": "tensor({:.4f}, device='cuda:0')".format,
    "by JAX": "Array({!r}, dtype=float32)".format,
    "with a deviation": "{:.2f} ± 0.01".format,
    "out of a total": "{:.0f}/10000".format,
    "in a list": "[{!r}, 0.5]".format,
}
LINES = {
    "a pair": "epoch 3: accuracy={} loss=0.5",
    "a pair at the end": "loss: 0.5, accuracy: {}",
    "a table": "  accuracy          =   {}",
    "a dictionary": "INFO epoch 3: {{'loss': 0.5, 'accuracy': {}, 'epoch': 3.0}}",
    "the last of a dictionary": "{{'loss': 0.5, 'accuracy': {}}}",
    "a bar": "40%|####      | 4/10 [00:16<00:24,  2.45it/s, accuracy={}]",
    "a sentence": "Now accuracy: {}.",
}


def is_whole(text: str) -> float | None:
    """The number in a text that is written as a program would read it again."""
    for before, after in (("", ""), ("'", "'"), ("np.float64(", ")"), ("", "%"), ("", " ± 0.01")):
        if text.startswith(before) and text.endswith(after):
            try:
                return float(text.removeprefix(before).removesuffix(after))
            except ValueError:
                continue
    inside = text.partition("(")[2].partition(",")[0]
    try:
        return float(inside)
    except ValueError:
        return None


@given(st.floats(), st.sampled_from(sorted(FORMATS)), st.sampled_from(sorted(LINES)))
def test_a_number_is_read_as_it_was_printed_or_passed_over(
    value: float, way: str, form: str
) -> None:
    text = FORMATS[way](value)
    observation = ACCURACY.read(LINES[form].format(text))
    if observation is not None:
        assert repr(observation.metrics["accuracy"]) == repr(is_whole(text)), text


@given(st.floats(), st.sampled_from(sorted(LINES)))
def test_a_number_as_python_prints_it_is_read(value: float, form: str) -> None:
    observation = ACCURACY.read(LINES[form].format(repr(value)))
    assert observation is not None
    assert repr(observation.metrics["accuracy"]) == repr(value)


garbage = st.text(max_size=8) | st.text("0123456789.,:/-+eE_'%() xM±", max_size=8)


def longest_number(text: str) -> float:
    """The number that the longest beginning of a text is."""
    made_of = "".join(takewhile(lambda c: c in "0123456789.eE+-naif", text))
    for end in range(len(made_of), 0, -1):
        try:
            return float(made_of[:end])
        except ValueError:
            continue
    raise ValueError(text)


@given(
    st.sampled_from(["0.91", "12", "5.", ".5", "1e-05", "-3", "nan"]),
    garbage,
    st.sampled_from(["accuracy=", "accuracy: ", "{'accuracy': "]),
)
def test_beside_whatever_stands_there_a_number_is_never_another_one(
    number: str, beside: str, before: str
) -> None:
    end = "}" if before.startswith("{") else ""
    observation = ACCURACY.read(before + number + beside + end)
    if observation is not None:
        read = observation.metrics["accuracy"]
        assert repr(read) == repr(longest_number(number + beside)), beside


@given(garbage.filter(lambda t: not any(map(str.isalnum, t))), st.sampled_from(["0.91", "12"]))
def test_before_a_number_only_blanks_signs_and_quotes_may_stand(before: str, number: str) -> None:
    observation = ACCURACY.read(f"accuracy={before}{number}")
    if observation is not None:
        read = observation.metrics["accuracy"]
        assert repr(read) == repr(float(before.strip() + number)), before


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("0.5", 0.5),
        (" 0.5 ", 0.5),
        ("1e-05", 1e-5),
        ("-inf", -math.inf),
        ("np.float64(0.5)", 0.5),
        ("tensor(0.5, device='cuda:0')", 0.5),
        ("0.5s", None),
        ("0,5", None),
        ("1_0", None),
        ("1e999", None),
        ("0x10", None),
        ("５", None),
        ("'0.5'", None),
        ("", None),
        (True, None),
        (None, None),
        ([0.5], None),
    ],
)
def test_a_value_of_json_or_of_a_post(value: object, read: float | None) -> None:
    assert number_in(value) == read


@pytest.mark.parametrize(
    ("line", "metrics"),
    [
        ("a=1 a.b=2 b=3", {"a": 1, "a.b": 2, "b": 3}),
        ("a.b=2", {"a.b": 2}),
        ("a.b.c=2", None),
        ("x_a=1 a_x=2 a-x=3 x/a=4 x@a=5", None),
        ("a=1,b=2", {"a": 1, "b": 2}),
        ("a=1 a=2 b=3", {"b": 3}),
        ("a=1 a=2/3 b=3", {"b": 3}),
        ("a: a=1", {"a": 1}),
        ("a=nan a=nan", {"a": math.nan}),
        ("{'a': 1} {'b': 2}", {"a": 1, "b": 2}),
        ("{'a': 1} {'a': 2, 'b': 3}", {"b": 3}),
    ],
)
def test_a_name_is_a_whole_word_and_has_one_value(
    line: str, metrics: dict[str, float] | None
) -> None:
    observation = reader("a", "b", "a.b").read(line)
    assert str(observation.metrics if observation else None) == str(metrics) or (
        observation is not None and observation.metrics == metrics
    )
