"""YAML is read here as kubectl reads it, and what is written reads the same in both."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubestudy.api.manifests import ManifestError, dump, load, load_all
from tests.support.surroundings import give_up

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"

# Scalars that one YAML reader or another takes for something else.
TABLE = """
1 0 -1 +1 -0 007 010 08 0o14 0O7 0x1F 0X1f -0x1F 0b11 0B11 -0b11 0b12 0xG 1_000 1__0 _1 1_ 0x_1
-_1 00 0_7 +0x1 +010 0777 0o777 0o8 0x 1.0 1.5 -1.5 +1.5 1. .5 -.5 +.5 ._5 1e3 1E3 1e-4 1.e-4
1.0e-05 5.0e-5 1e+3 -1e-4 .5e2 1e 1e400 1e-400 12e03 1_0.5 1e15 1e18 1e19 1e21 1e22 123456789012
9223372036854775807 9223372036854775808 18446744073709551616 -9223372036854775808
-9223372036854775809 1.7976931348623157e308 0.1 0.30000000000000004 1.152921504606846976e18
y Y n N yes Yes YES no No NO on On ON off Off OFF true True TRUE tRUE false False FALSE yES oN
null Null NULL ~ nULL 'null' "yes" '1' "1e-4" 2020-01-01 2020-01-01T00:00:00Z 2020-13-01
2001-12-14t21:59:43.10Z 12:30 1:30:00 1:2 0.1.2 1-2 + .. . = <<x 1e-4x abc é 1,000 .inf_
Infinity nan NaN
"""
SCALARS = [*TABLE.split(), "!!str 1", "!!str yes", "!!float 1", "!!int 7", "2001-12-14 21:59:43.1"]


def kubectl(text: str, tmp_path: Path) -> Any:
    """What kubectl makes of a manifest, or None where it refuses it."""
    if shutil.which("kubectl") is None:
        give_up("kubectl is not there to compare with")
    file = tmp_path / "manifest.yaml"
    file.write_text(text)
    done = subprocess.run(
        ["kubectl", "annotate", "--local", "-f", str(file), "a=b", "-o", "json"],
        capture_output=True,
        text=True,
        env={**os.environ, "KUBECONFIG": os.devnull},
    )
    return json.loads(done.stdout, parse_int=_integer) if done.returncode == 0 else None


def _integer(text: str) -> float:
    """Go writes a float without a point where it is whole, however large it is."""
    return int(text) if -(2**63) <= int(text) < 2**63 else float(text)


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same JSON: 1 and 1.0 are two kinds, and so are 1 and true."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def test_scalars_mean_what_they_mean_to_kubectl(tmp_path: Path) -> None:
    assert len(SCALARS) >= 80
    theirs = kubectl(HEAD + "v:\n" + "".join(f"- {s}\n" for s in SCALARS), tmp_path)["v"]
    ours = load("v:\n" + "".join(f"- {s}\n" for s in SCALARS))["v"]
    assert [p for p in zip(SCALARS, theirs, ours, strict=True) if not same(*p[1:])] == []


@pytest.mark.parametrize(
    "text",
    [
        "a: &x {q: 1}\nb: {<<: *x, r: 2}\n",
        "a: &x {q: 1}\nb: {q: 3, <<: *x}\n",
        "a: &x {q: 1}\nb: {<<: [*x, {q: 5, s: 6}]}\n",
        "1: a\ntrue: b\nno: c\n1.5: d\n1e-4: e\n",
        "a: |\n  x\n   y\n\nb: >-\n  x\n  y\n",
        "a: 'it''s'\nb: \"\\u00e9\\n\\x41\"\n",
        "a:\nb: ''\nc: []\nd: {}\n",
        "a: !!binary aGVsbG8=\n",
        "a: !mine x\nb: !mine [1, 2]\n",
        "a: [1, 2,]\nb: {x: 1, y: }\n",
        "? a\n: b\n",
        "a: x # comment\nb: x#no\nc: 'x # y'\n",
        "a: 1.152921504606846976e18\nb: 1e17\n",
        '{"a": 1.0, "b": 1e-4,\n\t"c": "yes"}',
    ],
)
def test_structures_mean_what_they_mean_to_kubectl(text: str, tmp_path: Path) -> None:
    if text.startswith("{"):
        whole = text.replace("{", '{"apiVersion": "v1", "kind": "X", "metadata": {"name": "x"},', 1)
    else:
        whole = HEAD + text
    theirs = kubectl(whole, tmp_path)
    for field in ("apiVersion", "kind", "metadata"):
        del theirs[field]
    assert same(load(text), theirs)


@pytest.mark.parametrize("text", ["a: .inf", "a: -.Inf", "a: .nan", "a: [1", "? [1]\n: 2", "a: *x"])
def test_what_kubectl_refuses_is_refused(text: str, tmp_path: Path) -> None:
    assert kubectl(HEAD + text, tmp_path) is None
    with pytest.raises(ManifestError):
        load(text)


def test_errors_name_line_and_column() -> None:
    with pytest.raises(ManifestError, match="line 3, column 1: key 'a' stands twice"):
        load("a: 1\nb: 2\na: 3\n")
    with pytest.raises(ManifestError, match="line 2, column 2"):
        load("a: [1\nb: 2")
    with pytest.raises(ManifestError, match="character"):
        load("a: \x01")


def test_documents_know_their_lines() -> None:
    assert [(d.data, d.line) for d in load_all("# c\n---\na: 1\n---\n---\nb: on\n...\n")] == [
        ({"a": 1}, 3),
        ({"b": True}, 6),
    ]
    assert load_all("") == []


NASTY = [
    *(s for s in SCALARS if not s.startswith(("'", '"', "!"))),
    *(
        "",
        " ",
        "- a",
        "a: b",
        "#x",
        "$(HOME)",
        '"; rm -rf /',
        "line\nbreak",
        "tab\t",
        "\x85",
        "\u2028",
    ),
    *(
        "trailing ",
        " leading",
        "!x",
        "&x",
        "*x",
        "%x",
        "@x",
        "`x",
        "{",
        "]",
        "?",
        ",",
        "ü",
        "日本",
        "\x07",
    ),
]


def test_strings_survive_being_written(tmp_path: Path) -> None:
    text = dump({"v": NASTY})
    assert load(text)["v"] == NASTY
    assert kubectl(HEAD + text, tmp_path)["v"] == NASTY
    assert yaml.safe_load(text)["v"] == NASTY


def test_numbers_survive_being_written(tmp_path: Path) -> None:
    numbers = [1e-05, 0.1, 1e300, 5, -3, 1.5e-12, True, None, 123456789012345678]
    text = dump({"v": numbers})
    assert same(load(text)["v"], numbers)
    assert kubectl(HEAD + text, tmp_path)["v"] == numbers


@pytest.mark.parametrize(
    "text",
    ["!!int {}", "!!str []", "!!float []", "!!bool {a: 1}", "!!map x", "!!seq x", "a: !!int [1]"],
)
def test_a_tag_that_does_not_fit_its_value_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match="does not fit"):
        load(text)
