"""``spec.confirm`` on one machine: the winner of a run, and how it is shown."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.cli.conftest import Finished, Shell

# width=3 is lucky with its own seed only.
STUDY = """\
apiVersion: kubestudy.dev/v1alpha1
kind: Study
metadata: {name: seeds}
spec:
  objectives:
    - {metric: accuracy, direction: Maximize}
  parameters:
    - {name: width, values: [1, 2, 3]}
  algorithm: {type: Grid}
  confirm: {seeds: 2, top: 2}
  budget: {parallelism: 2}
  trial:
    command:
      - sh
      - -c
      - |
        echo "$@" >> "$STARTS/$KUBESTUDY_TRIAL"
        case "$1/${KUBESTUDY_SEED:-none}" in
          --width=3/none) echo accuracy=0.9 ;;
          --width=3/*) echo accuracy=0.3 ;;
          --width=2/1001) echo accuracy=0.6 ;;
          --width=2/*) echo accuracy=0.8 ;;
          *) echo accuracy=0.1 ;;
        esac
      - sh
"""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, Finished]:
    shell = Shell(tmp_path_factory.mktemp("seeds"))
    return shell, shell("run", shell.write(STUDY))


def test_the_best_are_run_again_with_other_seeds(seeds: tuple[Shell, Finished]) -> None:
    shell, done = seeds
    assert done.code == 0, done.err
    assert {f.name: f.read_text().strip() for f in shell.starts.iterdir()} == {
        "seeds-0": "--width=1",
        "seeds-1": "--width=2",
        "seeds-2": "--width=3",
        "seeds-3": "--width=3 --seed=1001",
        "seeds-4": "--width=3 --seed=1002",
        "seeds-5": "--width=2 --seed=1001",
        "seeds-6": "--width=2 --seed=1002",
    }


def test_the_run_tells_what_is_confirmed_and_who_wins(seeds: tuple[Shell, Finished]) -> None:
    _, done = seeds
    lines = done.out.splitlines()
    assert lines[0].endswith(
        "7 trials, 2 at once, maximize accuracy, then the best 2 with 2 other seeds"
    )
    (again,) = [line for line in lines if " seeds-5 " in line]
    assert "accuracy=0.6  width=2  confirms seeds-1 with seed 1001" in again
    assert "best accuracy 0.733333 in seeds-1, confirmed with 2 other seeds" in done.out
    assert "Best: seeds-1 with accuracy 0.7333 ±0.09428, the mean over 3 seeds" in done.out


def test_best_describe_top_and_export(seeds: tuple[Shell, Finished]) -> None:
    shell, _ = seeds
    assert shell("best", "seeds", "-o", "args").out == "--width=2\n"
    assert "the mean over 3 seeds" in shell("best", "seeds").out
    best = json.loads(shell("best", "seeds", "-o", "json").out)
    assert (best["trial"], best["seeds"]) == ("seeds-1", 3)
    told = shell("describe", "seeds").out
    assert "Confirm:     the best 2 with 2 other seeds" in told
    assert "Confirms:    seeds-2 with seed 1001" in shell("describe", "seeds-3").out
    rows = [line.split("   ") for line in shell("top", "seeds").out.splitlines()]
    found = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert found[0][:4] == ["TRIAL", "RANK", "STATE", "CONFIRMS"]
    assert [row[:4] for row in found[1:5]] == [
        ["seeds-2", "1", "Succeeded", "-"],
        ["seeds-1", "2", "Succeeded", "-"],
        ["seeds-0", "3", "Succeeded", "-"],
        ["seeds-3", "-", "Succeeded", "seeds-2 with seed 1001"],
    ]
    data = list(csv.DictReader(io.StringIO(shell("export", "seeds").out)))
    assert [(r["confirms"], r["seed"], r["rank"]) for r in data][2:4] == [
        ("", "", "1"),
        ("seeds-2", "1001", ""),
    ]
