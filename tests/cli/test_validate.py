"""``kubestudy validate`` says offline what the cluster would say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import GRID, Invoke

WRONG = sorted((Path(__file__).parents[1] / "wrong_manifests").glob("*.yaml"))
EXAMPLES = sorted((Path(__file__).parents[2] / "manifests/examples").glob("*.yaml"))


@pytest.mark.parametrize("manifest", WRONG, ids=lambda p: p.stem)
def test_a_wrong_manifest_is_refused_by_its_field(manifest: Path, invoke: Invoke) -> None:
    first = manifest.read_text().splitlines()[0]
    field, _, message = first.removeprefix("# expect:").partition("|")
    result = invoke("validate", str(manifest))
    assert result.exit_code == 2
    assert [
        line
        for line in result.stdout.splitlines()
        if line.startswith(f"{manifest}: ")
        and field.strip() in line
        and message.strip().lower() in line.lower()
    ], result.stdout


def test_there_are_enough_wrong_manifests() -> None:
    assert len(WRONG) >= 25


def test_a_valid_manifest_is_told_in_a_line(invoke: Invoke) -> None:
    Path("grid.yaml").write_text(GRID)
    result = invoke("validate", "grid.yaml")
    assert result.exit_code == 0
    assert result.stdout == (
        "grid.yaml: Study grid is valid: Grid search, 4 at once, maximize accuracy\n"
    )


def test_standard_input_and_all_documents_are_checked(invoke: Invoke) -> None:
    other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: data}\n"
    wrong = GRID.replace("type: Grid", "type: Gird")
    result = invoke("validate", "-", input="---\n".join([GRID, other, wrong]))
    assert result.exit_code == 2
    first, second, third = result.stdout.splitlines()
    assert first == "stdin[0]: Study grid is valid: Grid search, 4 at once, maximize accuracy"
    assert second == "stdin[1]: ConfigMap data: not a Study, not checked"
    assert third.startswith("stdin[2]: spec.algorithm.type: unknown algorithm 'Gird' (did you mean")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1\nb: 2", "wrong.yaml: line 2, column 2: "),
        ("a: 1\na: 2", "wrong.yaml: line 2, column 1: key 'a' stands twice in one object"),
        ("a:\n\tb: 1", "wrong.yaml: line 2, column 1: a tab, which YAML does not allow here"),
        ("a:\n  b: 1\n \tc: 2", "wrong.yaml: line 3, column 2: a tab, which YAML does not allow"),
        ("- a:\n-\tb: 1", "wrong.yaml: line 2, column 2: a tab, which YAML does not allow here"),
        ("a: @b", "wrong.yaml: line 1, column 4: '@' cannot begin a value: put it in quotes"),
        ("a: b: c", "wrong.yaml: line 1, column 5: a colon where no field may begin"),
        ("a: {{ .Values.x }}", "wrong.yaml: line 1, column 5: {{ ... }} is a template, not YAML"),
        ("kind: List\nitems: 5", "wrong.yaml: apiVersion: must be 'kubestudy.dev/v1alpha1'"),
        ("", "wrong.yaml: holds no object; a Study begins with apiVersion: kubestudy.dev/v1alpha1"),
        (
            "apiVersion: kubeflow.org/v1beta1\nkind: Experiment\nmetadata: {name: e}",
            "wrong.yaml: kind: a Katib Experiment is no Study: write one",
        ),
        ("method: bayes\nmetric: {name: a}", "method, metric belong to W&B: see docs/other-tools"),
        ("just text", "wrong.yaml: is not an object"),
        ("kind: Study", "wrong.yaml: apiVersion: must be 'kubestudy.dev/v1alpha1'"),
        ("apiVersion: kubestudy.dev/v1beta9\nkind: Study", "wrong.yaml: apiVersion: must be"),
        (GRID.replace("Study", "Sutdy"), "wrong.yaml: kind: must be 'Study', not 'Sutdy'"),
        (GRID.replace("name: grid", "labels: {}"), "wrong.yaml: metadata.name: is missing"),
        (GRID.replace("name: grid", "name: ../../etc"), "wrong.yaml: metadata.name: must be a"),
    ],
)
def test_what_is_no_study_is_told(text: str, told: str, invoke: Invoke) -> None:
    Path("wrong.yaml").write_text(text)
    result = invoke("validate", "wrong.yaml")
    assert result.exit_code == 2
    assert told in result.stdout


def test_a_missing_file_and_one_of_bytes_are_told(invoke: Invoke) -> None:
    Path("bytes.yaml").write_bytes(b"\xff\xfe\x00")
    result = invoke("validate", "none.yaml", "bytes.yaml")
    assert result.exit_code == 2
    assert "none.yaml: No such file or directory" in result.stdout
    assert "bytes.yaml: is not UTF-8" in result.stdout
    assert "byte.yaml: No such file or directory (did you mean bytes.yaml?)" in (
        invoke("validate", "byte.yaml").stdout
    )
    Path("folder").mkdir()
    Path("folder/a.yaml").write_text(GRID)
    assert "folder: Is a directory; give a file of it: a.yaml" in (
        invoke("validate", "folder").stdout
    )


def test_run_says_what_a_file_holds_in_place_of_one_study(invoke: Invoke) -> None:
    Path("job.yaml").write_text("apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\n")
    Path("two.yaml").write_text(f"{GRID}---\n{GRID}")
    none, two = invoke("run", "job.yaml"), invoke("run", "two.yaml")
    assert (none.exit_code, two.exit_code) == (2, 2)
    assert "job.yaml: holds no Studies (Job j), and run takes one; give the file" in none.stderr
    assert "two.yaml: holds 2 Studies (Study grid, Study grid), and run takes one" in two.stderr


def test_it_tells_what_only_the_cluster_can_know(invoke: Invoke) -> None:
    Path("grid.yaml").write_text(
        GRID.replace(
            "  trial:\n", "  trial:\n    image: me/mine\n    outputs: {claimName: models}\n"
        )
    )
    result = invoke("validate", "grid.yaml")
    assert result.exit_code == 0
    assert "spec.trial.image: whether me/mine takes these arguments" in result.stderr
    assert "spec.trial.outputs: whether the claim models exists" in result.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda p: p.stem)
def test_the_examples_are_valid(example: Path, invoke: Invoke) -> None:
    result = invoke("validate", str(example))
    assert result.exit_code == 0, result.stdout
