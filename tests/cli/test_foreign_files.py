"""Files that somebody else wrote: nothing outside a results folder is read or deleted by them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from kubestudy.api.manifests import MAX_DEPTH, MAX_NODES, ManifestError, load
from kubestudy.local.store import Folder, ForeignFolder
from tests.cli.conftest import GRID, Shell

SMALL = GRID.replace("values: [1.0e-5, 2.0e-5, 5.0e-5]", "values: [1.0e-5]")


@pytest.fixture
def results(shell: Shell) -> Path:
    """The results of a small Study, in an empty folder; beside them something that is not ours."""
    (shell.folder / "precious").mkdir()
    (shell.folder / "precious" / "thesis.tex").write_text("years of work")
    shell.write(SMALL)
    assert shell("run", "study.yaml", "-q").code == 0
    return shell.folder / "results"


@pytest.mark.parametrize("name", ["..", ".", "../precious", "other", ""])
def test_a_study_of_another_name_than_its_folder_is_neither_read_nor_deleted(
    results: Path, shell: Shell, name: str
) -> None:
    file = results / "grid" / "study.yaml"
    file.write_text(file.read_text().replace("name: grid\n", f"name: '{name}'\n", 1))
    for command in (("delete", "grid", "--yes"), ("describe", "grid"), ("best", "grid"), ("get",)):
        result = shell(*command, "--results", "results")
        assert result.code == 1, command
        assert "was not written by `kubestudy run`" in result.err
    assert (results / "grid" / "trials").exists()
    assert (results.parent / "precious" / "thesis.tex").exists()


@pytest.mark.parametrize("given", ["..", "../precious", ".", "/", "grid/.."])
def test_a_name_on_the_command_line_names_nothing_outside_either(
    results: Path, shell: Shell, given: str
) -> None:
    result = shell("delete", given, "--yes", "--results", "results")
    assert result.code == 3, result.err
    assert (results.parent / "precious" / "thesis.tex").exists()
    assert (results / "grid" / "study.yaml").exists()


def test_a_trial_names_no_log_outside(results: Path) -> None:
    file = results / "grid" / "trials" / "grid-0.yaml"
    text = file.read_text()
    file.write_text(text.replace("job: grid-0-0-0-0\n", "job: ../../../precious/thesis\n"))
    with pytest.raises(ForeignFolder, match=r"grid-0\.yaml"):
        Folder(results / "grid").trials()
    file.write_text(text.replace("name: grid-0\n", "name: ../study\n", 1))
    with pytest.raises(ForeignFolder, match=r"grid-0\.yaml"):
        Folder(results / "grid").trials()


def doubled(times: int) -> str:
    """A document of a few lines, each an alias twice of the one before."""
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, times))]
    return "\n".join(lines)


@pytest.mark.parametrize("times", [20, 40, 500])
def test_aliases_do_not_grow_without_bound(times: int) -> None:
    with pytest.raises(ManifestError, match=f"more than {MAX_NODES} values|nested deeper"):
        load(doubled(times))


def test_a_few_aliases_are_fine() -> None:
    assert load("base: &b {image: x}\ntrials: [*b, *b, {<<: *b, gpus: 1}]")["trials"][2] == {
        "image": "x",
        "gpus": 1,
    }


def test_depth_is_bounded_and_a_ring_is_found() -> None:
    load("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))
    for text in ("[" * 5000 + "]" * 5000, "{a: " * MAX_DEPTH + "1" + "}" * MAX_DEPTH, "&a [*a]"):
        with pytest.raises(ManifestError, match="nested"):
            load(text)


def test_validate_is_done_with_a_bomb_at_once(shell: Shell) -> None:
    shell.write(doubled(30) + "\n" + SMALL)
    done = shell("validate", "study.yaml")
    assert done.code == 2
    assert f"more than {MAX_NODES} values" in done.out + done.err


def test_a_spreadsheet_sees_no_formula(shell: Shell) -> None:
    choices = "choices: ['=HYPERLINK(\"http://example.com\")', '@SUM(1)', -1e5x, plain]"
    shell.write(
        SMALL.replace("values: [16, 32]", choices).replace(
            'echo "accuracy=0.$1$2"', 'echo "accuracy=0.5"'
        )
    )
    assert shell("run", "study.yaml", "-q").code == 0
    rows = list(csv.DictReader(io.StringIO(shell("export", "grid").out)))
    cells = {row["parameters.batch"] for row in rows}
    assert cells == {'\'=HYPERLINK("http://example.com")', "'@SUM(1)", "'-1e5x", "plain"}
    assert {row["parameters.lr"] for row in rows} == {"1.0e-05"}, "a number stays one"
