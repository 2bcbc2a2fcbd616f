"""When a Study has stopped getting better: counted as a person would."""

from __future__ import annotations

from typing import Any

import pytest

from kubestudy.api.trial import TrialStatus
from kubestudy.core.acceptance import problems
from kubestudy.core.decide import decide
from kubestudy.core.plan import CreateTrial
from kubestudy.core.stagnation import without_improvement
from kubestudy.core.trials import Progress
from tests.unit.build import snapshot, study, trial

S, F, X = "Succeeded", "Failed", "Stopped"


def finished(index: int, state: str, value: float | None, ended: float | None = None) -> Any:
    return trial(index, state=state, value=value, ended=index if ended is None else ended)


def counted(*seen: tuple[str, float | None], least: float | None = None, **spec: Any) -> int:
    budget = {"maxTrialsWithoutImprovement": 1} | ({"minImprovement": least} if least else {})
    trials = [finished(i, state, value) for i, (state, value) in enumerate(seen)]
    progress = [Progress(t, t.status or TrialStatus()) for t in trials]
    return without_improvement(progress, study(budget=budget, **spec).spec)


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([], 0),
        ([1], 0),
        ([1, 2, 3], 0),
        ([1, 1], 1),
        ([3, 1, 2], 2),
        ([1, 0, 2, 0], 1),
    ],
)
def test_trials_are_counted_since_the_last_best(values: list[float], count: int) -> None:
    assert counted(*((S, v) for v in values)) == count
    minimize = [{"metric": "accuracy", "direction": "Minimize"}]
    assert counted(*((S, -v) for v in values), objectives=minimize) == count


def test_small_gains_count_together() -> None:
    gains = [(S, v / 100) for v in range(50, 60, 4)]
    assert counted(*gains, least=0.05) == 0
    assert counted(*gains[:2], least=0.05) == 1


def test_failed_and_stopped_trials_count_once_one_has_succeeded() -> None:
    assert counted((F, None), (X, None), (F, None)) == 0
    assert counted((F, None), (S, 0.5), (X, None), (F, None), (X, 0.9)) == 3


def test_the_order_is_that_of_finishing() -> None:
    spec = study().spec
    trials = [finished(0, S, 0.9, ended=30), finished(1, S, 0.5, ended=10), finished(2, S, 0.6, 20)]
    progress = [Progress(t, t.status or TrialStatus()) for t in trials]
    assert without_improvement(progress, spec) == 0
    assert without_improvement(progress[::-1], spec) == 0


def test_a_trial_that_is_not_feasible_is_no_improvement() -> None:
    of = study(constraints=[{"metric": "latency", "max": 1.0}])
    fast, slow = (
        Progress(t, status)
        for i, latency in enumerate((0.5, 2.0))
        for t in [finished(i, S, 0.5 + i / 10)]
        for status in [
            TrialStatus.model_validate(
                t.status.to_json() | {"constraints": [{"metric": "latency", "value": latency}]}
            )
        ]
    )
    assert without_improvement([fast, slow], of.spec) == 1


def test_with_several_objectives_an_improvement_comes_onto_the_front() -> None:
    of = study(
        objectives=[
            {"metric": "accuracy", "direction": "Maximize"},
            {"metric": "size", "direction": "Minimize"},
        ]
    )

    def point(index: int, accuracy: float, size: float) -> Progress:
        values = [("accuracy", accuracy), ("size", size)]
        t = finished(index, S, accuracy)
        status = t.status.to_json() | {"objectives": [{"metric": m, "value": v} for m, v in values]}
        return Progress(t, TrialStatus.model_validate(status))

    assert without_improvement([point(0, 0.5, 9), point(1, 0.4, 3)], of.spec) == 0
    assert without_improvement([point(0, 0.5, 9), point(1, 0.5, 9)], of.spec) == 1
    assert without_improvement([point(0, 0.5, 9), point(1, 0.4, 10)], of.spec) == 1


STAGNANT = [finished(i, S, 0.5) for i in range(3)]


def test_a_stagnant_study_is_complete_and_goes_on_when_asked_for_more() -> None:
    plan = decide(snapshot(study(budget={"maxTrialsWithoutImprovement": 2}), STAGNANT))
    conditions = {c.type: c for c in plan.status.conditions}
    assert (conditions["Complete"].status, conditions["Complete"].reason) == ("True", "Stagnated")
    assert conditions["Complete"].message.startswith("no improvement in the last 2 trials; 3 of 6")
    status = plan.status.model_dump(mode="json", by_alias=True, exclude_none=True)
    more = study(status, {"generation": 2}, budget={"maxTrialsWithoutImprovement": 4})
    again = decide(snapshot(more, STAGNANT))
    assert [a.trial.spec.index for a in again.actions if isinstance(a, CreateTrial)] == [3]


def test_an_endless_search_may_be_ended_by_stagnation_alone() -> None:
    endless = {
        "parameters": [{"name": "lr", "min": 0, "max": 1}],
        "algorithm": {"type": "Random"},
    }
    assert problems(study(**endless))
    assert not problems(study(**endless, budget={"maxTrialsWithoutImprovement": 9}))
