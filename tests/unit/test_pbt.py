"""Population based training: who goes on from whose checkpoint, and with which parameters."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from kubestudy.algorithms.base import Observed
from kubestudy.algorithms.pbt import PBT, PBTSettings, perturbed
from kubestudy.algorithms.space import Dimension, SearchSpace
from kubestudy.api.algorithm import Resource
from kubestudy.api.meta import is_true
from kubestudy.api.objectives import Direction, Objective
from kubestudy.api.parameters import Parameter, ParameterConstraint
from kubestudy.api.study import Study
from kubestudy.api.trial import TrialSpec
from kubestudy.core.acceptance import problems
from kubestudy.core.facts import RunKey
from kubestudy.workloads.told import environment
from tests.unit import build
from tests.unit.machine import Machine

SPACE = [
    {"name": "lr", "min": 1e-5, "max": 1e-1, "scale": "Log"},
    {"name": "layers", "values": [1, 2, 4, 8]},
]
CHECKPOINTS = {"image": "train:1", "checkpoints": {"claimName": "c"}}


def pbt(generations: int = 3, parallelism: int = 3, accepted: bool = True, **spec: Any) -> Study:
    settings = {"populationSize": 4, "fixed": ["layers"]}
    algorithm = {
        "type": "PBT",
        "seed": 5,
        "settings": settings | spec.pop("settings", {}),
        "resource": {"name": "epochs", "min": 2, "max": 2 * generations},
    }
    defaults = {"parameters": SPACE, "trial": CHECKPOINTS, "budget": {"parallelism": parallelism}}
    study = build.study(algorithm=algorithm, **defaults | spec)
    assert not accepted or problems(study) == []
    return study


class Trained(Machine):
    """What a trial comes to is what it inherited, and more with a larger learning rate."""

    def __init__(self, study: Study, ends: dict[str, int] | None = None):
        self.ends = ends or {}
        self.kept: dict[str, float] = {}
        super().__init__(study, self.measured)

    def measured(self, key: RunKey) -> float | int:
        return self.ends.get(key.trial) or self.weights(key.trial)

    def weights(self, trial: str) -> float:
        """What is in its last checkpoint."""
        if trial not in self.kept:
            spec = self.spec(trial)
            inherited = self.weights(spec.inherits) if spec.inherits else 0.0
            self.kept[trial] = inherited + float(spec.parameters["lr"])
        return self.kept[trial]

    def spec(self, trial: str) -> TrialSpec:
        return self.trials[trial].spec

    def specs(self) -> list[TrialSpec]:
        return sorted((t.spec for t in self.trials.values()), key=lambda s: s.index)

    def ranked(self, generation: int) -> list[str]:
        """The trials of a generation of four, the best first."""
        names = [f"demo-{4 * generation + m}" for m in range(4)]
        return sorted(names, key=self.weights, reverse=True)


@pytest.mark.parametrize("parallelism", [1, 3, 4, 20])
def test_a_generation_begins_when_the_one_before_has_ended(parallelism: int) -> None:
    machine = Trained(pbt(parallelism=parallelism)).drive()
    assert machine.most_at_once == min(parallelism, 4)
    assert [s.until for s in machine.specs()] == [2] * 4 + [4] * 4 + [6] * 4
    for spec in machine.specs():
        if spec.index < 4:
            assert spec.inherits is None
        else:
            assert spec.inherits is not None
            assert machine.spec(spec.inherits).index // 4 == spec.index // 4 - 1
    assert machine.study.status
    (end,) = [c.reason for c in machine.study.status.conditions or () if is_true([c], "Complete")]
    assert end == "GenerationsTrained"
    assert machine.study.status.progress == "12/12"


def test_slots_make_no_difference_to_what_is_tried() -> None:
    one, many = (Trained(pbt(parallelism=n)).drive() for n in (1, 9))
    assert one.specs() == many.specs()


def test_the_worst_goes_on_from_the_best_and_the_others_as_they_are() -> None:
    machine = Trained(pbt(generations=6)).drive()
    for generation in range(1, 6):
        best, *_, worst = machine.ranked(generation - 1)
        for spec in machine.specs()[4 * generation : 4 * generation + 4]:
            own = f"demo-{spec.index - 4}"
            assert spec.inherits == (best if own == worst else own)
            model = machine.spec(spec.inherits)
            assert spec.parameters["layers"] == model.parameters["layers"], "its weights fit"
            changed = spec.parameters["lr"] != model.parameters["lr"]
            assert changed == (own == worst)


def test_who_has_failed_goes_on_from_the_best() -> None:
    machine = Trained(pbt(), {"demo-2": 65, "demo-4": 65, "demo-5": 65, "demo-6": 65}).drive()
    best_of_first = next(n for n in machine.ranked(0) if n != "demo-2")
    assert machine.spec("demo-6").inherits == best_of_first
    assert [s.inherits for s in machine.specs()[8:]] == ["demo-7"] * 4, "all others have failed"
    assert len({s.parameters["lr"] for s in machine.specs()[8:]}) == 4


def test_where_a_whole_generation_failed_the_one_before_is_gone_on_from() -> None:
    machine = Trained(pbt(), {f"demo-{i}": 65 for i in range(4, 8)}).drive()
    best = machine.ranked(0)[0]
    for spec in machine.specs()[8:]:
        assert spec.inherits == best
        assert spec.until == 6
        assert spec.parameters["lr"] != machine.spec(best).parameters["lr"]


def test_a_study_may_end_within_a_generation_and_go_on() -> None:
    machine = Trained(pbt(budget={"parallelism": 4, "maxTrials": 6})).drive()
    assert len(machine.trials) == 6
    document = machine.study.to_json()
    document["spec"]["budget"]["maxTrials"] = 50
    document["metadata"]["generation"] = 2
    machine.study = Study.model_validate(document)
    assert machine.drive().specs() == Trained(pbt()).drive().specs()


def test_a_trial_that_is_deleted_is_made_again_as_it_was() -> None:
    machine = Trained(pbt())
    while len(machine.trials) < 9:
        machine.round()
    lost = machine.trials.pop("demo-5")
    machine.runs = {k: f for k, f in machine.runs.items() if k.trial != "demo-5"}
    machine.started = [k for k in machine.started if k.trial != "demo-5"]
    assert machine.drive().spec("demo-5") == lost.spec
    assert len(machine.trials) == 12


def test_a_run_is_told_where_it_begins_and_where_it_ends() -> None:
    study = pbt()
    trial = build.trial(5, {"lr": 0.1, "layers": 2}, inherits="demo-3", until=4)
    env = environment(study, trial, RunKey("demo-5"))
    assert env["KUBESTUDY_INHERIT_FROM"] == "/kubestudy/checkpoints/study-uid/demo-3/fold-0"
    assert env["KUBESTUDY_CHECKPOINT_DIR"] == "/kubestudy/checkpoints/study-uid/demo-5/fold-0"
    assert (env["KUBESTUDY_RESOURCE"], env["KUBESTUDY_RESOURCE_MAX"]) == ("epochs", "6")
    assert env["KUBESTUDY_RESOURCE_UNTIL"] == "4"
    assert "KUBESTUDY_RUNGS" not in env
    first = environment(study, build.trial(0, {"lr": 0.1, "layers": 2}, until=2), RunKey("demo-0"))
    assert "KUBESTUDY_INHERIT_FROM" not in first


def test_the_last_generation_gets_what_is_left() -> None:
    made = algorithm(resource=Resource(name="steps", min=40, max=130))
    assert [made.until(i) for i in (0, 3, 4, 8, 12, 15)] == [40, 40, 80, 120, 130, 130]
    assert made.trials == 16


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"trial": {"image": "train:1"}}, "trial.checkpoints"),
        ({"crossValidation": {"folds": 3}}, "crossValidation"),
        ({"confirm": {"seeds": 2}}, "confirm"),
        ({"warmStart": {"studies": ["other"]}}, "warmStart"),
        ({"earlyStopping": {"type": "Median"}}, "earlyStopping"),
        (
            {"initialTrials": [{"lr": r} for r in (1e-2, 2e-2, 3e-2, 4e-2, 5e-2)]},
            "initialTrials[4]",
        ),
        ({"settings": {"fixed": ["layers", "heads"]}}, "algorithm.settings.fixed[1]"),
        ({"settings": {"populationSize": 1}}, "algorithm.settings.populationSize"),
        (
            {"settings": {"perturbationFactors": [0, 1.2]}},
            "algorithm.settings.perturbationFactors[0]",
        ),
        ({"generations": 30_000, "budget": {"maxTrials": 9}}, "algorithm.resource"),
    ],
    ids=lambda p: p if isinstance(p, str) else "",
)
def test_what_makes_no_sense_is_refused_by_its_field(wrong: dict[str, Any], field: str) -> None:
    found = [e.field for e in problems(pbt(accepted=False, **wrong))]
    assert found == [f"spec.{field}"]


# The algorithm alone.


def algorithm(
    space: list[dict[str, Any]] = SPACE,
    constraint: str | None = None,
    resource: Resource | None = None,
    **settings: Any,
) -> PBT:
    made = SearchSpace(
        [Parameter.model_validate(p) for p in space],
        [ParameterConstraint(expression=constraint)] if constraint else [],
    )
    return PBT(
        made,
        3,
        PBTSettings.model_validate({"populationSize": 4} | settings),
        [Objective(metric="loss", direction=Direction.MINIMIZE)],
        resource or Resource(name="epochs", max=9),
    )


def generation(made: PBT, values: list[float | None]) -> list[Observed]:
    return [
        Observed(i, made.suggest(i), None if v is None else (v,), failed=v is None)
        for i, v in enumerate(values)
    ]


def test_less_is_better_where_the_study_says_so() -> None:
    made = algorithm()
    history = generation(made, [0.3, 0.1, 0.9, 0.5])
    assert [made.parent(i, history) for i in range(4, 8)] == [0, 1, 1, 3]


def test_the_infeasible_are_the_worst() -> None:
    made = algorithm()
    history = [
        Observed(o.index, o.assignment, o.values, violations=(0.1 if o.index == 1 else -1,))
        for o in generation(made, [0.3, 0.1, 0.9, 0.5])
    ]
    assert [made.parent(i, history) for i in range(4, 8)] == [4 - 4, 0, 2, 3]


def test_half_of_the_members_may_be_replaced() -> None:
    made = algorithm(truncation=0.5)
    history = generation(made, [0.3, 0.1, 0.9, 0.5])
    parents = [made.parent(i, history) for i in range(4, 8)]
    assert parents[:2] == [0, 1]
    assert set(parents[2:]) <= {0, 1}


def test_a_generation_is_due_when_all_have_ended() -> None:
    made = algorithm()
    history = generation(made, [0.3, None, 0.9, 0.5])
    assert made.is_due(4, history), "a failure is an end"
    assert not made.is_due(8, history)
    waiting = [*history[:3], Observed(3, history[3].assignment)]
    assert not made.is_due(4, waiting)
    assert not made.is_due(4, history[:3])
    assert made.is_due(3, waiting)


def test_changes_keep_the_constraints() -> None:
    space = [{"name": n, "min": 0.0, "max": 1.0} for n in "ab"]
    made = algorithm(space, "a + b <= 0.5", populationSize=30)
    drawn = [made.suggest(i) for i in range(30)]
    kept = [p if made.space.broken_by(p) is None else {"a": 0.2, "b": 0.29} for p in drawn]
    history = [Observed(i, p, (float(i),)) for i, p in enumerate(kept)]
    new = [made.suggest(i, history) for i in range(30, 60)]
    assert all(made.space.broken_by(p) is None for p in new)
    assert all(p not in kept for p in new[-7:]), "the worst have changed"


def test_how_often_a_parameter_is_drawn_anew() -> None:
    for probability in (0.0, 0.25, 1.0):
        made = algorithm(resampleProbability=probability, populationSize=200)
        history = [Observed(i, {"lr": 1e-3, "layers": 2}, (float(i),)) for i in range(200)]
        worst = [made.suggest(i, history)["lr"] for i in range(350, 400)]
        perturbed_ = sum(any(lr == pytest.approx(1e-3 * f) for f in (0.8, 1.2)) for lr in worst)
        assert 1 - perturbed_ / 50 == pytest.approx(probability, abs=0.2)
        assert {0.0: 50, 1.0: 0}.get(probability, perturbed_) == perturbed_


@pytest.mark.parametrize(
    ("parameter", "value", "down", "up"),
    [
        ({"min": 0.0, "max": 1.0}, 0.5, 0.4, 0.6),
        ({"min": 0.0, "max": 1.0}, 0.9, 0.72, 1.0),
        ({"min": -1.0, "max": 1.0}, -0.5, -0.4, -0.6),
        ({"min": 1, "max": 100, "type": "Int"}, 50, 40, 60),
        ({"min": 1, "max": 100, "type": "Int", "scale": "Log"}, 50, 40, 60),
        ({"min": 1, "max": 9, "type": "Int"}, 2, 1, 3),
        ({"min": 1, "max": 9, "type": "Int"}, 1, 1, 2),
        ({"min": 0, "max": 9, "type": "Int"}, 0, 0, 1),
        ({"min": 8, "max": 64, "type": "Int", "step": 8}, 32, 24, 40),
        ({"min": 0.0, "max": 0.3, "step": 0.1}, 0.1, 0.0, 0.2),
        ({"values": [64, 8, 32, 16]}, 16, 8, 32),
        ({"values": [64, 8, 32, 16]}, 64, 32, 64),
        ({"choices": ["linear", "cosine", "constant"]}, "cosine", "linear", "constant"),
    ],
)
def test_a_value_moves_down_or_up_within_its_bounds(
    parameter: dict[str, Any], value: Any, down: Any, up: Any
) -> None:
    d = Dimension(Parameter.model_validate({"name": "x", **parameter}))
    moved = [perturbed(d, value, factor) for factor in (0.8, 1.2)]
    assert moved == pytest.approx([down, up]) if value != "cosine" else moved == [down, up]
    assert all(d.place(v) is not None for v in moved)


def test_a_restart_in_the_middle_changes_nothing() -> None:
    """A controller that knows nothing but the objects goes on as the old one would have."""
    undisturbed = Trained(pbt(generations=4)).drive().specs()
    for stop_after in range(1, 12, 2):
        before = Trained(pbt(generations=4))
        for _ in itertools.repeat(None, stop_after):
            before.round()
        after = Trained(before.study)
        after.kept = before.kept
        after.trials, after.runs, after.started = before.trials, before.runs, before.started
        after._seconds = before._seconds
        assert after.drive().specs() == undisturbed
