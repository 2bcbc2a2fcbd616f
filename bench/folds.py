"""What it is worth to spare trials their folds: forgiving discard against full cross-validation.

Random search over C and gamma of an SVM, each point looked up in tables of real scores
(`bench.fold_tables`), compared at equal numbers of fits. Every decision is made by kubestudy's own
``decide``. Run with ``python -m bench.folds``; see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench import fold_tables
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.api.validation import parse_study
from kubestudy.core.acceptance import algorithm_for
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunFacts, RunKey, RunState
from kubestudy.core.names import job_name
from kubestudy.core.plan import CreateTrial, Snapshot, StartRun, StopRun, WriteTrialStatus
from kubestudy.core.reports import Observation, RunReport

CACHE = Path.home() / ".cache" / "kubestudy" / "bench"
START = datetime(2026, 1, 1, tzinfo=UTC)
GOALS = {"configurations": 2.2, "regret": 0.6}
DISCARDS = ("Forgiving", "None")


class Table:
    """Real scores: of each point, on each fold."""

    def __init__(self, data: str, folds: int):
        rows = json.loads((CACHE / f"svc-{data}-{folds}.json").read_text())
        self.folds = folds
        self.scores = {(r["C"], r["gamma"]): r["folds"] for r in rows}
        self.best = max(statistics.fmean(scores) for scores in self.scores.values())


class Search:
    """One Study, its runs looked up in a table; each takes one unit of time."""

    def __init__(self, table: Table, discard: str, seed: int, parallelism: int):
        self._table = table
        self._study = _study(table.folds, discard, seed, parallelism)
        self._trials: dict[str, Trial] = {}
        self._runs: dict[RunKey, RunFacts] = {}
        self._reports: dict[str, RunReport] = {}
        self._now = START
        self.fits = 0

    def step(self) -> None:
        """Ends all runs, and starts those that are decided then."""
        self._now += timedelta(minutes=1)
        for key, facts in self._runs.items():
            trial = self._trials[key.trial].spec.parameters
            score = self._table.scores[trial["C"], trial["gamma"]][key.fold]
            report = RunReport.of(["accuracy"])
            report.add(Observation({"accuracy": score}))
            report.close(None)
            self._reports[job_name(key)] = report
            self._runs[key] = replace(facts, state=RunState.SUCCEEDED, ended=self._now)
            self.fits += 1
        trials = list(self._trials.values())
        runs = list(self._runs.values())
        plan = decide(Snapshot(self._study, trials, runs, self._reports, self._now))
        # All that had ended is in its trial's status now.
        self._runs, self._reports = {}, {}
        for action in plan.actions:
            match action:
                case CreateTrial(trial):
                    self._trials[trial.metadata.name] = trial
                case StartRun(key):
                    job = job_name(key)
                    self._runs[key] = RunFacts(
                        key, job, RunState.RUNNING, pod_uid=job, started=self._now
                    )
                case StopRun():
                    raise AssertionError("no run is at work when it is decided")
                case WriteTrialStatus(name, status, _):
                    self._trials[name] = self._trials[name].model_copy(update={"status": status})
        if plan.status is not None:
            self._study = self._study.model_copy(update={"status": plan.status})

    @property
    def configurations(self) -> int:
        """How many points have had at least one fit."""
        return sum(t.status is not None for t in self._trials.values())

    @property
    def regret(self) -> float:
        """How much worse the best trial is than the best point of the table."""
        best = self._study.status and self._study.status.best
        return self._table.best - (best.objectives[0].value if best else 0.0)


def oracle(table: Table, seed: int, budgets: list[int]) -> list[tuple[int, float]]:
    """The same search if one fold told all: what no rule that looks at each trial can beat.

    Returns:
        The configurations and the regret at each number of fits.
    """
    algorithm = algorithm_for(_study(table.folds, "None", seed, 1), seed)
    told: list[tuple[int, float]] = []
    fits, best = 0, 0.0
    for index in range(len(table.scores)):
        point = algorithm.suggest(index)
        mean = statistics.fmean(table.scores[point["C"], point["gamma"]])
        for _ in range(table.folds if mean > best else 1):
            fits += 1
            if fits in budgets:
                told.append((index + 1, table.best - best))
        best = max(best, mean)
    return told


def _study(folds: int, discard: str, seed: int, parallelism: int) -> Study:
    spec = {
        "objectives": [{"metric": "accuracy", "direction": "Maximize"}],
        "parameters": [
            {"name": "C", "values": fold_tables.COSTS},
            {"name": "gamma", "values": fold_tables.GAMMAS},
        ],
        "algorithm": {"type": "Random", "seed": seed},
        "crossValidation": {"folds": folds, "discard": discard},
        "budget": {"parallelism": parallelism},
        "trial": {"image": "svc"},
    }
    meta = {"name": "svc", "namespace": "bench", "uid": "bench", "generation": 1}
    head = {"apiVersion": "kubestudy.dev/v1alpha1", "kind": "Study", "metadata": meta}
    return parse_study(head | {"spec": spec})


def measure(table: Table, budgets: list[int], seeds: int, parallelism: int) -> list[dict[str, Any]]:
    """Runs both ways with each seed; returns a row for each number of fits."""
    found: dict[tuple[int, str], list[tuple[int, float]]] = {}
    for seed in range(seeds):
        for discard in DISCARDS:
            search = Search(table, discard, seed, parallelism)
            for fits in budgets:
                while search.fits < fits:
                    search.step()
                told = (search.configurations, search.regret)
                found.setdefault((fits, discard), []).append(told)
        for fits, told in zip(budgets, oracle(table, seed, budgets), strict=True):
            found.setdefault((fits, "oracle"), []).append(told)
    rows = []
    for fits in budgets:
        spared, full, limit = (found[fits, way] for way in (*DISCARDS, "oracle"))
        differences = [a - b for (_, a), (_, b) in zip(spared, full, strict=True)]
        regrets = [statistics.fmean(r for _, r in way) for way in (spared, full, limit)]
        counts = [statistics.fmean(c for c, _ in way) for way in (spared, full, limit)]
        rows.append(
            {
                "fits": fits,
                "configurations": counts,
                "regret": regrets,
                "ratios": {
                    "configurations": counts[0] / counts[1],
                    "regret": regrets[0] / regrets[1],
                    "regret of the oracle": regrets[2] / regrets[1],
                },
                "difference": statistics.fmean(differences),
                "standard error": statistics.stdev(differences) / math.sqrt(seeds),
            }
        )
    return rows


def report(title: str, rows: list[dict[str, Any]]) -> bool:
    """Prints the rows of a table; returns whether all goals are met."""
    print(f"{title}\n{'fits':>6} {'configurations':>22} {'mean regret':>22}   ratios")
    met = True
    for row in rows:
        ratios = row["ratios"]
        good = (
            ratios["configurations"] >= GOALS["configurations"]
            and ratios["regret"] <= GOALS["regret"]
        )
        met = met and good
        print(
            f"{row['fits']:6} {row['configurations'][0]:10.1f} | {row['configurations'][1]:9.1f}"
            f" {row['regret'][0]:10.5f} | {row['regret'][1]:9.5f}"
            f"   {ratios['configurations']:.2f} x, {ratios['regret']:.2f}"
            f" {'PASS' if good else 'MISS'}  (oracle: {ratios['regret of the oracle']:.2f})"
        )
    return met


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.folds", description=__doc__)
    parser.add_argument("--data", nargs="*", choices=fold_tables.DATA, default=fold_tables.DATA)
    parser.add_argument("--folds", nargs="*", type=int, default=fold_tables.FOLDS)
    parser.add_argument("--fits", nargs="*", type=int, default=[60, 90, 150, 240])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--parallelism", type=int, default=1)
    parser.add_argument("--python", default="python", help="one that has scikit-learn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    if any(fold_tables.missing(CACHE)):
        subprocess.run([options.python, fold_tables.__file__, CACHE], check=True)
    met, figures = True, {}
    for data in options.data:
        for folds in options.folds:
            title = f"{data}, {folds} folds"
            budgets = sorted(options.fits)
            rows = measure(Table(data, folds), budgets, options.seeds, options.parallelism)
            figures[title] = rows
            met = report(title, rows) and met
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
