"""From tables to texts with numbered labels."""

import json
from pathlib import Path

import pytest

from kubestudy_trial import data
from kubestudy_trial.arguments import Options
from kubestudy_trial.failures import InvalidArgument


def load(folder: Path, rows: list[dict[str, object]], **options: object) -> data.Corpus:
    """Load rows as both the training and the validation data, which needs no splitting."""
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    given = Options(train_file=str(path), validation_file=str(path), **options)  # type: ignore[arg-type]
    return data.split(data.load(given), given, None)


def test_labels_are_numbered_in_their_order(tmp_path: Path) -> None:
    corpus = load(tmp_path, [{"text": t, "label": t} for t in ("tech", "arts", "tech")])
    assert corpus.names == ("arts", "tech")
    assert corpus.train.labels == [1, 0, 1]


def test_numbers_as_labels_are_ordered_as_numbers(tmp_path: Path) -> None:
    corpus = load(tmp_path, [{"text": "a", "label": str(n)} for n in (10, 9, 10)])
    assert corpus.names == ("9", "10")


def test_fractions_make_a_regression(tmp_path: Path) -> None:
    corpus = load(tmp_path, [{"text": "a", "label": n} for n in (1, 2.5)])
    assert corpus.is_regression
    assert corpus.train.labels == [1.0, 2.5]


def test_whole_numbers_are_a_regression_on_demand(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": n} for n in (1, 2)]
    assert not load(tmp_path, rows).is_regression
    assert load(tmp_path, rows, problem_type="regression").is_regression


@pytest.mark.parametrize(
    ("columns", "text", "pair"),
    [
        (("sentence1", "sentence2", "label"), "sentence1", "sentence2"),
        (("id", "premise", "hypothesis", "label"), "premise", "hypothesis"),
        (("id", "text", "label"), "text", None),
        (("anything", "category"), "anything", None),
        (("title", "content", "class"), "content", None),
    ],
)
def test_columns_are_guessed(
    tmp_path: Path, columns: tuple[str, ...], text: str, pair: str | None
) -> None:
    corpus = load(tmp_path, [{name: f"{name}{n}" for name in columns} for n in range(2)])
    assert corpus.train.texts == [f"{text}0", f"{text}1"]
    assert corpus.train.pairs == (None if pair is None else [f"{pair}0", f"{pair}1"])


def test_what_the_user_names_is_taken(tmp_path: Path) -> None:
    rows = [{"text": "no", "mine": f"yes{n}", "extra": "pair", "label": 1, "y": n} for n in (0, 1)]
    corpus = load(tmp_path, rows, text_column="mine", text_pair_column="extra", label_column="y")
    assert corpus.train.texts == ["yes0", "yes1"]
    assert corpus.train.pairs == ["pair", "pair"]
    assert corpus.train.labels == [0, 1]


@pytest.mark.parametrize(
    ("row", "options", "words"),
    [
        ({"text": "a", "label": 1}, {"text_column": "txt"}, "text, label, did you mean text"),
        ({"text": "a", "kind": 1}, {}, "Say --label_column, one of text, kind"),
        ({"one": "a", "two": "b", "label": 1}, {}, "Say --text_column, one of one, two"),
        ({"text": "a", "label": ""}, {}, "row 1 of 1 has no label"),
        ({"text": "a", "label": [1, 2]}, {}, "must be one value"),
        ({"text": "a", "label": "x"}, {}, "the same label"),
        ({"text": "a", "label": "x"}, {"problem_type": "regression"}, "must be numbers"),
    ],
)
def test_what_cannot_be_guessed_is_asked_for(tmp_path: Path, row, options, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        load(tmp_path, [row], **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "no data to train on"),
        ({"task": "mrpc", "train_file": "a.csv"}, "--train_file and --task"),
        ({"task": "mrcp"}, "did you mean mrpc"),
    ],
)
def test_one_source_of_data_is_needed(options: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        data.load(Options(**options))  # type: ignore[arg-type]
