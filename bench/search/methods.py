"""The methods by name, ours and the peers', with the settings that they are compared with."""

from __future__ import annotations

from collections.abc import Callable

import optuna

from bench.search.ours import Kubestudy
from bench.search.peers import Optuna, Ray, SyneTune
from bench.search.problem import Config, Problem
from bench.search.simulator import Method
from kubestudy.algorithms import available

ETA = 3
Make = Callable[[Problem, int, int, int], Method]
"""Makes a method from a problem, a seed, the number of workers and the most trials."""


def _ours(type_: str, resource: bool = False, **more: object) -> Make:
    def make(problem: Problem, seed: int, workers: int, trials: int) -> Method:
        algorithm: Config = {"type": type_, **more}
        if resource:
            algorithm["resource"] = {"name": "epochs", "max": problem.epochs, "eta": ETA}
        return Kubestudy(problem, algorithm, seed, workers, trials)

    return make


def _optuna_hyperband(problem: Problem, seed: int, workers: int, trials: int) -> Method:
    pruner = optuna.pruners.HyperbandPruner(1, problem.epochs, ETA)
    return Optuna(problem, seed, pruner=pruner, trials=trials)


METHODS: dict[str, Make] = {
    f"kubestudy {type_}": _ours(type_)
    for type_ in ("TPE", "GP", "CMA-ES", "Random", "Sobol")
    if type_ in available()
}
METHODS |= {
    f"kubestudy {type_}": _ours(type_, True, **more)
    for type_, more in {
        "Hyperband": {"settings": {"iterations": 1000}},
        "ASHA": {},
        "BOHB": {"settings": {"iterations": 1000}},
    }.items()
    if type_ in available()
}
if "Hyperband" in available():
    METHODS["kubestudy Hyperband, synchronous"] = _ours(
        "Hyperband", True, synchronous=True, settings={"iterations": 1000}
    )
    METHODS["kubestudy ASHA with TPE"] = _ours("ASHA", True, settings={"sampler": "TPE"})
    METHODS["kubestudy ASHA, random points"] = _ours("ASHA", True, settings={"sampler": "Random"})
METHODS |= {
    "Optuna TPE": lambda p, seed, _, n: Optuna(p, seed, trials=n),
    "Optuna TPE, ordered lists": lambda p, seed, _, n: Optuna(p, seed, trials=n, ordered=True),
    "Optuna CMA-ES": lambda p, seed, _, n: Optuna(
        p, seed, optuna.samplers.CmaEsSampler(seed=seed), trials=n
    ),
    "Optuna random": lambda p, seed, _, n: Optuna(
        p, seed, optuna.samplers.RandomSampler(seed=seed), trials=n
    ),
    "Optuna Hyperband": _optuna_hyperband,
    "Ray ASHA": lambda p, seed, _, n: Ray(p, seed),
    "Syne Tune ASHA": lambda p, seed, _, n: SyneTune(p, seed, "ASHA"),
    "Syne Tune ASHA, own points": lambda p, seed, _, n: SyneTune(p, seed, "ASHA", own=True),
    "Syne Tune BOHB, own points": lambda p, seed, _, n: SyneTune(p, seed, "BOHB", own=True),
}


def is_ours(method: str) -> bool:
    """Whether a method is kubestudy's own."""
    return method.startswith("kubestudy")
