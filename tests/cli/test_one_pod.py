"""``execution: OnePod`` on one machine: one process trains all folds of a trial."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Finished, Shell

# The first try of width=2 is cut off in its second fold; width=3 is hopeless from its first on.
STUDY = """\
apiVersion: kubestudy.dev/v1alpha1
kind: Study
metadata: {name: pods}
spec:
  objectives:
    - {metric: accuracy, direction: Maximize}
  parameters:
    - {name: width, values: [1, 2, 3]}
  algorithm: {type: Grid}
  crossValidation: {folds: 3, execution: OnePod}
  trial:
    command:
      - sh
      - -c
      - |
        echo "$KUBESTUDY_FOLD of $KUBESTUDY_FOLDS" >> "$STARTS/$KUBESTUDY_TRIAL"
        first=$((5 - 2 * ($1 - 2) * ($1 - 2)))
        for fold in $(echo "$KUBESTUDY_FOLD" | tr , ' '); do
          echo "accuracy=0.$((first + fold * (3 - $1))) fold=$fold"
          case "width $1, attempt $KUBESTUDY_ATTEMPT, fold $fold" in
            "width 2, attempt 0, fold 1") exit 75 ;;
            "width 3, attempt 0, fold 1") exec sleep 60 ;;
          esac
        done
      - sh
    args: ["${parameters.width}"]
"""


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, Finished]:
    shell = Shell(tmp_path_factory.mktemp("pods"))
    return shell, shell("run", shell.write(STUDY))


def test_a_process_is_told_the_folds_that_are_left(pods: tuple[Shell, Finished]) -> None:
    shell, done = pods
    assert done.code == 0, done.err
    assert {f.name: f.read_text().splitlines() for f in shell.starts.iterdir()} == {
        "pods-0": ["0,1,2 of 3"],
        "pods-1": ["0,1,2 of 3", "1,2 of 3"],
        "pods-2": ["0,1,2 of 3"],
    }


def test_a_hopeless_trial_is_stopped_while_it_runs(pods: tuple[Shell, Finished]) -> None:
    shell, done = pods
    told = shell("describe", "pods-2").out
    assert "Stopped: Discarded" in told
    assert "pods-2  stopped" in done.out


def test_the_folds_are_shown_with_their_values(pods: tuple[Shell, Finished]) -> None:
    shell, _ = pods
    told = shell("describe", "pods-1").out
    _, _, table = told.partition("Folds:\n")
    rows = [line.split() for line in table.splitlines()[:4]]
    assert rows == [
        ["FOLD", "OBJECTIVES"],
        ["0", "accuracy", "0.5"],
        ["1", "accuracy", "0.6"],
        ["2", "accuracy", "0.7"],
    ]
    assert "3 in one pod, discard Forgiving" in shell("describe", "pods").out


def test_the_export_has_the_folds_of_all_attempts(pods: tuple[Shell, Finished]) -> None:
    shell, _ = pods
    records = [json.loads(r) for r in shell("export", "pods", "-o", "jsonl").out.splitlines()]
    (retried,) = [r for r in records if r["trial"] == "pods-1"]
    assert [retried[f"folds.{fold}.accuracy"] for fold in range(3)] == [0.5, 0.6, 0.7]
    assert retried["objectives.accuracy"] == pytest.approx(0.6)
    assert (retried["runs"], retried["rank"]) == (2, 1)
