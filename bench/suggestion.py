"""How long a suggestion takes: TPE here against Optuna's own ``ask`` on the same history; ASHA.

python -m bench.suggestion                 # at 1,000 and 10,000 trials
python -m bench.suggestion --trials 1000   # only that many

The exit status is 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import optuna

from kubestudy.algorithms.asha import ASHA
from kubestudy.algorithms.base import Observed, SearchAlgorithm
from kubestudy.algorithms.optuna_history import Axis, _Mirror
from kubestudy.algorithms.random import Random
from kubestudy.algorithms.space import SearchSpace
from kubestudy.algorithms.tpe import TPE
from kubestudy.api.algorithm import Resource
from kubestudy.api.objectives import Direction, Objective
from kubestudy.api.parameters import Parameter

PENDING = 50
MOST_MS = {1000: 25.0, 10_000: 100.0}
MOST_RATIO = 1.2

SPACE = SearchSpace(
    [
        *(Parameter(name=f"log{i}", min=1e-6, max=1e-1, scale="Log") for i in range(3)),
        *(Parameter(name=f"linear{i}", min=0, max=1) for i in range(2)),
        *(Parameter(name=f"int{i}", min=1, max=64, type="Int") for i in range(2)),
        Parameter(name="batch", values=[16, 32, 64, 128]),
        *(Parameter(name=f"choice{i}", choices=["a", "b", "c"]) for i in range(2)),
    ]
)


def history_of(trials: int) -> list[Observed]:
    """That many completed trials, and then the pending ones."""
    rng, points = random.Random(trials), Random(SPACE, 0)
    done = [Observed(i, points.suggest(i), values=(rng.random(),)) for i in range(trials)]
    return done + [Observed(i, points.suggest(i)) for i in range(trials, trials + PENDING)]


def timed(work: Callable[[], object]) -> float:
    """How many milliseconds of CPU time it takes, whatever else the machine does."""
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


def optuna_trials(history: list[Observed]) -> list[optuna.trial.FrozenTrial]:
    """The history as Optuna's own trials."""
    axes = {d.name: Axis(d) for d in SPACE.dimensions}
    distributions = {name: axis.distribution for name, axis in axes.items()}
    complete, running = optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.RUNNING
    return [
        optuna.trial.create_trial(
            state=complete if o.values else running,
            values=o.values,
            params={n: axes[n].internal(v) for n, v in o.assignment.items()},
            distributions=distributions,
        )
        for o in history
    ]


def measure(trials: int, rounds: int) -> bool:
    """Prints the figures; returns whether they keep the goals."""
    history = history_of(trials)
    objectives = [Objective(metric="loss", direction=Direction.MINIMIZE)]
    tpe = TPE(SPACE, 1, objectives=objectives)

    # One sampler, as Optuna's users have it: what it keeps between asks is to its credit.
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    distributions = {d.name: Axis(d).distribution for d in SPACE.dimensions}
    theirs_built = timed(lambda: study.add_trials(optuna_trials(history)))
    mirror = _Mirror(SPACE, [Direction.MINIMIZE])
    ours_built = timed(lambda: mirror.follow(history))

    ours, theirs, points = [], [], []
    changing = list(history)
    tpe.suggest(len(history), history)
    study.ask(distributions)
    for i in range(rounds):
        # A trial completes, and its slot is filled: as it goes in a Study, and in Optuna.
        value = random.Random(i).random()
        changing[trials + i] = replace(changing[trials + i], values=(value,))
        # Objects that are equal but not the same, as they come from a cluster.
        seen = [replace(o) for o in changing]
        ours.append(timed(lambda seen=seen: points.append(tpe.suggest(len(seen), seen))))
        changing.append(Observed(len(seen), points[-1]))
        theirs.append(
            timed(
                lambda i=i, value=value: (study.tell(trials + i, value), study.ask(distributions))
            )
        )
    ours_p50, theirs_p50 = statistics.median(ours), statistics.median(theirs)
    built = ours_built / theirs_built
    print(
        f"{trials:6} trials, {PENDING} pending, 10 parameters, p50 of {rounds}:"
        f" suggestion {ours_p50:.1f} ms, Optuna's ask {theirs_p50:.1f} ms,"
        f" ratio {ours_p50 / theirs_p50:.2f};"
        f" building the study {ours_built:.0f} ms, add_trials {theirs_built:.0f} ms,"
        f" ratio {built:.2f}",
        flush=True,
    )
    return (
        ours_p50 <= MOST_MS.get(trials, float("inf"))
        and ours_p50 <= MOST_RATIO * theirs_p50
        and built <= MOST_RATIO
    )


def measure_rungs(trials: int, rounds: int) -> None:
    """Prints how long ASHA takes; there is no goal, and no peer with the same history."""
    rng, points = random.Random(trials), Random(SPACE, 0)
    history = []
    for i in range(trials):
        rungs = []
        for epochs in (1, 3, 9):
            rungs.append((epochs, rng.random() / epochs))
            if rng.random() > 1 / 3:
                break
        history.append(Observed(i, points.suggest(i), rungs=tuple(rungs)))
    history += [Observed(i, points.suggest(i)) for i in range(trials, trials + PENDING)]
    objectives = [Objective(metric="loss", direction=Direction.MINIMIZE)]
    asha = ASHA(SPACE, 1, None, objectives, Resource(name="epochs", max=27))
    taken = []
    for _ in range(rounds):
        taken.append(timed(lambda: history.append(_next(asha, history))))
    print(
        f"{trials:6} trials with rungs, {PENDING} pending, 10 parameters, p50 of {rounds}:"
        f" ASHA's suggestion {statistics.median(taken):.1f} ms",
        flush=True,
    )


def _next(algorithm: SearchAlgorithm, history: list[Observed]) -> Observed:
    return Observed(len(history), algorithm.suggest(len(history), history))


def main() -> int:
    """Measures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, action="append", help="default: 1000 and 10000")
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    good = [measure(trials, options.rounds) for trials in options.trials or MOST_MS]
    for trials in options.trials or MOST_MS:
        measure_rungs(trials, options.rounds)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
