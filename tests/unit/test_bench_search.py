"""The simulated workers that methods are compared on, and kubestudy's own decision on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.search.ours import Kubestudy
from bench.search.problem import Config, Problem
from bench.search.simulator import Run, simulate

PARAMETERS = [{"name": "x", "min": 0.0, "max": 1.0}]


def falling(epochs: int) -> Problem:
    """The loss is x, and 1 / e above it after epoch e."""

    def losses(config: Config) -> list[float]:
        return [config["x"] + 1 / e for e in range(1, epochs + 1)]

    return Problem("falling", PARAMETERS, losses, epochs, 1 / epochs)


class Listed:
    """Starts what it is given, and stops each run after so many epochs."""

    def __init__(self, runs: list[Run], stop_at: int):
        self._runs: Iterator[Run] = iter(runs)
        self._stop_at = stop_at
        self.reports: list[tuple[float, int]] = []

    def next(self, now: float) -> Run | None:
        return next(self._runs, None)

    def report(self, run: Run, loss: float, now: float) -> bool:
        self.reports.append((now, run.epoch))
        return run.epoch < self._stop_at


def test_a_run_pays_its_start_and_then_reports_each_epoch() -> None:
    method = Listed([Run("a", {"x": 0.5})], stop_at=3)
    trace = simulate(method, falling(9), workers=2, startup=3.0, horizon=12.0)
    assert method.reports == [(4.0, 1), (5.0, 2), (6.0, 3)]
    assert trace.busy == pytest.approx(6 / 24)
    assert trace.starting == pytest.approx(3 / 24)
    assert trace.best(3.9) == float("inf")
    assert trace.best(5.5) == 1.0
    assert trace.time_to(0.84) == 6.0


def test_a_run_goes_on_from_its_checkpoint_and_pays_its_start_again() -> None:
    method = Listed([Run("a", {"x": 0.5}, epoch=2)], stop_at=9)
    trace = simulate(method, falling(4), workers=1, startup=1.0)
    assert method.reports == [(2.0, 3), (3.0, 4)]
    assert (trace.resumed, trace.configs) == (1, [])


def test_what_still_runs_at_the_horizon_was_busy_until_then() -> None:
    trace = simulate(Listed([Run("a", {"x": 0.5})], 9), falling(9), 1, startup=2.0, horizon=5.0)
    assert trace.busy == 1.0
    assert trace.starting == pytest.approx(2 / 5)


def test_a_study_of_the_real_decision_runs_every_trial_to_its_end() -> None:
    method = Kubestudy(falling(3), {"type": "Random"}, seed=1, workers=4, trials=10)
    trace = simulate(method, falling(3), workers=4, startup=1.0)
    assert len(trace.configs) == 10
    assert trace.losses[-1] == pytest.approx(min(c["x"] for c in trace.configs) + 1 / 3)
