"""Several objectives and constraints on the command line, from a run to its results."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Finished, Shell

# The larger the model, the more accurate, the slower and the larger in memory.
STUDY = """\
apiVersion: kubestudy.dev/v1alpha1
kind: Study
metadata: {name: sizes}
spec:
  objectives:
    - {metric: accuracy, direction: Maximize}
    - {metric: latency, direction: Minimize}
  constraints:
    - {metric: memory, max: 50}
  parameters:
    - {name: layers, values: [2, 4, 6, 8]}
    - {name: width, values: [1, 3]}
  algorithm: {type: Grid}
  budget: {parallelism: 4}
  trial:
    command: [sh, -c, 'echo "{\\"accuracy\\": 0.$1$2, \\"latency\\": $1, \\"memory\\": $1$2}"', sh]
    args: ["${parameters.layers}", "${parameters.width}"]
"""


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, Finished]:
    shell = Shell(tmp_path_factory.mktemp("sizes"))
    return shell, shell("run", shell.write(STUDY))


def test_a_run_ends_with_the_front(sizes: tuple[Shell, Finished]) -> None:
    _, done = sizes
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == (
        "sizes: Grid search, 8 trials, 4 at once, maximize accuracy and minimize latency"
        " with memory <= 50"
    )
    (slow,) = [line for line in lines if line.startswith("[") and " sizes-7 " in line]
    assert "accuracy=0.83 latency=8 (not feasible)" in slow
    front = done.out[done.out.index("Pareto front:") :].splitlines()
    assert [line.split() for line in front[1:4]] == [
        ["TRIAL", "ACCURACY", "LATENCY", "LAYERS", "WIDTH"],
        ["sizes-3", "0.43", "4", "4", "3"],
        ["sizes-1", "0.23", "2", "2", "3"],
    ]


def test_best_shows_the_front_or_one_of_it(sizes: tuple[Shell, Finished]) -> None:
    shell, _ = sizes
    assert "sizes-1" in shell("best", "sizes").out
    assert shell("best", "sizes", "-o", "args").out == "--layers=4 --width=3\n"
    fastest = shell("best", "sizes", "--by", "latency", "-o", "json").out
    assert json.loads(fastest)["parameters"] == {"layers": 2, "width": 3}
    wrong = shell("best", "sizes", "--by", "memory")
    assert wrong.code == 2 and "there are accuracy, latency" in wrong.err


def test_describe_tells_front_hypervolume_and_feasibility(sizes: tuple[Shell, Finished]) -> None:
    shell, _ = sizes
    told = shell("describe", "sizes").out
    for part in (
        "Objective:   maximize accuracy and minimize latency",
        "Constraints: memory <= 50",
        "Best:        sizes-3 with accuracy 0.43, latency 4",
        "Pareto front:",
        "Hypervolume: ",
        "ParetoFrontChanged",
    ):
        assert part in told
    trial = shell("describe", "sizes-5").out
    for part in ("Feasible:    no", "memory   63      memory <= 50", "Rank:        6"):
        assert part in trial


def test_export_has_ranks_feasibility_and_the_course_of_the_hypervolume(
    sizes: tuple[Shell, Finished],
) -> None:
    shell, _ = sizes
    rows = list(csv.DictReader(io.StringIO(shell("export", "sizes").out)))
    assert [r["rank"] for r in rows] == ["3", "1", "3", "1", "5", "6", "7", "8"]
    assert [r["feasible"] for r in rows] == ["True"] * 4 + ["False"] * 4
    assert rows[4]["constraints.memory"] == "61"
    status = json.loads(shell("get", "sizes", "-o", "json").out)["status"]
    volumes = sorted(float(r["hypervolume"]) for r in rows)
    assert volumes[-1] == pytest.approx(status["hypervolume"]["value"]) and volumes[0] >= 0


def test_where_nothing_is_feasible_that_is_said(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    done = shell("run", shell.write(STUDY.replace("max: 50", "max: 5")))
    assert "no trial is feasible: the nearest, sizes-0, has memory = 21 (max 5)" in done.out
    best = shell("best", "sizes")
    assert best.code != 0 and "none is feasible" in best.err
