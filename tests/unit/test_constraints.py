"""Metric constraints: feasible trials come first everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kubestudy.algorithms.base import Observed
from kubestudy.algorithms.tpe import TPE
from kubestudy.api.meta import condition
from kubestudy.api.parameters import Assignment
from kubestudy.api.trial import Trial
from kubestudy.core.facts import RunKey
from kubestudy.core.ranking import ranks, violations
from tests.unit import build
from tests.unit.machine import Machine

FAST = [{"metric": "latency", "max": 10}]
# (accuracy, latency): the best two are too slow.
MEASURED = [(0.6, 5.0), (0.9, 12.0), (0.7, 10.0), (0.5, 1.0), (0.95, 30.0), (0.7, 9.0)]


def index_of(key: RunKey) -> int:
    return int(key.trial.rsplit("-", 1)[1])


def measured(key: RunKey) -> dict[str, float]:
    accuracy, latency = MEASURED[index_of(key)]
    return {"accuracy": accuracy, "latency": latency}


def run(constraints: list[dict[str, Any]] | None = None, **spec: Any) -> Machine:
    return Machine(build.study(constraints=constraints or FAST, **spec), measured).drive()


def in_order(machine: Machine) -> list[Trial]:
    return sorted(machine.trials.values(), key=lambda t: t.spec.index)


def test_a_trial_beyond_a_constraint_succeeds_but_is_not_feasible() -> None:
    trials = in_order(run())
    assert {t.state for t in trials} == {"Succeeded"}
    assert [t.status and t.status.feasible for t in trials] == [
        True,
        False,
        True,
        True,
        False,
        True,
    ]
    assert trials[1].status and trials[1].status.constraints
    assert [(c.metric, c.value) for c in trials[1].status.constraints] == [("latency", 12.0)]


def test_the_best_is_feasible() -> None:
    machine = run()
    assert machine.study.status and machine.study.status.best
    assert machine.study.status.best.trial == "demo-2"
    complete = condition(machine.study.status.conditions, "Complete")
    assert complete and "4 of 6 feasible" in complete.message
    assert [e.message.split()[0] for e in machine.events if e.reason == "NewBest"] == [
        "demo-0",
        "demo-2",
    ]


def test_where_none_is_feasible_there_is_no_best_and_the_nearest_is_told() -> None:
    machine = run([{"metric": "latency", "max": 0.5}, {"metric": "accuracy", "min": 0.1}])
    assert machine.study.status and machine.study.status.best is None
    complete = condition(machine.study.status.conditions, "Complete")
    assert complete and complete.message.endswith(
        "no trial is feasible: the nearest, demo-3, has latency = 1 (max 0.5)"
    )


def test_a_target_is_not_reached_by_a_trial_that_is_not_feasible() -> None:
    objective = {"metric": "accuracy", "direction": "Maximize", "target": 0.7}
    machine = run(objectives=[objective])
    assert machine.study.status
    complete = condition(machine.study.status.conditions, "Complete")
    assert complete and complete.reason == "GoalReached" and "demo-2" in complete.message


def test_a_trial_that_never_reports_a_constrained_metric_fails_and_names_it() -> None:
    machine = Machine(build.study(constraints=FAST), lambda key: 0.5).drive()
    conditions = machine.trials["demo-0"].status
    assert conditions
    failed = condition(conditions.conditions, "Failed")
    assert failed and failed.reason == "MetricMissing"
    assert "without reporting latency (metrics seen: accuracy)" in failed.message


def test_with_folds_the_mean_of_the_metric_counts() -> None:
    def by_fold(key: RunKey) -> dict[str, float]:
        slow = index_of(key) == 1
        return {"accuracy": 0.5, "latency": (8.0, 9.0, 14.0 if slow else 13.0)[key.fold]}

    study = build.study(constraints=FAST, crossValidation={"folds": 3, "discard": "None"})
    trials = in_order(Machine(study, by_fold).drive())
    assert [t.status and t.status.feasible for t in trials] == [True, False, True, True, True, True]
    assert trials[1].status and trials[1].status.constraints
    assert trials[1].status.constraints[0].value == pytest.approx(31 / 3)


def test_a_trial_that_is_not_feasible_discards_no_other() -> None:
    # The first trial would discard all others by its accuracy.
    machine = Machine(
        build.study(constraints=FAST, crossValidation={"folds": 3}),
        lambda key: (
            {"accuracy": 0.9 if index_of(key) == 0 else 0.5, "latency": 12.0}
            if index_of(key) == 0
            else {"accuracy": 0.5, "latency": 1.0}
        ),
    ).drive()
    states = [t.state for t in in_order(machine)]
    assert states == ["Succeeded"] * 6


def test_the_front_holds_feasible_trials_alone() -> None:
    objectives = [
        {"metric": "accuracy", "direction": "Maximize"},
        {"metric": "latency", "direction": "Minimize"},
    ]
    status = run(objectives=objectives).study.status
    assert status and status.pareto_front
    assert [b.trial for b in status.pareto_front] == ["demo-5", "demo-0", "demo-3"]


def test_ranks_have_feasible_trials_first_then_the_least_violating() -> None:
    machine = run()
    assert ranks(in_order(machine), machine.study.spec) == [3, 5, 1, 4, 6, 1]


def test_violations_are_positive_beyond_a_bound_and_tell_the_room_within() -> None:
    machine = run([{"metric": "latency", "max": 10}, {"metric": "accuracy", "min": 0.65}])
    trial = machine.trials["demo-0"]
    assert violations(trial.status, machine.study.spec) == pytest.approx((-5, 0.05))
    assert violations(build.trial(7).status, machine.study.spec) == ()


def test_an_adaptive_algorithm_is_told_the_violations(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Sequence[Observed]] = []

    def suggest(self: TPE, index: int, history: Sequence[Observed] = ()) -> Assignment:
        seen.append(list(history))
        return {"lr": (0.1, 0.2, 0.3)[index % 3], "size": "s"}

    monkeypatch.setattr(TPE, "suggest", suggest)
    run(algorithm={"type": "TPE"}, budget={"maxTrials": 4})
    assert [o.violations for o in seen[-1]] == [(-5.0,), (2.0,), (0.0,)]
