"""Cross-validation means what it means in scikit-learn: GridSearchCV on the same splits."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.examples.test_examples import kubestudy

PROGRAM = Path(__file__).with_name("nearest_neighbours.py")
RUNS = {"PodPerFold": 54, "OnePod": 18}
STUDY = f"""\
apiVersion: kubestudy.dev/v1alpha1
kind: Study
metadata: {{name: neighbours}}
spec:
  objectives:
    - {{metric: neg_log_loss, direction: Maximize}}
  parameters:
    - {{name: n_neighbors, values: [5, 15, 45]}}
    - {{name: algorithm, choices: [ball_tree, kd_tree]}}
    - {{name: p, values: [1, 2, 3]}}
  algorithm: {{type: Grid}}
  crossValidation: {{folds: 3, seed: 11, discard: None, execution: EXECUTION}}
  budget: {{parallelism: 2}}
  trial:
    command: [python, '{PROGRAM}']
"""

Record = dict[str, Any]


@pytest.fixture(scope="module")
def theirs() -> list[Record]:
    """What GridSearchCV finds."""
    ran = subprocess.run(
        # The environment that trials run in, which has scikit-learn.
        ["python", str(PROGRAM), "--reference", "3", "11"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[Record] = json.loads(ran.stdout)
    return found


@pytest.fixture(scope="module", params=RUNS)
def execution(request: pytest.FixtureRequest) -> str:
    """Where the folds of a trial run."""
    return str(request.param)


@pytest.fixture(scope="module")
def results(execution: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the results of the same search as a Study."""
    folder = tmp_path_factory.mktemp("neighbours")
    (folder / "study.yaml").write_text(STUDY.replace("EXECUTION", execution))
    ran = kubestudy("run", str(folder / "study.yaml"), "--results", str(folder / "results"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder / "results"


@pytest.fixture(scope="module")
def ours(results: Path) -> list[Record]:
    told = kubestudy("export", "neighbours", "--results", str(results), "-o", "jsonl")
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def point(parameters: Record) -> tuple[Any, ...]:
    return tuple(parameters[name] for name in ("n_neighbors", "algorithm", "p"))


def test_a_grid_of_18_points_on_3_folds_is_54_runs_or_18(
    execution: str, results: Path, ours: list[Record]
) -> None:
    assert len(ours) == 18 and {t["state"] for t in ours} == {"Succeeded"}
    assert [t["runs"] for t in ours] == [RUNS[execution] // 18] * 18
    assert len(list((results / "neighbours" / "logs").glob("*.log"))) == RUNS[execution]


def test_mean_std_and_rank_of_each_point_are_those_of_grid_search_cv(
    theirs: list[Record], ours: list[Record]
) -> None:
    by_point = {point({n.removeprefix("parameters."): v for n, v in t.items()}): t for t in ours}
    assert len(by_point) == len(theirs) == 18
    for wanted in theirs:
        found = by_point[point(wanted["parameters"])]
        folds = [found[f"folds.{i}.neg_log_loss"] for i in range(3)]
        assert folds == pytest.approx(wanted["folds"], abs=1e-12)
        assert found["objectives.neg_log_loss"] == pytest.approx(wanted["mean"], abs=1e-12)
        assert found["std.neg_log_loss"] == pytest.approx(wanted["std"], abs=1e-12)
        assert found["rank"] == wanted["rank"]
    assert len({w["rank"] for w in theirs}) == 9, "each point has one that it ties with"


def test_the_best_is_the_one_that_grid_search_cv_would_refit(
    theirs: list[Record], results: Path
) -> None:
    told = kubestudy("best", "neighbours", "--results", str(results), "-o", "json")
    (wanted,) = [w for w in theirs if w["best"]]
    best = json.loads(told.stdout)
    assert best["objectives"][0]["value"] == pytest.approx(wanted["mean"], abs=1e-12)
    assert point(best["parameters"])[::2] == point(wanted["parameters"])[::2]
