"""Several objectives: the Pareto front, its hypervolume, its events, targets, and ranks."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from kubestudy.api.meta import condition
from kubestudy.api.study_status import MAX_FRONT, MetricValue
from kubestudy.api.trial import Trial
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunKey
from kubestudy.core.ranking import ranks, volumes
from tests.unit import build
from tests.unit.machine import Machine

TWO = [
    {"metric": "accuracy", "direction": "Maximize"},
    {"metric": "latency", "direction": "Minimize"},
]
# (accuracy, latency) of the trials 0 to 5: 0, 2 and 5 are dominated by none; 3 equals 2.
MEASURED = [(0.9, 9.0), (0.8, 9.0), (0.7, 3.0), (0.7, 3.0), (0.6, 5.0), (0.5, 1.0)]


def measured(key: RunKey) -> dict[str, float]:
    accuracy, latency = MEASURED[int(key.trial.rsplit("-", 1)[1])]
    return {"accuracy": accuracy, "latency": latency}


def run(objectives: list[dict[str, Any]] | None = None, **spec: Any) -> Machine:
    return Machine(build.study(objectives=objectives or TWO, **spec), measured).drive()


def in_order(machine: Machine) -> list[Trial]:
    return sorted(machine.trials.values(), key=lambda t: t.spec.index)


def test_the_front_has_what_no_trial_dominates_the_best_by_the_first_objective_first() -> None:
    status = run().study.status
    assert status and status.pareto_front and status.best
    assert [b.trial for b in status.pareto_front] == ["demo-0", "demo-2", "demo-3", "demo-5"]
    assert status.best == status.pareto_front[0]
    assert [v.value for v in status.pareto_front[1].objectives] == [0.7, 3.0]
    complete = condition(status.conditions, "Complete")
    assert complete and "4 on the Pareto front" in complete.message


def test_of_equals_in_the_first_objective_the_best_is_not_dominated() -> None:
    machine = Machine(
        build.study(objectives=TWO),
        lambda key: {"accuracy": 0.5, "latency": 10.0 - int(key.trial[-1])},
    ).drive()
    assert machine.study.status and machine.study.status.best
    assert machine.study.status.best.trial == "demo-5"


def test_the_hypervolume_is_told_with_its_reference_point() -> None:
    status = run().study.status
    assert status and status.hypervolume
    reference = {v.metric: v.value for v in status.hypervolume.reference}
    # The worst seen and a tenth of the range: 0.5 - 0.1 * 0.4 and 9 + 0.1 * 8.
    assert reference == pytest.approx({"accuracy": 0.46, "latency": 9.8})
    boxes = 0.44 * 0.8 + 0.24 * 6.0 + 0.04 * 2.0
    assert status.hypervolume.value == pytest.approx(boxes)


def test_its_course_never_falls_and_ends_at_its_value() -> None:
    machine = run()
    course = volumes(in_order(machine), machine.study.spec)
    assert course == sorted(course) and course[1] == course[0] and course[3] == course[2]
    assert machine.study.status and machine.study.status.hypervolume
    assert course[-1] == pytest.approx(machine.study.status.hypervolume.value)


def test_one_objective_has_neither_front_nor_hypervolume() -> None:
    status = run(TWO[:1]).study.status
    assert status and status.best and status.pareto_front is None and status.hypervolume is None


def test_an_event_tells_what_is_new_on_the_front() -> None:
    told = [e.message for e in run().events if e.reason == "ParetoFrontChanged"]
    assert told == [
        "new on the Pareto front: demo-0 (accuracy = 0.9, latency = 9)",
        "new on the Pareto front: demo-2 (accuracy = 0.7, latency = 3)",
        "new on the Pareto front: demo-3 (accuracy = 0.7, latency = 3)",
        "new on the Pareto front: demo-5 (accuracy = 0.5, latency = 1)",
    ]


@pytest.mark.parametrize(
    ("targets", "reached"),
    [
        ((0.7, None), "demo-0 reached accuracy = 0.9 (target 0.7)"),
        ((None, 3), "demo-2 reached latency = 3 (target 3)"),
        ((0.7, 5), "demo-2 reached accuracy = 0.7 (target 0.7) and latency = 3 (target 5)"),
        ((0.9, 3), None),
    ],
)
def test_the_goal_is_reached_by_one_trial_that_reaches_all_targets(
    targets: tuple[float | None, float | None], reached: str | None
) -> None:
    aims = [o | {"target": t} if t else o for o, t in zip(TWO, targets, strict=True)]
    machine = run(aims)
    assert machine.study.status
    complete = condition(machine.study.status.conditions, "Complete")
    assert complete
    if reached is None:
        assert complete.reason == "SearchSpaceExhausted"
    else:
        assert complete.reason == "GoalReached" and reached in complete.message


def test_ranks_count_fronts_and_ties() -> None:
    machine = run()
    # Front 1: 0, 2, 3, 5. Then 1 and 4, which dominate neither each other.
    assert ranks(in_order(machine), machine.study.spec) == [1, 5, 1, 1, 5, 1]
    single = run(TWO[:1])
    assert ranks(in_order(single), single.study.spec) == [1, 2, 3, 3, 5, 6]
    fewest = run([TWO[1]])
    assert ranks(in_order(fewest), fewest.study.spec) == [5, 5, 2, 2, 4, 1]


@pytest.mark.parametrize(("parameters", "size"), [(2, MAX_FRONT), (64, 8)])
def test_a_long_front_is_cut_to_trials_that_stand_for_it(parameters: int, size: int) -> None:
    names = [f"parameter_with_a_long_name_{i}" for i in range(parameters)]
    study = build.study(
        objectives=TWO,
        parameters=[{"name": n, "choices": ["a" * 50, "b" * 50]} for n in names],
        algorithm={"type": "Random", "seed": 1},
        budget={"maxTrials": 500},
    )
    trials = [
        ended(i, dict.fromkeys(names, "a" * 50), accuracy=i / 500, latency=i) for i in range(500)
    ]
    status = decide(build.snapshot(study, trials)).status
    assert status and status.pareto_front
    found = [int(b.trial[5:]) for b in status.pareto_front]
    assert size <= len(found) <= MAX_FRONT
    assert found[0] == 499 and found[-1] == 0
    assert found == sorted(found, reverse=True)
    assert max(a - b for a, b in pairwise(found)) <= 2 * 500 / len(found) + 1
    assert len(json.dumps(study.model_copy(update={"status": status}).to_json())) < 100 * 1024


def ended(index: int, parameters: dict[str, Any], **values: float) -> Trial:
    trial = build.trial(index, parameters, "Succeeded", ended=index)
    objectives = [MetricValue(metric=m, value=v) for m, v in values.items()]
    assert trial.status
    status = trial.status.model_copy(update={"objectives": objectives})
    return trial.model_copy(update={"status": status})
