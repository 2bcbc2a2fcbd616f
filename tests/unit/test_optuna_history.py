"""What is kept of a history between suggestions equals what is built from it anew."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from optuna.samplers import TPESampler

from kubestudy.algorithms.base import Observed
from kubestudy.algorithms.optuna_history import OptunaHistory, _Mirror, seed_of_suggestion
from kubestudy.algorithms.space import SearchSpace
from kubestudy.algorithms.tpe import TPE, TPESettings
from kubestudy.api.objectives import Direction, Objective
from kubestudy.api.parameters import Parameter

SPACE = SearchSpace(
    [
        Parameter(name="lr", min=1e-6, max=1e-1, scale="Log"),
        Parameter(name="layers", min=1, max=9, type="Int"),
        Parameter(name="momentum", min=0, max=0.9, step=0.1),
        Parameter(name="batch", values=[64, 16, 32]),
        Parameter(name="optimizer", choices=["adam", "sgd"]),
    ]
)


def objectives(*directions: str) -> list[Objective]:
    return [Objective(metric=f"m{i}", direction=Direction(d)) for i, d in enumerate(directions)]


def moved(o: Observed, rng: random.Random, count: int) -> Observed:
    """The trial a little later: at its next rung, paused there, completed or failed."""
    values = tuple(rng.random() for _ in range(count))
    match rng.choice(("rung", "rung", "complete", "violating", "failed")):
        case "rung":
            return replace(o, rungs=(*o.rungs, (3 ** len(o.rungs), rng.random())))
        case "complete":
            return replace(o, values=values, violations=(-0.5, 0.0))
        case "violating":
            return replace(o, values=values, violations=(rng.random(), -1.0))
        case _:
            return replace(o, failed=True)


def written(mirror: _Mirror) -> list[tuple[Any, ...]]:
    """All that the study holds but times and names."""
    return [
        tuple(v for k, v in sorted(vars(t).items()) if "datetime" not in k and k != "_trial_id")
        for t in mirror._study.get_trials(deepcopy=False)
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("directions", [("Maximize",), ("Minimize", "Maximize")])
def test_what_is_kept_equals_what_is_built_anew(directions: tuple[str, ...], seed: int) -> None:
    rng = random.Random(seed)
    tpe = TPE(SPACE, seed, objectives=objectives(*directions))
    history = [
        Observed(i, TPE(SPACE, 9).suggest(i), values=tuple(rng.random() for _ in directions))
        for i in range(-3, 0)
    ]
    for index in range(40):
        with_kept = tpe.suggest(index, list(history))
        followed = next(reversed(OptunaHistory._kept.values()))
        OptunaHistory._kept.clear()
        assert tpe.suggest(index, list(history)) == with_kept
        anew = next(reversed(OptunaHistory._kept.values()))
        assert written(followed) == written(anew)
        history.append(Observed(index, with_kept))
        for place, o in enumerate(history):
            if o.values is None and not o.failed and rng.random() < 0.2:
                history[place] = moved(o, rng, len(directions))
    assert any(o.rungs and o.values for o in history), "one trial went on after a rung"


def test_a_trial_that_goes_on_is_followed_without_building_anew() -> None:
    OptunaHistory._kept.clear()
    tpe = TPE(SPACE, 1, objectives=objectives("Minimize"))
    point = tpe.suggest(0)
    (mirror,) = OptunaHistory._kept.values()
    stages = [
        Observed(0, point),
        Observed(0, point, rungs=((1, 0.5),)),
        Observed(0, point, rungs=((1, 0.5), (3, 0.4))),
        Observed(0, point, rungs=((1, 0.5), (3, 0.4)), values=(0.3,)),
    ]
    states = []
    for stage in stages:
        tpe.suggest(1, [stage])
        assert list(OptunaHistory._kept.values()) == [mirror]
        states.append(mirror._study.trials[0].state.name)
    assert states == ["RUNNING", "PRUNED", "PRUNED", "COMPLETE"]
    assert mirror._study.trials[0].intermediate_values == {1: 0.5, 3: 0.4}


def test_a_history_may_change_in_any_way() -> None:
    tpe = TPE(SPACE, 1, objectives=objectives("Minimize"))
    points = [tpe.suggest(i) for i in range(14)]
    history = [Observed(i, p, values=(float(i),)) for i, p in enumerate(points)]
    OptunaHistory._kept.clear()
    expected = TPE(SPACE, 1, objectives=objectives("Minimize")).suggest(12, history[:12])
    others = [
        history,
        [replace(history[0], assignment=points[1]), *history[1:9]],
        [*history[:5], Observed(5, points[5]), *history[6:12]],
        [Observed(-1, points[13], values=(-1.0,)), *history],
        [],
    ]
    for other in others:
        tpe.suggest(12, other)
        assert tpe.suggest(12, history[:12]) == expected


def good_and_bad(good: Any, bad: Any) -> list[Observed]:
    """30 trials; those of ``good`` have a small learning rate."""
    rng = random.Random(5)
    history = []
    for i in range(30):
        is_good = i % 5 == 0
        point = {
            "lr": 10 ** rng.uniform(-6, -5.5) if is_good else 10 ** rng.uniform(-3, -1),
            "layers": rng.randint(1, 9),
            "momentum": SPACE.dimensions[2].at(rng.randint(0, 9)),
            "batch": 16,
            "optimizer": "adam",
        }
        history.append(Observed(i, point, **(good if is_good else bad)))
    return history


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"rungs": ((1, 0.1),)}, {"rungs": ((1, 0.9),)}),
        ({"rungs": ((1, 0.9), (3, 0.9))}, {"rungs": ((1, 0.1),)}),
        ({"values": (0.9,)}, {"rungs": ((1, 0.1),)}),
        ({"values": (0.9,), "violations": (-1.0,)}, {"values": (0.1,), "violations": (2.0,)}),
        ({"values": (0.5, 0.1)}, {"values": (0.6, 0.3)}),
    ],
    ids=["value", "further", "complete", "feasible", "dominating"],
)
def test_tpe_learns_which_trials_are_better(good: Any, bad: Any) -> None:
    count = len(good.get("values", (0,)))
    tpe = TPE(SPACE, 1, objectives=objectives(*["Minimize"] * count))
    history = good_and_bad(good, bad)
    near = [tpe.suggest(30 + k, history)["lr"] < 1e-4 for k in range(20)]
    assert sum(near) >= 15


@pytest.mark.parametrize("together", [True, False])
def test_tpe_suggests_what_optunas_own_sampler_does(together: bool) -> None:
    rng = random.Random(2)
    history = [moved(Observed(i, TPE(SPACE, 9).suggest(i)), rng, 1) for i in range(60)]
    tpe = TPE(SPACE, 1, TPESettings(multivariate=together), objectives("Minimize"))
    for index in range(60, 66):
        mirror = _Mirror(SPACE, [Direction.MINIMIZE])
        mirror.follow(history)
        plain = TPESampler(
            seed=seed_of_suggestion(1, index), multivariate=together, constant_liar=True
        )
        suggested = tpe.suggest(index, history)
        assert suggested == mirror.ask(plain)
        history.append(moved(Observed(index, suggested), rng, 1))
