"""What a Study asks of every suggestion: initial trials, constraints, no configuration twice."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kubestudy.algorithms.base import Observed
from kubestudy.algorithms.optuna_history import OptunaHistory
from kubestudy.api.study import StudySpec
from kubestudy.core.acceptance import algorithm_for, problems
from kubestudy.core.decide import decide
from kubestudy.core.ending import Ending
from kubestudy.core.plan import CreateTrial
from kubestudy.core.suggesting import DRAWING_STEPS, Suggestions
from tests.unit.build import run as stored_run
from tests.unit.build import snapshot, study, trial

A_B = [{"name": "a", "values": [1, 2, 3]}, {"name": "b", "values": [1, 2, 3]}]
LOG = [{"name": "a", "min": 1, "max": 4, "type": "Int", "scale": "Log"}, A_B[1]]
DOUBLE = [{"name": "x", "min": 0, "max": 1}, {"name": "y", "min": 0, "max": 1}]
BELOW = [{"expression": "a < b", "message": "a below b"}]


def spec_of(algorithm: str, parameters: Any = A_B, **more: Any) -> dict[str, Any]:
    budget = {"maxTrials": 100, "parallelism": 4}
    return {"algorithm": {"type": algorithm}, "parameters": parameters, "budget": budget} | more


def suggestions_of(spec: dict[str, Any], seed: int = 1) -> Suggestions:
    of = study(**spec)
    assert problems(of) == []
    return Suggestions(of.spec, algorithm_for(of, seed))


def suggested(spec: dict[str, Any], number: int, seed: int = 1) -> list[dict[str, Any]]:
    """The first suggestions, each told the history before it; fewer where nothing is left."""
    of = suggestions_of(spec, seed)
    history: list[Observed] = []
    for index in range(number if of.size is None else min(number, of.size)):
        point = of.suggest(index, list(history))
        if isinstance(point, Ending):
            break
        history.append(Observed(index, point, values=(sum(map(float, point.values())),)))
    return [dict(o.assignment) for o in history]


def distinct(points: list[dict[str, Any]]) -> int:
    return len({tuple(p.items()) for p in points})


every = pytest.mark.parametrize("algorithm", ["Grid", "Random", "Halton", "TPE"])


@every
@pytest.mark.parametrize("parameters", [A_B, LOG], ids=["values", "log"])
def test_a_finite_space_is_tried_whole_and_nothing_twice(algorithm: str, parameters: Any) -> None:
    points = suggested(spec_of(algorithm, parameters), 100)
    assert len(points) == distinct(points) == suggestions_of(spec_of(algorithm, parameters)).size


def test_duplicates_may_be_allowed() -> None:
    spec = spec_of("Halton") | {"algorithm": {"type": "Halton", "allowDuplicates": True}}
    points = suggested(spec, 30)
    assert len(points) == 30
    assert suggestions_of(spec).size is None


@every
def test_what_breaks_a_constraint_is_never_suggested(algorithm: str) -> None:
    points = suggested(spec_of(algorithm, parameterConstraints=BELOW), 100)
    assert [p for p in points if not p["a"] < p["b"]] == []
    assert len(points) == distinct(points) == 3


@pytest.mark.parametrize("algorithm", ["Random", "Halton", "TPE"])
def test_a_small_part_of_a_continuous_space_is_found(algorithm: str) -> None:
    rare = [{"expression": "x > 0.9 && y < 0.1 && x + y < 0.97"}]
    points = suggested(spec_of(algorithm, DOUBLE, parameterConstraints=rare), 20)
    assert len(points) == distinct(points) == 20
    assert all(p["x"] > 0.9 and p["y"] < 0.1 for p in points)


@every
def test_initial_trials_come_first_and_once(algorithm: str) -> None:
    initial = [{"a": 3, "b": 1}, {"a": 2}, {"b": 1}]
    points = suggested(spec_of(algorithm, initialTrials=initial), 100)
    for given_values, point in zip(initial, points, strict=False):
        assert given_values.items() <= point.items()
    assert len(points) == distinct(points) == 9


@given(
    initial=st.lists(
        st.fixed_dictionaries({}, optional={"a": st.integers(1, 3), "b": st.integers(1, 3)}),
        max_size=4,
    ),
    algorithm=st.sampled_from(["Grid", "Random", "Halton"]),
    constrained=st.booleans(),
)
@example(initial=[{}, {"a": 1, "b": 2}], algorithm="Halton", constrained=False)
@example(initial=[{}, {"a": 1}, {}, {"a": 1}], algorithm="Halton", constrained=False)
@example(initial=[{}, {}, {"a": 2}, {"a": 2}], algorithm="Halton", constrained=True)
@settings(max_examples=60, deadline=None)
def test_with_any_initial_trials_each_feasible_point_comes_once(
    initial: list[dict[str, Any]], algorithm: str, constrained: bool
) -> None:
    constraints = [{"expression": "a + b != 4"}] if constrained else None
    spec = spec_of(algorithm, initialTrials=initial, parameterConstraints=constraints)
    if problems(study(**spec)):
        return
    points = suggested(spec, 100)
    assert len(points) == distinct(points) == (6 if constrained else 9)


def test_an_initial_trial_that_opens_a_branch_is_filled_in() -> None:
    parameters = [
        {"name": "optim", "values": [1, 2]},
        {"name": "m", "min": 0.5, "max": 0.9, "when": {"parameter": "optim", "values": [2]}},
    ]
    for seed in range(5):
        spec = spec_of("Random", parameters, initialTrials=[{"optim": 2}, {"optim": 1}])
        first, second = suggested(spec, 2, seed)
        assert first["optim"] == 2
        assert 0.5 <= first["m"] <= 0.9
        assert second == {"optim": 1}


def test_what_was_turned_down_leaves_no_trace_in_the_sampler() -> None:
    spec = spec_of("TPE", DOUBLE, parameterConstraints=[{"expression": "x < 0.3"}])
    points = suggested(spec, 25)
    fresh = suggestions_of(spec)
    history = [Observed(i, p, values=(sum(p.values()),)) for i, p in enumerate(points[:24])]
    OptunaHistory._kept.clear()
    assert fresh.suggest(24, history) == points[24]
    assert fresh.suggest(24, history) == points[24]


def test_a_study_without_a_feasible_point_fails_and_says_so() -> None:
    of = study(**spec_of("Random", DOUBLE, parameterConstraints=[{"expression": "x > 1"}]))
    plan = decide(snapshot(of))
    assert not [a for a in plan.actions if isinstance(a, CreateTrial)]
    failed = next(c for c in plan.status.conditions if c.type == "Failed")
    assert (failed.status, failed.reason) == ("True", "NoFeasiblePoint")
    assert "x > 1" in failed.message


def test_no_point_at_all_is_refused() -> None:
    of = study(**spec_of("Grid", parameterConstraints=[{"expression": "a > 3"}]))
    assert [e.field for e in problems(of)] == ["spec.parameterConstraints"]


def test_a_grid_with_constraints_is_listed_up_to_a_bound() -> None:
    wide = [{"name": "n", "min": 0, "max": 200_000, "type": "Int"}]
    of = study(**spec_of("Grid", wide, parameterConstraints=[{"expression": "n > 3"}]))
    assert "up to 100000" in problems(of)[0].message
    assert problems(study(**spec_of("Grid", wide))) == []


def test_spec_fields_are_read_as_written() -> None:
    spec = StudySpec.model_validate(
        study(**spec_of("Grid", initialTrials=[{"a": 1.0}])).spec.to_json()
    )
    assert spec.initial_trials == [{"a": 1}]


def test_decide_goes_on_with_a_finished_initial_trial() -> None:
    of = study(
        **spec_of("Grid", initialTrials=[{"a": 3, "b": 3}]),
        status={"startTime": "2026-01-01T00:00:00Z"},
    )
    done = trial(0, {"a": 3, "b": 3}, "Succeeded", 0.5, [stored_run(0, outcome="Succeeded")])
    plan = decide(snapshot(of, [done]))
    new = [a.trial.spec.parameters for a in plan.actions if isinstance(a, CreateTrial)]
    assert len(new) == 4
    assert {"a": 3, "b": 3} not in new


@pytest.mark.parametrize("parallelism", [1, 2, 6, 50])
def test_what_was_suggested_before_nothing_was_left_is_made(parallelism: int) -> None:
    """With more slots than points, all points of a round were thrown away once."""
    wide = {"min": 1, "max": 1000, "type": "Int"}
    spec = spec_of("Random", [{"name": "a", **wide}, {"name": "b", **wide}])
    spec["parameterConstraints"] = [{"expression": "a == b && a <= 2"}]
    spec["initialTrials"] = [{"a": 1, "b": 1}, {"a": 2, "b": 2}]
    spec["budget"] = {"parallelism": parallelism, "maxTrials": 20}
    plan = decide(snapshot(study(**spec)))
    made = [a.trial.metadata.name for a in plan.actions if isinstance(a, CreateTrial)]
    assert made == ["demo-0", "demo-1"][:parallelism]


def test_constraints_take_a_bounded_time_of_a_suggestion_and_of_a_decision() -> None:
    long = " && ".join(["a + b + a + b >= 0"] * 20)
    spec = spec_of("Random", [{"name": n, "min": 0.0, "max": 1.0} for n in "ab"])
    spec["parameterConstraints"] = [{"expression": f"{long} && a > {2 + i}"} for i in range(16)]
    of = Suggestions(study(**spec).spec, algorithm_for(study(**spec), 1))
    ending = of.suggest(0, [])
    assert isinstance(ending, Ending) and ending.reason == "NoFeasiblePoint"
    assert of.steps <= DRAWING_STEPS + of._space.cost
    feasible = [
        {"expression": c["expression"].replace("a >", "a < 1 +")}
        for c in spec["parameterConstraints"]
    ]
    wide = study(
        **(
            spec
            | {"parameterConstraints": feasible, "budget": {"parallelism": 40, "maxTrials": 90}}
        )
    )
    with patch("kubestudy.core.starting.MOST_STEPS", 3 * of._space.cost):
        plan = decide(snapshot(wide))
    made = [a for a in plan.actions if isinstance(a, CreateTrial)]
    assert 3 <= len(made) <= 5
    assert plan.look_again is not None and plan.look_again < 1, "the rest is made at once after"
