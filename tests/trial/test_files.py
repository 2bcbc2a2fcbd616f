"""Tables in files, read as they are."""

from pathlib import Path

import pytest

from kubestudy_trial.failures import DataUnavailable, InvalidArgument
from kubestudy_trial.files import read_table


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", 'text,label\n"Fish, chips",NA\nnull,ja\n'),
        ("a.tsv", "text\tlabel\nFish, chips\tNA\nnull\tja\n"),
        ("a.jsonl", '{"text": "Fish, chips", "label": "NA"}\n\n{"text": "null", "label": "ja"}\n'),
        ("bom.csv", '\ufefftext,label\n"Fish, chips",NA\nnull,ja\n'),
    ],
)
def test_words_stay_words(tmp_path: Path, name: str, text: str) -> None:
    table = read_table(written(tmp_path, name, text))
    assert table == {"text": ["Fish, chips", "null"], "label": ["NA", "ja"]}


def test_a_long_text_with_line_breaks_is_one_value(tmp_path: Path) -> None:
    text = "line\n" * 100_000
    assert read_table(written(tmp_path, "a.csv", f'text,label\n"{text}",x\n'))["text"] == [text]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "text,label\na,b\na,b,c\n", "a.csv:3: 3 values for 2 columns"),
        ("a.csv", "text,label\n", "no rows"),
        ("a.jsonl", '{"text": "a"}\n{"text"\n', "a.jsonl:2"),
        ("a.jsonl", "[1]\n", "one JSON object"),
        ("a.jsonl", '{"text": "a"}\n{"body": "b"}\n', "row 2 has the columns body, not text"),
        ("a.xlsx", "", "ends in one of .csv"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        read_table(written(tmp_path, name, text))


def test_bytes_that_are_no_utf8_are_the_users_mistake(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\n\xff,a\n")
    with pytest.raises(InvalidArgument, match="UTF-8"):
        read_table(path)


def test_a_missing_file_is_unavailable_data(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match="volume"):
        read_table(tmp_path / "missing.csv")
