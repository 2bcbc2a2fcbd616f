"""What is compared with what: the parts of the bench."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.search.comparison import Case

POINTS = ("kubestudy TPE", "kubestudy Random", "Optuna TPE", "Optuna TPE, ordered lists")
ON_BBOB = (
    "kubestudy TPE",
    "kubestudy Random",
    "Optuna TPE",
    "kubestudy GP",
    "kubestudy CMA-ES",
    "Optuna CMA-ES",
)
RUNGS = (
    "kubestudy Hyperband",
    "kubestudy ASHA",
    "kubestudy BOHB",
    "kubestudy ASHA with TPE",
    "kubestudy ASHA, random points",
    "Optuna Hyperband",
    "Ray ASHA",
    "Syne Tune ASHA",
    "Syne Tune ASHA, own points",
    "Syne Tune BOHB, own points",
)
HORIZONS = {8: 108.0, 32: 54.0}
"""Time of the budget in epochs, by the number of workers."""


@dataclass(frozen=True)
class Experiment:
    """One part.

    Attributes:
        cases: All its cases.
        quick: Those of them that ``--quick`` runs.
        seeds: How many seeds each has.
    """

    cases: list[Case]
    quick: Callable[[Case], bool]
    seeds: int


def experiments() -> dict[str, Experiment]:
    """The parts by name."""
    from bench.search.curves import DATASETS
    from bench.search.functions import BBOB, BBOB_DIMENSIONS
    from bench.search.methods import METHODS
    from bench.search.tables import FCNET, NASBENCH

    def points(name: str, problems: list[str], methods: tuple[str, ...]) -> list[Case]:
        return [
            Case(name, problem, method, workers=8, trials=100)
            for problem in problems
            for method in methods
            if method in METHODS
        ]

    def rungs(name: str, problems: list[str]) -> list[Case]:
        return [
            Case(name, problem, method, workers, startup, HORIZONS[workers])
            for problem in problems
            for workers in HORIZONS
            for startup in (0.0, 3.0)
            for method in RUNGS
            if method in METHODS
        ]

    busy = [
        # A continuous space, since a table would be used up.
        Case("busy", "hartmann/6", method, workers, startup=3.0, horizon=81.0)
        for workers in (1, 4, 32, 81)
        for method in ("kubestudy Hyperband", "kubestudy Hyperband, synchronous")
        if method in METHODS
    ]
    fcnet = [f"fcnet/{d}" for d in FCNET]
    nas = [f"nasbench/{d}" for d in NASBENCH]
    bbob = [f"bbob/{f}/{d}" for d in BBOB_DIMENSIONS for f in BBOB]
    curves = [f"curves/{d}" for d in DATASETS]
    return {
        "fcnet": Experiment(points("fcnet", fcnet, POINTS), lambda c: True, 20),
        "nasbench": Experiment(points("nasbench", nas, POINTS), lambda c: True, 20),
        "bbob": Experiment(points("bbob", bbob, ON_BBOB), lambda c: c.problem.endswith("/5"), 10),
        "curves": Experiment(
            rungs("curves", curves),
            lambda c: c.problem.endswith("/digits") and c.workers == 8,
            40,
        ),
        "hartmann": Experiment(rungs("hartmann", ["hartmann/6"]), lambda c: c.workers == 8, 10),
        "busy": Experiment(busy, lambda c: c.workers <= 32, 3),
    }
