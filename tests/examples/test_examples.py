"""Every example is valid, and those that need no model hub are run: real models, real texts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kubestudy.api.manifests import load
from kubestudy.api.validation import parse_study
from kubestudy.core.acceptance import problems

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "manifests" / "examples").glob("*.yaml"))


def kubestudy(*args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kubestudy.cli.main", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_valid(path: Path) -> None:
    study = parse_study(load(path.read_text()))
    assert problems(study) == []
    assert study.metadata.name == path.stem, "the name of the file is the name of the Study"


def run(example: str, results: Path, *options: str) -> list[dict[str, Any]]:
    """Runs an example on this machine; returns its trials."""
    path = f"manifests/examples/{example}.yaml"
    ran = kubestudy("run", path, "--results", str(results), *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    told = kubestudy("export", example, "--results", str(results), "-o", "jsonl")
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def test_the_grid_on_news_trains_for_real(tmp_path: Path) -> None:
    trials = run("news-grid", tmp_path, "--max-trials", "2")
    assert [t["state"] for t in trials] == ["Succeeded"] * 2
    # Five classes: a model that has learnt nothing is right once in five.
    assert max(t["objectives.eval_accuracy"] for t in trials) > 0.3
    logs = sorted((tmp_path / "news-grid" / "logs").glob("*.log"))
    for trial, log in zip(trials, logs, strict=True):
        lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
        reports = [json.loads(line) for line in lines]
        last = [r["eval_accuracy"] for r in reports if "eval_accuracy" in r][-1]
        assert trial["objectives.eval_accuracy"] == last


def test_the_random_search_on_news_varies_training_and_architecture(tmp_path: Path) -> None:
    trials = run("news-random", tmp_path, "--max-trials", "3")
    assert [t["state"] for t in trials] == ["Succeeded"] * 3
    assert len({t["parameters.learning_rate"] for t in trials}) == 3
    assert len({t["parameters.num_hidden_layers"] for t in trials}) > 1
    assert all(1e-5 <= t["parameters.learning_rate"] <= 1e-2 for t in trials)
