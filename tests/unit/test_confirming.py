"""Confirming: the best trials run again with other seeds, and the winner is the best mean."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from kubestudy.api.study import Study
from kubestudy.core.acceptance import problems
from kubestudy.core.facts import RunKey
from kubestudy.workloads.job import build as job_of
from kubestudy.workloads.pod_template import JobSettings
from tests.unit import build
from tests.unit.machine import Machine

NOISE = {1001: -0.2, 1002: -0.1}
"""What the other seeds do to the trial that was lucky: demo-5."""


def confirmed(seeds: int = 2, top: int = 2, **spec: Any) -> Study:
    return build.study(confirm={"seeds": seeds, "top": top}, **spec)


class Lucky(Machine):
    """demo-5 is the best by luck; demo-4 has the same value with every seed."""

    def __init__(self, study: Study, ends: dict[str, int] | None = None):
        self.ends = ends or {}
        super().__init__(study, self.measured)

    def measured(self, key: RunKey) -> float | int:
        if key.trial in self.ends:
            return self.ends[key.trial]
        spec = self.trials[key.trial].spec
        of = spec.confirms or key.trial
        value = 0.5 + 0.05 * int(of.rsplit("-", 1)[1])
        return value + (NOISE[spec.seed or 0] if spec.confirms == "demo-5" else 0)

    def again(self) -> list[tuple[int, str | None, int | None]]:
        specs = sorted((t.spec for t in self.trials.values()), key=lambda s: s.index)
        return [(s.index, s.confirms, s.seed) for s in specs if s.confirms]


def end_of(machine: Machine) -> tuple[str, str]:
    assert machine.study.ended and machine.study.status
    (end,) = [
        c
        for c in machine.study.status.conditions or ()
        if c.type == "Complete" and c.status == "True"
    ]
    return end.reason, end.message


@pytest.mark.parametrize("parallelism", [1, 3, 10])
def test_the_best_are_run_again_by_rank_and_seed_once_the_search_has_ended(
    parallelism: int,
) -> None:
    machine = Lucky(confirmed(budget={"parallelism": parallelism})).drive()
    assert machine.again() == [
        (6, "demo-5", 1001),
        (7, "demo-5", 1002),
        (8, "demo-4", 1001),
        (9, "demo-4", 1002),
    ]
    for t in machine.trials.values():
        if t.spec.confirms:
            assert t.spec.parameters == machine.trials[t.spec.confirms].spec.parameters
            assert t.spec.bracket is None
    assert [k.trial for k in machine.started[6:]] == ["demo-6", "demo-7", "demo-8", "demo-9"]
    assert machine.most_at_once == min(parallelism, 6)


def test_the_winner_has_the_best_mean() -> None:
    machine = Lucky(confirmed()).drive()
    status = machine.study.status
    assert status and status.best and status.trials
    assert (status.best.trial, status.best.seeds) == ("demo-4", 3)
    assert status.best.parameters == machine.trials["demo-4"].spec.parameters
    (value,) = status.best.objectives
    assert (value.value, value.std) == pytest.approx((0.7, 0.0))
    assert status.progress == "10/10"
    assert end_of(machine) == (
        "SearchSpaceExhausted",
        "all 6 points of the search space were tried; 10 of 10 trials finished;"
        " best accuracy 0.7 in demo-4, confirmed with 2 other seeds",
    )


def test_mean_and_deviation_are_over_all_seeds() -> None:
    machine = Lucky(confirmed(top=1)).drive()
    assert machine.study.status and machine.study.status.best
    (value,) = machine.study.status.best.objectives
    values = [0.75, 0.55, 0.65]
    assert value.value == pytest.approx(statistics.fmean(values))
    assert value.std == pytest.approx(statistics.pstdev(values))


def test_a_seed_that_fails_does_not_fail_the_study() -> None:
    budget = {"maxFailedTrials": 0}
    machine = Lucky(confirmed(top=1, budget=budget), ends={"demo-6": 64}).drive()
    assert machine.study.status and machine.study.status.best
    assert machine.study.status.best.objectives[0].value == pytest.approx(0.7)
    assert "confirmed with 1 of 2 other seeds" in end_of(machine)[1]


def test_a_trial_that_fails_with_every_other_seed_does_not_win() -> None:
    machine = Lucky(confirmed(), ends={"demo-6": 65, "demo-7": 65}).drive()
    assert machine.study.status and machine.study.status.best
    assert machine.study.status.best.trial == "demo-4"


def test_the_search_looks_at_its_own_trials_alone() -> None:
    budget = {"maxTrials": 4, "maxTrialsWithoutImprovement": 3}
    machine = Lucky(confirmed(seeds=2, top=1, budget=budget)).drive()
    assert len(machine.trials) == 6
    assert end_of(machine)[0] == "MaxTrialsReached"


def test_a_goal_is_confirmed_as_well() -> None:
    objective = {"metric": "accuracy", "direction": "Maximize", "target": 0.6}
    machine = Lucky(confirmed(top=1, objectives=[objective])).drive()
    assert machine.again() == [(3, "demo-2", 1001), (4, "demo-2", 1002)]
    assert end_of(machine)[0] == "GoalReached"


def test_a_failed_search_is_not_confirmed() -> None:
    ends = {f"demo-{i}": 64 for i in range(1, 6)}
    machine = Lucky(confirmed(budget={"maxFailedTrials": 2}), ends).drive()
    assert machine.again() == []


def test_the_timeout_holds_while_confirming() -> None:
    # One run takes a round of 10 seconds; each of the 6 trials needs one, to its end.
    whole = Lucky(confirmed()).drive()
    for seconds in range(20, 160, 10):
        machine = Lucky(confirmed(budget={"timeout": f"{seconds}s"})).drive()
        assert machine.study.ended
        assert all(t.finished for t in machine.trials.values())
        assert machine.again() == whole.again()[: len(machine.again())]
        complete = [t for t in machine.trials.values() if t.state == "Succeeded"]
        if len(complete) < 10:
            assert end_of(machine)[0] == "TimeoutReached"
        if len(complete) == 6:
            assert end_of(machine)[1].endswith("in demo-5, not confirmed")


def test_raising_max_trials_does_not_go_on_with_a_search_that_was_confirmed() -> None:
    machine = Lucky(confirmed(top=1, budget={"maxTrials": 3})).drive()
    spec = machine.study.spec
    budget = spec.budget.model_copy(update={"max_trials": 5})
    metadata = machine.study.metadata.model_copy(update={"generation": 2})
    spec = spec.model_copy(update={"budget": budget})
    machine.study = machine.study.model_copy(update={"spec": spec, "metadata": metadata})
    machine.drive()
    assert end_of(machine)[0] == "Confirmed"
    assert len(machine.trials) == 5


def test_every_fold_is_run_with_each_seed() -> None:
    folds = {"folds": 2, "discard": "Forgiving"}
    machine = Lucky(confirmed(top=1, crossValidation=folds)).drive()
    assert [(k.trial, k.fold) for k in machine.started[-4:]] == [
        ("demo-6", 0),
        ("demo-6", 1),
        ("demo-7", 0),
        ("demo-7", 1),
    ]


def environment_of(study: Study, **of_trial: Any) -> tuple[list[str], dict[str, str]]:
    trial = build.trial(0)
    trial = trial.model_copy(update={"spec": trial.spec.model_copy(update=of_trial)})
    job = job_of(study, trial, RunKey("demo-0"), JobSettings())
    container = job["spec"]["template"]["spec"]["containers"][0]
    return container.get("args", []), {e["name"]: e["value"] for e in container["env"]}


def test_a_confirming_trial_is_told_its_seed_and_others_are_not() -> None:
    args, env = environment_of(confirmed(), confirms="demo-5", seed=1001)
    assert args == ["--lr=0.1", "--size=s", "--seed=1001"]
    assert env["KUBESTUDY_SEED"] == "1001"
    assert '"seed": 1001' in env["KUBESTUDY_PARAMETERS"]
    args, env = environment_of(confirmed())
    assert args == ["--lr=0.1", "--size=s"]
    assert "KUBESTUDY_SEED" not in env
    assert "seed" not in env["KUBESTUDY_PARAMETERS"]


def test_a_placeholder_of_the_seed_is_left_out_of_the_search() -> None:
    template = {"image": "i", "args": ["--lr=${parameters.lr}", "--seed=${parameters.seed}"]}
    study = confirmed(trial=template)
    assert not problems(study)
    assert environment_of(study, confirms="demo-5", seed=7)[0] == ["--lr=0.1", "--seed=7"]
    assert environment_of(study)[0] == ["--lr=0.1"]
    alone = confirmed(trial={"image": "i", "args": ["--seed", "${parameters.seed}"]})
    assert [e.field for e in problems(alone)] == ["spec.trial.args[1]"]
