"""The peers, each driven by its own objects on the same simulated workers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna

from bench.search.problem import Config, Problem
from bench.search.simulator import Run
from kubestudy.algorithms.random import Random
from kubestudy.algorithms.space import SearchSpace
from kubestudy.api.parameters import Parameter

POINTS = 10_000
"""How many random points are made of a space without end."""

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
logging.getLogger("syne_tune").setLevel(logging.ERROR)


class Optuna:
    """Optuna by ask and tell, with a sampler and a pruner of its own.

    Args:
        problem: What is searched.
        sampler: Makes it; what ``optuna.create_study`` uses where None is given, but with a seed.
        pruner: Stops trials early; none does where None is given.
        seed: Of the sampler.
        trials: How many trials are asked for.
        ordered: Whether listed numbers are told as places on an ordered axis (``suggest_int``)
            rather than as categories (``suggest_categorical``), as most people write them.
    """

    def __init__(
        self,
        problem: Problem,
        seed: int,
        sampler: optuna.samplers.BaseSampler | None = None,
        pruner: optuna.pruners.BasePruner | None = None,
        trials: int = 100_000,
        ordered: bool = False,
    ):
        self._study = optuna.create_study(
            study_name=f"seed {seed}",
            sampler=sampler or optuna.samplers.TPESampler(seed=seed),
            pruner=pruner or optuna.pruners.NopPruner(),
        )
        self._space = {p["name"]: distribution(p, ordered) for p in problem.parameters}
        self._lists = {p["name"]: p["values"] for p in problem.parameters if "values" in p}
        self._ordered = ordered
        self._left, self._epochs = trials, problem.epochs

    def next(self, now: float) -> Run | None:
        """Asks."""
        if not self._left:
            return None
        self._left -= 1
        trial = self._study.ask(self._space)
        config = dict(trial.params)
        if self._ordered:
            config |= {name: values[config[name]] for name, values in self._lists.items()}
        return Run(trial, config)

    def report(self, run: Run, loss: float, now: float) -> bool:
        """Reports, and tells at the end or where the pruner says so."""
        trial: Any = run.key
        if self._epochs > 1:
            trial.report(loss, run.epoch)
        if run.epoch == self._epochs:
            self._study.tell(trial, loss)
            return False
        if trial.should_prune():
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return False
        return True


def distribution(p: Config, ordered: bool) -> optuna.distributions.BaseDistribution:
    """A parameter as Optuna knows it."""
    if "values" in p and ordered:
        return optuna.distributions.IntDistribution(0, len(p["values"]) - 1)
    if "min" not in p:
        return optuna.distributions.CategoricalDistribution(p.get("values") or p["choices"])
    return optuna.distributions.FloatDistribution(p["min"], p["max"], log=p.get("scale") == "Log")


class Ray:
    """Ray Tune's ASHA over random search, by its scheduler object."""

    def __init__(self, problem: Problem, seed: int, brackets: int = 1):
        from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

        self._points = random_points(problem, seed)
        np.random.seed(seed)  # the scheduler draws brackets from the global generator
        self._stop = TrialScheduler.STOP
        self._scheduler = AsyncHyperBandScheduler(
            time_attr="epoch",
            metric="loss",
            mode="min",
            max_t=problem.epochs,
            grace_period=1,
            reduction_factor=3,
            brackets=brackets,
        )
        self._started = 0

    def next(self, now: float) -> Run | None:
        """Takes the next point."""
        point = next(self._points, None)
        if point is None:
            return None
        trial: Any = SimpleNamespace(trial_id=str(self._started))
        self._started += 1
        self._scheduler.on_trial_add(None, trial)
        return Run(trial, point)

    def report(self, run: Run, loss: float, now: float) -> bool:
        """Asks the scheduler."""
        result = {"epoch": run.epoch, "loss": loss}
        trial: Any = run.key
        return self._scheduler.on_trial_result(None, trial, result) != self._stop


def random_points(problem: Problem, seed: int) -> Iterator[Config]:
    """kubestudy's random points: what every method that draws at random is given, in this order."""
    space = SearchSpace([Parameter.model_validate(p) for p in problem.parameters])
    return map(Random(space, seed).suggest, range(space.size or POINTS))


class SyneTune:
    """A scheduler of Syne Tune.

    Args:
        problem: What is searched.
        seed: Of the scheduler.
        scheduler: Its name.
        own: Whether it draws its points itself. It then draws listed numbers (``ordinal``) as the
            nearest to a number drawn evenly between the least and the largest.
    """

    def __init__(self, problem: Problem, seed: int, scheduler: str, own: bool = False):
        from syne_tune.config_space import choice, ordinal, uniform
        from syne_tune.optimizer import baselines
        from syne_tune.optimizer.scheduler import SchedulerDecision

        np.random.seed(seed)  # the scheduler draws brackets from the global generator
        space = {
            p["name"]: uniform(p["min"], p["max"])
            if "min" in p
            else (ordinal(p["values"]) if "values" in p else choice(p["choices"]))
            for p in problem.parameters
        }
        self._stop = SchedulerDecision.STOP
        self._scheduler = getattr(baselines, scheduler)(
            config_space=space,
            metric="loss",
            time_attr="epoch",
            max_t=problem.epochs,
            do_minimize=True,
            random_seed=seed,
            grace_period=1,
            reduction_factor=3,
            points_to_evaluate=None if own else list(random_points(problem, seed)),
        )
        self._started = 0

    def next(self, now: float) -> Run | None:
        """Asks for a suggestion."""
        suggestion = self._scheduler.suggest()
        if suggestion is None:
            return None
        trial = SimpleNamespace(trial_id=self._started, config=suggestion.config)
        self._started += 1
        self._scheduler.on_trial_add(trial)
        return Run(trial, suggestion.config)

    def report(self, run: Run, loss: float, now: float) -> bool:
        """Asks the scheduler."""
        trial: Any = run.key
        result = {"epoch": run.epoch, "loss": loss}
        return self._scheduler.on_trial_result(trial, result) != self._stop
