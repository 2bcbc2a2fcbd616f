"""Runs of methods on problems with seeds, and what came of them."""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

from bench.search.problem import Problem

TIMES = 60
"""At how many times a regret is kept for the plots."""
GOAL = 0.005
"""Time to this regret is measured on learning curves."""


@dataclass(frozen=True)
class Case:
    """One run of one method.

    Attributes:
        experiment: Which part of the bench it belongs to.
        problem: Such as ``curves/digits``.
        method: A name of ``METHODS``.
        workers: How many runs at once.
        startup: Of each run, in epochs.
        horizon: The budget in epochs of time; infinite where ``trials`` ends the run.
        trials: The budget in trials.
        seed: Of the method.
    """

    experiment: str
    problem: str
    method: str
    workers: int
    startup: float = 0.0
    horizon: float = math.inf
    trials: int = 100_000
    seed: int = 0


@dataclass(frozen=True)
class Row:
    """What came of a method over all seeds of a case.

    Attributes:
        regrets: At the end, by seed.
        times: To a regret of ``GOAL``, by seed; the horizon where it was not reached.
        reached: In how many seeds it was.
        distinct: The fewest and the mean number of distinct configurations.
        started: Mean number of trials.
        resumed: Mean number of runs that went on from a checkpoint.
        busy: Mean share of the worker-time in use.
        starting: Mean share of the worker-time that went into start-up.
        course: Mean regret at ``TIMES`` times evenly up to the horizon.
        seconds: Mean time that a run of the simulation took on this machine.
    """

    case: Case
    regrets: list[float]
    times: list[float]
    reached: int
    distinct: tuple[int, float]
    started: float
    resumed: float
    busy: float
    starting: float
    course: list[float]
    seconds: float

    @property
    def regret(self) -> float:
        """The mean regret at the end."""
        return statistics.fmean(self.regrets)

    @property
    def error(self) -> float:
        """The standard error of the mean regret."""
        return standard_error(self.regrets)

    @property
    def time(self) -> float:
        """The mean time to the goal; a lower bound where not all seeds reached it."""
        return statistics.fmean(self.times)

    def to_json(self) -> dict[str, Any]:
        """For the results file; numbers rounded."""
        case = {k: v for k, v in asdict(self.case).items() if k != "seed" and v != math.inf}
        values = {k: v for k, v in asdict(self).items() if k != "case"}
        return (
            case | {"regret": _rounded(self.regret)} | {k: _rounded(v) for k, v in values.items()}
        )


def standard_error(values: Sequence[float]) -> float:
    """The standard error of a mean."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def run(cases: Iterable[Case], seeds: int, processes: int) -> list[Row]:
    """Runs each case with each seed, and says how it goes."""
    cases = list(cases)
    rows = []
    with ProcessPoolExecutor(processes) as pool:
        waiting = [
            (case, [pool.submit(_outcome, replace(case, seed=seed)) for seed in range(seeds)])
            for case in cases
        ]
        for case, futures in waiting:
            outcomes = [f.result() for f in futures]
            rows.append(_row(case, outcomes))
            row = rows[-1]
            print(
                f"{case.experiment} {case.problem} {case.method}, {case.workers} workers,"
                f" start-up {case.startup:g}: regret {row.regret:.4g} +- {row.error:.2g},"
                f" to {GOAL:g} in {row.time:.3g} ({row.reached}/{seeds}), busy {row.busy:.0%},"
                f" {row.started:.0f} trials, {row.resumed:.0f} resumed, {row.seconds:.1f} s",
                file=sys.stderr,
                flush=True,
            )
    return rows


@cache
def problem(name: str) -> Problem:
    """A problem by its name, such as ``bbob/8/5``."""
    from bench.search import curves, functions, tables

    kind, *rest = name.split("/")
    if kind == "fcnet":
        return tables.fcnet(*rest)
    if kind == "hpobench":
        return tables.hpobench(*rest)
    if kind == "nasbench":
        return tables.nasbench(*rest)
    if kind == "bbob":
        return functions.bbob(*map(int, rest))
    if kind == "hartmann":
        return functions.hartmann(*map(int, rest))
    return curves.curves(*rest)


def _outcome(case: Case) -> dict[str, Any]:
    from bench.search.methods import METHODS
    from bench.search.simulator import simulate

    searched = problem(case.problem)
    began = time.process_time()
    method = METHODS[case.method](searched, case.seed, case.workers, case.trials)
    trace = simulate(method, searched, case.workers, case.startup, case.horizon)
    end = case.horizon if case.horizon < math.inf else max(trace.times)
    reached = trace.time_to(searched.optimum + GOAL)
    course = [trace.best(end * (i + 1) / TIMES) - searched.optimum for i in range(TIMES)]
    return {
        "regret": trace.best(end) - searched.optimum,
        "reached": reached <= end,
        "time": min(reached, end),
        "distinct": len({tuple(sorted(c.items())) for c in trace.configs}),
        "started": len(trace.configs),
        "resumed": trace.resumed,
        "busy": trace.busy,
        "starting": trace.starting,
        "course": course,
        "seconds": time.process_time() - began,
    }


def _row(case: Case, outcomes: Sequence[dict[str, Any]]) -> Row:
    def mean(name: str) -> float:
        return statistics.fmean(o[name] for o in outcomes)

    distinct = [o["distinct"] for o in outcomes]
    # Before the first report there is no regret yet.
    course = [
        statistics.fmean(at) if all(map(math.isfinite, at)) else math.nan
        for at in zip(*(o["course"] for o in outcomes), strict=True)
    ]
    return Row(
        case,
        regrets=[o["regret"] for o in outcomes],
        times=[o["time"] for o in outcomes],
        reached=sum(o["reached"] for o in outcomes),
        distinct=(min(distinct), statistics.fmean(distinct)),
        started=mean("started"),
        resumed=mean("resumed"),
        busy=mean("busy"),
        starting=mean("starting"),
        course=course,
        seconds=mean("seconds"),
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.4g}")
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value
