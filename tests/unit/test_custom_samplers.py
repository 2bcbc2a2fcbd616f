"""Samplers of the administrator's, by their import path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import optuna
import pytest

from kubestudy.algorithms import custom
from kubestudy.algorithms.base import Observed
from kubestudy.algorithms.optuna_history import OptunaHistory
from kubestudy.core.acceptance import algorithm_for, problems
from kubestudy.core.decide import decide
from tests.unit.build import snapshot, study

TPE = "optuna.samplers.TPESampler"


class Nearby(optuna.samplers.BaseSampler):
    """Suggests a point beside the best one, and tells by it how many trials it was shown."""

    def __init__(self, distance: float):
        self._distance = distance

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        if name == "o":
            return "a"
        values = [t.value for t in study.get_trials(states=[optuna.trial.TrialState.COMPLETE])]
        return min(1.0, self._distance * (1 + len(values)))


class Failing(Nearby):
    """Is made, and then cannot suggest anything."""

    def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> Any:
        raise RuntimeError("no licence")


NEARBY = f"{__name__}.Nearby"
FAILING = f"{__name__}.Failing"


@pytest.fixture(autouse=True)
def _allowed_here_alone() -> Iterator[None]:
    before = set(custom._allowed)
    yield
    custom._allowed.clear()
    custom._allowed.update(before)


def wanted(path: str, **settings: Any) -> Any:
    algorithm = {"type": path, "settings": settings} if settings else {"type": path}
    return study(
        parameters=[{"name": "lr", "min": 0, "max": 1}, {"name": "o", "choices": ["a", "b"]}],
        algorithm=algorithm,
        budget={"maxTrials": 9},
    )


def errors(path: str, **settings: Any) -> str:
    return "; ".join(map(str, problems(wanted(path, **settings))))


def test_a_path_that_is_not_allowed_is_not_imported() -> None:
    custom.allow(["antigravity.Other"])
    assert "spec.algorithm.type" in errors("antigravity.Sampler")
    assert "is not allowed" in errors("antigravity.Sampler")
    with pytest.raises(ValueError, match="is not allowed"):
        algorithm_for(wanted("antigravity.Sampler"), 0)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no_such_package.Sampler", "No module named 'no_such_package'"),
        ("optuna.samplers.NoSuch", "NoSuch"),
        ("collections.Counter", "no subclass of optuna.samplers.BaseSampler"),
    ],
)
def test_what_cannot_be_used_is_told(path: str, words: str) -> None:
    custom.allow([path])
    assert "spec.algorithm.type" in errors(path)
    assert words in errors(path)


def test_settings_that_the_constructor_refuses_are_told() -> None:
    custom.allow([TPE, NEARBY])
    assert "spec.algorithm.settings" in errors(TPE, startup=3)
    assert "'startup'" in errors(TPE, startup=3)
    assert "'distance'" in errors(NEARBY)
    assert "give algorithm.seed" in errors(TPE, seed=3)


@pytest.mark.parametrize(
    ("path", "settings"),
    [
        (TPE, {"n_startup_trials": 5}),
        ("optuna.samplers.RandomSampler", {}),
        ("optuna.samplers.NSGAIISampler", {"population_size": 4}),
        (NEARBY, {"distance": 0.05}),
    ],
)
def test_an_allowed_sampler_suggests_and_a_restart_changes_nothing(
    path: str, settings: dict[str, Any]
) -> None:
    custom.allow([path])
    assert errors(path, **settings) == ""
    algorithm = algorithm_for(wanted(path, **settings), 3)
    history: list[Observed] = []
    for index in range(12):
        point = algorithm.suggest(index, history)
        assert algorithm.space.contains(point)
        OptunaHistory._kept.clear()
        assert algorithm_for(wanted(path, **settings), 3).suggest(index, history) == point
        history.append(Observed(index, point, (float(point["lr"]),)))
    assert len({o.assignment["lr"] for o in history}) == 12


def test_the_seed_is_passed_where_it_is_taken() -> None:
    custom.allow(["optuna.samplers.RandomSampler"])
    same, other = (
        algorithm_for(wanted("optuna.samplers.RandomSampler"), seed).suggest(0) for seed in (1, 2)
    )
    assert same != other


def test_settings_and_history_reach_the_sampler() -> None:
    custom.allow([NEARBY])
    algorithm = algorithm_for(wanted(NEARBY, distance=0.1), 0)
    seen = [Observed(i, {"lr": 0.5, "o": "a"}, (1.0,)) for i in range(3)]
    assert algorithm.suggest(3, seen) == {"lr": 0.4, "o": "a"}


def test_a_sampler_that_fails_ends_its_study_and_says_why() -> None:
    custom.allow([FAILING])
    plan = decide(snapshot(wanted(FAILING, distance=0.1)))
    assert plan.actions == []
    assert plan.status is not None
    (failed,) = [c for c in plan.status.conditions or () if c.type == "Failed"]
    assert (failed.status, failed.reason) == ("True", "SamplerFailed")
    assert "no licence" in failed.message
