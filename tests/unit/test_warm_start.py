"""A Study that starts from the trials of others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kubestudy.api.trial import Trial
from kubestudy.core.acceptance import problems
from kubestudy.core.decide import decide
from kubestudy.core.plan import CreateTrial, EarlierStudy, Plan, Snapshot
from kubestudy.core.warm_start import earlier_trials
from tests.unit.build import T0, at, snapshot, study, trial

X = [{"name": "x", "min": 0, "max": 1}]
STARTED = {"startTime": at(0), "observedGeneration": 1, "seed": 1}


def warm(started: bool = True, **more: Any) -> Any:
    spec = {
        "parameters": X,
        "algorithm": {"type": "TPE", "seed": 1},
        "budget": {"maxTrials": 9, "parallelism": 5},
        "warmStart": {"studies": ["first", "second"]},
    }
    return study(STARTED if started else None, **spec | more)


def done(index: int, x: Any, value: float, seconds: float, state: str = "Succeeded") -> Trial:
    """A trial of another Study, which ended some seconds after this one had started."""
    made = trial(index, {"x": x}, state, value if state == "Succeeded" else None, of="first")
    assert made.status is not None and made.status.conditions is not None
    (said,) = made.status.conditions
    conditions = [said.model_copy(update={"last_transition_time": at(seconds)})]
    status = made.status.model_copy(update={"conditions": conditions})
    return made.model_copy(update={"status": status})


def other(*trials: Trial, **spec: Any) -> EarlierStudy:
    return EarlierStudy(study(**{"parameters": X} | spec), trials)


def seen(of: Any, now: float = 100, **earlier: EarlierStudy) -> Snapshot:
    return replace(snapshot(of, now=now), earlier=earlier)


def created(plan: Plan) -> list[dict[str, Any]]:
    return [dict(a.trial.spec.parameters) for a in plan.actions if isinstance(a, CreateTrial)]


def test_taken_is_what_had_succeeded_before_and_fits() -> None:
    trials = [
        done(0, 0.5, 1, -1),
        done(1, 0.6, 1, 0),  # Ended in the second in which this one started.
        done(2, 0.7, 1, 5),
        done(3, 0.8, 1, -1, state="Failed"),
        done(4, 1.5, 1, -1),
        done(5, "a", 1, -1),
        done(6, 1, 1, -9),
    ]
    of = seen(warm(), second=other(trials[0]), first=other(*trials))
    assert [t.spec.index for t in earlier_trials(of, T0)] == [0, 1, 6, 0]


def test_suggestions_follow_what_others_have_found_and_a_restart_does_not_change_them() -> None:
    good = [done(i, i / 100, 1 - abs(i / 100 - 0.9), -1) for i in range(100)]
    of = seen(warm(), first=other(*good), second=other())
    points = created(decide(of))
    assert len(points) == 5
    assert all(abs(p["x"] - 0.9) < 0.1 for p in points)
    assert [e.message for e in decide(of).events if e.reason == "WarmStarted"] == [
        "100 trials are known from the start"
    ]
    later = [*good, done(100, 0.1, 50, 60)]
    assert created(decide(seen(warm(), first=other(*later), second=other()))) == points


def test_nothing_is_suggested_until_what_others_store_at_this_moment_is_seen() -> None:
    plan = decide(seen(warm(started=False), now=0, first=other(), second=other()))
    assert created(plan) == []
    assert plan.status is not None and plan.status.start_time == T0
    assert plan.look_again == 5
    assert created(decide(seen(warm(), now=4.9, first=other(), second=other()))) == []
    assert len(created(decide(seen(warm(), now=5, first=other(), second=other())))) == 5


@pytest.mark.parametrize(
    ("earlier", "words"),
    [
        ({}, "spec.warmStart.studies[0]: there is no Study 'first' here (yet); "),
        (
            {"first": other(objectives=[{"metric": "loss", "direction": "Minimize"}])},
            "it does not measure accuracy, but loss",
        ),
        (
            {"first": other(objectives=[{"metric": "accuracy", "direction": "Minimize"}])},
            "it wants to minimize accuracy",
        ),
    ],
)
def test_a_study_that_is_missing_or_measures_something_else_is_waited_for(
    earlier: dict[str, EarlierStudy], words: str
) -> None:
    plan = decide(seen(warm(started=False), **earlier))
    assert plan.actions == []
    assert plan.status is not None and plan.status.conditions is not None
    accepted = next(c for c in plan.status.conditions if c.type == "Accepted")
    assert accepted.status == "False"
    assert words in accepted.message
    assert plan.look_again == 10
    started = decide(seen(warm(), **earlier))
    assert len(created(started)) == 5, "once started, it goes on"


def test_an_algorithm_that_learns_nothing_cannot_start_from_others() -> None:
    (error,) = problems(warm(algorithm={"type": "Random"}))
    assert error.field == "spec.warmStart"
