"""Cross-validation: a run per fold, the mean over folds, and trials discarded before their last."""

from __future__ import annotations

import statistics

import pytest

from kubestudy.api.meta import ConditionStatus
from kubestudy.api.study import Study
from kubestudy.core.facts import RunKey
from tests.unit import build
from tests.unit.machine import Machine


def of_folds(folds: int = 3, discard: str = "None", **spec: object) -> Study:
    return build.study(crossValidation={"folds": folds, "discard": discard}, **spec)


def score(key: RunKey) -> float:
    """What a fold of a trial measures: better with the trial's index, different in each fold."""
    index = int(key.trial.rsplit("-", 1)[1])
    return round(0.5 + 0.05 * index + (0.02, -0.03, 0.005)[key.fold % 3], 6)


def test_each_point_is_run_once_for_each_fold() -> None:
    machine = Machine(of_folds(budget={"parallelism": 4}), score).drive()
    assert sorted(machine.started) == sorted(
        RunKey(f"demo-{i}", fold=f) for i in range(6) for f in range(3)
    )
    assert machine.most_at_once == 4


def test_the_objective_is_the_mean_and_its_deviation_is_told() -> None:
    machine = Machine(of_folds(), score).drive()
    for name, trial in machine.trials.items():
        values = [score(RunKey(name, fold=f)) for f in range(3)]
        assert trial.status and trial.status.objectives
        (objective,) = trial.status.objectives
        assert objective.value == pytest.approx(statistics.fmean(values), abs=1e-15)
        assert objective.std == pytest.approx(statistics.pstdev(values), abs=1e-15)
        per_fold = [r.objectives[0].value for r in trial.status.runs or () if r.objectives]
        assert per_fold == values
    assert machine.study.status and machine.study.status.best
    assert machine.study.status.best.trial == "demo-5"


def test_the_first_fold_comes_first() -> None:
    machine = Machine(of_folds(budget={"parallelism": 2}), score).drive()
    for i in range(6):
        of_trial = [k.fold for k in machine.started if k.trial == f"demo-{i}"]
        assert of_trial[0] == 0


def test_a_trial_clearly_worse_than_the_best_on_the_same_folds_is_discarded() -> None:
    # The first trial is the best.
    def worse_and_worse(key: RunKey) -> float:
        return 1.0 - score(key) * 0.1 if key.trial.endswith("-0") else score(key)

    machine = Machine(of_folds(discard="Forgiving"), worse_and_worse).drive()
    assert machine.trials["demo-0"].state == "Succeeded"
    for i in range(1, 6):
        trial = machine.trials[f"demo-{i}"]
        assert trial.state == "Stopped"
        assert [k.fold for k in machine.started if k.trial == f"demo-{i}"] == [0]
        assert trial.status and trial.status.conditions
        (true,) = [c for c in trial.status.conditions if c.status == ConditionStatus.TRUE]
        assert true.reason == "Discarded"
    assert machine.study.status and machine.study.status.best
    assert machine.study.status.best.trial == "demo-0"
    assert machine.study.ended


# The best trial's folds: the first is the hardest. Its mean is 0.8, the standard error 0.0577.
BEST = (0.7, 0.8, 0.9)


@pytest.mark.parametrize(
    ("first", "second", "folds_run"),
    [
        (0.71, 0.81, 3),  # Better than the best, though below its mean and, once, its worst fold.
        (0.65, 0.76, 3),  # Worse, but within a standard error on the same folds.
        (0.64, 0.99, 1),
        (0.66, 0.70, 2),
    ],
)
def test_what_counts_is_the_difference_on_the_same_folds(
    first: float, second: float, folds_run: int
) -> None:
    def values(key: RunKey) -> float:
        if key.trial == "demo-0":
            return BEST[key.fold]
        return (first, second, 0.5)[key.fold] if key.trial == "demo-1" else 0.1

    machine = Machine(of_folds(discard="Forgiving"), values).drive()
    assert len([k for k in machine.started if k.trial == "demo-1"]) == folds_run


@pytest.mark.parametrize(("latency", "runs"), [(5.0, 1), (0.5, 3)])
def test_with_several_objectives_a_trial_is_discarded_if_it_is_worse_in_all(
    latency: float, runs: int
) -> None:
    study = of_folds(
        discard="Forgiving",
        objectives=[
            {"metric": "accuracy", "direction": "Maximize"},
            {"metric": "latency", "direction": "Minimize"},
        ],
    )
    machine = Machine(
        study,
        lambda key: (
            {"accuracy": 0.9, "latency": 1.0}
            if key.trial == "demo-0"
            else {"accuracy": 0.5, "latency": latency}
        ),
    ).drive()
    assert len([k for k in machine.started if k.trial == "demo-1"]) == runs


def test_nothing_is_discarded_before_a_trial_has_run_all_its_folds() -> None:
    machine = Machine(of_folds(discard="Forgiving", budget={"parallelism": 6}), score).drive()
    assert [k.fold for k in machine.started[:6]] == [0] * 6


def test_a_fold_that_was_interrupted_is_run_again_alone() -> None:
    def interrupted_once(key: RunKey) -> float | int:
        return 75 if (key.trial, key.fold, key.attempt) == ("demo-2", 1, 0) else score(key)

    machine = Machine(of_folds(), interrupted_once).drive()
    again = [k for k in machine.started if k.trial == "demo-2"]
    assert [(k.fold, k.attempt) for k in again] == [(0, 0), (1, 0), (1, 1), (2, 0)]
    assert machine.trials["demo-2"].state == "Succeeded"


def test_a_fold_that_fails_fails_its_trial_and_ends_the_others() -> None:
    def fails(key: RunKey) -> float | int:
        return 64 if (key.trial, key.fold) == ("demo-3", 1) else score(key)

    machine = Machine(of_folds(budget={"parallelism": 1}), fails).drive()
    assert machine.trials["demo-3"].state == "Failed"
    assert [k.fold for k in machine.started if k.trial == "demo-3"] == [0, 1]
    assert machine.study.status and machine.study.status.trials
    assert (machine.study.status.trials.succeeded, machine.study.status.trials.failed) == (5, 1)
