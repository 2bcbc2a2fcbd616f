"""What programs print, each as people's programs do it, and the result that a Study has of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from kubestudy.api.manifests import dump, load
from kubestudy.api.trial import Trial
from kubestudy.cli.views import reason
from kubestudy.local.store import Folder
from tests.cli.conftest import GRID, Finished, Shell

FIRST_LINES = "import sys\nx = float(sys.argv[1].partition('=')[2])\n"


@dataclass(frozen=True)
class Program:
    """A program, and what its trials should give.

    Attributes:
        prints: The program, in Python; ``x`` is its parameter.
        metric: The objective.
        values: Of the parameter.
        results: The objective of each trial.
        spec: Changes to the Study's spec.
    """

    prints: str
    metric: str
    values: list[float]
    results: list[float]
    spec: dict[str, Any]


PROGRAMS = {
    "a table of padded names, as of Trainer.log_metrics": Program(
        """
        for name, value in {"epoch": 3.0, "predict_loss": 0.4, "predict_rougeL": 20 + x,
                            "predict_runtime": "0:01:07.10"}.items():
            print(f"  {name: <26} = {value:>10}")
        """,
        "predict_rougeL",
        [1, 3],
        [21, 23],
        {"constraints": [{"metric": "predict_loss", "max": 0.5}]},
    ),
    "hits, their total and the percentage": Program(
        """
        right = 9000 + int(2000 * x)
        print(f"\\nTest set: Average loss: 0.08, Accuracy: {right}/10000 ({right / 100:.0f}%)\\n")
        """,
        "Accuracy",
        [0.1, 0.2, 0.3, 0.4],
        [92, 94, 96, 98],
        {"objectives": [{"metric": "Accuracy", "direction": "Maximize", "target": 97}]},
    ),
    "a dictionary behind a logging prefix": Program(
        """
        import logging
        logging.basicConfig(format="%(asctime)s - %(levelname)s - %(name)s - %(message)s", level=20)
        for epoch in range(2):
            logging.info(f"epoch {epoch}: {dict(accuracy=0.7, f1=0.5 + x + epoch / 100)}")
        """,
        "f1",
        [0.125, 0.25],
        [0.635, 0.76],
        {},
    ),
    "JSON with numbers in quotes": Program(
        """
        import json, time
        for step in range(3):
            print(json.dumps({"accuracy": str(x + step / 8), "loss": "0.25", "path": "",
                              "global_step": str(step), "timestamp": time.time(), "trial": "0"}))
        """,
        "accuracy",
        [0.5, 0.75],
        [0.75, 1.0],
        {"constraints": [{"metric": "loss", "max": 1}]},
    ),
    "numbers of NumPy 2 and of PyTorch in a dictionary": Program(
        """
        class Number(float):
            def __repr__(self): return f"np.float64({float(self)})"
        class Tensor(float):
            def __repr__(self): return f"tensor({float(self)}, device='cuda:0')"
        print({"eval_loss": Tensor(0.41), "eval_f1": Number(0.5 + x), "epoch": 1.0})
        """,
        "eval_f1",
        [0, 0.25],
        [0.5, 0.75],
        {"constraints": [{"metric": "eval_loss", "max": 1}]},
    ),
    "a wall time in hours, minutes and seconds": Program(
        """
        import datetime
        print({"train_runtime": 4000 / x, "train_loss": 0.3, "epoch": 3.0})
        print(f"train_runtime = {datetime.timedelta(seconds=4000 / x)}")
        """,
        "train_runtime",
        [8, 16, 32],
        [500, 250, 125],
        {"objectives": [{"metric": "train_runtime", "direction": "Minimize"}]},
    ),
    "a bar of a megabyte": Program(
        """
        for i in range(8001):
            bar = "\\u2588" * 10
            print(f"\\rEpoch 0: {i:6}|{bar}| [00:16<00:00, 61.2it/s, v_num=0, train_loss=0.310,"
                  f" val_acc={x + i / 1e5:.3f}]", end="", file=sys.stderr)
        print(file=sys.stderr)
        """,
        "val_acc",
        [0.4, 0.3],
        [0.48, 0.38],
        {},
    ),
}


def run(
    shell: Shell, program: str, values: list[float], **spec: Any
) -> tuple[Finished, list[Trial]]:
    """Runs a Study of a program to its end."""
    lines = [line[8:] for line in program.splitlines()]
    (shell.folder / "train.py").write_text(FIRST_LINES + "\n".join(lines))
    study = load(GRID)
    study["spec"] |= {
        "parameters": [{"name": "x", "values": values}],
        "budget": {"parallelism": 1},
        "trial": {"command": ["python3", "train.py"]},
    } | spec
    done = shell("run", shell.write(dump(study)))
    return done, Folder(shell.folder / "results/grid").trials()


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_what_a_program_prints_is_what_a_study_decides_by(shell: Shell, program: Program) -> None:
    objectives = [{"metric": program.metric, "direction": "Maximize"}]
    spec = {"objectives": objectives} | program.spec
    done, trials = run(shell, program.prints, program.values, **spec)
    assert done.code == 0, done.out + done.err
    assert [t.value(program.metric) for t in trials] == program.results
    assert {t.status.feasible for t in trials if t.status} <= {True, None}


@pytest.mark.parametrize(
    ("program", "hint"),
    [
        (
            """
            print("Test set: Average loss: 0.0800, accuracy: 9200/10000")
            """,
            "accuracy was not read in this line: 'Test set: Average loss: 0.0800, accuracy:"
            " 9200/10000'",
        ),
        (
            """
            print("loss=0.5 acc=0.9")
            """,
            "printed: loss, acc; did you mean acc?",
        ),
        ("", "print a line such as accuracy=0.5 (what is read: docs/metrics.md)"),
    ],
)
def test_a_metric_that_is_missing_is_explained(shell: Shell, program: str, hint: str) -> None:
    program = "\n".join(line.removeprefix("    ") for line in program.splitlines())
    _, (trial,) = run(shell, program, [1])
    word, message = reason(trial)
    assert word == "MetricMissing"
    assert hint in message
    assert hint in " ".join(shell("describe", "grid-0").out.split())


def test_a_search_by_rungs_that_nobody_tells_of_says_so(shell: Shell) -> None:
    program = """
        for epoch in range(1, 4):
            print(f"accuracy={x + epoch}")
        """
    algorithm = {"type": "ASHA", "seed": 1, "resource": {"name": "epochs", "max": 3}}
    space = [{"name": "x", "min": 0, "max": 1}]
    done, trials = run(
        shell, program, [], algorithm=algorithm, parameters=space, budget={"maxTrials": 2}
    )
    assert done.code == 0, done.err
    assert "never reported accuracy together with epoch" in reason(trials[0])[1]
    assert "2 of 2 trials came to no rung" in " ".join(done.out.split())


def test_an_epoch_in_words_is_a_place_in_training(shell: Shell) -> None:
    program = """
        for epoch in range(1, 4):
            print(f"Epoch {epoch}/3: accuracy={x * epoch}", flush=True)
        """
    algorithm = {"type": "ASHA", "seed": 1, "resource": {"name": "epochs", "max": 3}}
    space = [{"name": "x", "min": 0, "max": 1}]
    done, (trial, *_) = run(
        shell, program, [], algorithm=algorithm, parameters=space, budget={"maxTrials": 1}
    )
    assert done.code == 0, done.err
    assert trial.status and [r.resource for r in trial.status.rungs or ()] == [1, 3]
    assert "came to no rung" not in done.out
