"""All folds of a trial in one pod: reports name their fold, and none that is done is run again."""

from __future__ import annotations

import json
import statistics
from typing import Any

import pytest

from kubestudy.api.meta import ConditionStatus
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.core.acceptance import problems
from kubestudy.core.reports import Observation
from kubestudy.sources.log_lines import LineReader
from tests.unit import build
from tests.unit.fake_cluster import FakeCluster, Object, variables

VALUES = (0.7, 0.8, 0.9)


def in_one_pod(discard: str = "None", **spec: Any) -> Study:
    validation = {"folds": 3, "discard": discard, "execution": "OnePod"}
    return build.study(crossValidation=validation, **spec)


class World(FakeCluster):
    """A cluster whose pods say what they are told to."""

    def begin(self) -> Object:
        """Goes on until a pod runs, and gives the newest."""
        self.reconcile()
        self.tick()
        pod = list(self.pods.values())[-1]
        self.start_pod(pod)
        self.seconds += 5
        return pod

    def say(self, pod: Object, fold: int | None, accuracy: float, **more: Any) -> None:
        log = self.logs[pod["metadata"]["uid"]]
        of_fold = {} if fold is None else {"fold": fold}
        log.append(json.dumps({"seq": len(log), "accuracy": accuracy} | of_fold | more))
        self.look(pod)

    def end(self, pod: Object, code: int, **how: bool) -> None:
        """The pod ends without another word."""
        log = self.logs[pod["metadata"]["uid"]]
        said = list(log)
        self.end_pod(pod, code, **how)
        log[:] = said
        self.look(pod)

    def look(self, pod: Object) -> None:
        self.read_log(pod)
        self.reconcile()

    def trial(self, index: int = 0) -> Trial:
        return self.trials[f"demo-{index}"]


def why(trial: Trial) -> tuple[str, str, str]:
    assert trial.status
    (true,) = [c for c in trial.status.conditions or () if c.status == ConditionStatus.TRUE]
    return trial.state, true.reason, true.message


def folds_of(trial: Trial) -> dict[int, float]:
    assert trial.status
    return {fold: gave.objectives[0].value for fold, gave in trial.status.folds.items()}


def test_a_trial_is_one_run_with_the_mean_and_deviation_of_its_folds() -> None:
    world = World(in_one_pod(budget={"parallelism": 2}))
    world.drive()
    assert len(world.trials) == 6
    for trial in world.trials.values():
        (run,) = (trial.status and trial.status.runs) or ()
        values = list(folds_of(trial).values())
        assert len(values) == len(set(values)) == 3
        assert trial.status and trial.status.objectives
        (objective,) = trial.status.objectives
        assert objective.value == pytest.approx(statistics.fmean(values), abs=1e-15)
        assert objective.std == pytest.approx(statistics.pstdev(values), abs=1e-15)
        assert run.objectives is None
        assert [p.fold for p in trial.status.curve or ()] == [0, 0, 1, 1, 2, 2]
        assert trial.status.metrics
        (metric,) = trial.status.metrics
        assert (metric.count, metric.max) == (6, max(values))


def test_a_pod_is_told_all_folds_and_a_folder_for_all() -> None:
    world = World(in_one_pod(trial={"image": "i", "checkpoints": {"claimName": "c"}}))
    told = variables(world.begin())
    assert (told["KUBESTUDY_FOLD"], told["KUBESTUDY_FOLDS"]) == ("0,1,2", "3")
    assert told["KUBESTUDY_CHECKPOINT_DIR"].endswith("/demo-0")


def test_folds_are_told_while_the_pod_runs() -> None:
    world = World(in_one_pod())
    pod = world.begin()
    world.say(pod, 0, 0.6)
    assert folds_of(world.trial()) == {}
    assert why(world.trial())[2] == "0 of 3 folds done"
    world.say(pod, 0, 0.7)
    world.say(pod, 1, 0.1)
    assert folds_of(world.trial()) == {0: 0.7}
    assert why(world.trial()) == ("Running", "Running", "1 of 3 folds done")
    world.say(pod, 1, 0.8, final=True)
    assert folds_of(world.trial()) == {0: 0.7, 1: 0.8}


@pytest.mark.parametrize("how", [{"disrupted": True}, {"deleted": True}, {}])
def test_folds_that_are_done_are_not_run_again(how: dict[str, bool]) -> None:
    world = World(in_one_pod())
    pod = world.begin()
    world.say(pod, 0, 0.7)
    world.say(pod, 1, 0.1)
    world.end(pod, 143, **how)
    again = world.begin()
    told = variables(again)
    assert (told["KUBESTUDY_FOLD"], told["KUBESTUDY_ATTEMPT"]) == ("1,2", "1")
    world.say(again, 1, 0.8)
    world.say(again, 2, 0.9)
    world.end(again, 0)
    assert world.trial().state == "Succeeded"
    assert folds_of(world.trial()) == dict(enumerate(VALUES))
    assert world.trial().value("accuracy") == pytest.approx(0.8)


def test_what_is_stored_of_folds_outlives_the_job_and_its_log() -> None:
    world = World(in_one_pod(budget={"maxTrials": 1}))
    pod = world.begin()
    world.say(pod, 0, 0.7, final=True)
    world.restart()
    world.delete_job("demo-0-0-0-0")
    for _ in range(2):  # The pod ends, and then it is gone.
        world.tick()
        world.reconcile()
    assert folds_of(world.trial()) == {0: 0.7}
    assert variables(world.begin())["KUBESTUDY_FOLD"] == "1,2"


def test_a_pod_taken_away_after_its_last_fold_has_done_all() -> None:
    world = World(in_one_pod())
    pod = world.begin()
    for fold, value in enumerate(VALUES):
        world.say(pod, fold, value, final=True)
    assert world.trial().state == "Running"
    world.end(pod, 143, disrupted=True)
    assert world.trial().state == "Succeeded"
    assert world.trial().value("accuracy") == pytest.approx(0.8)


def test_a_pod_that_was_held_back_begins_anew_and_keeps_what_it_had() -> None:
    world = World(in_one_pod())
    pod = world.begin()
    world.say(pod, 0, 0.7, final=True)
    world.edit(lambda spec: spec.update(suspend=True))
    world.reconcile()
    world.tick()
    world.reconcile()
    assert folds_of(world.trial()) == {0: 0.7}
    world.edit(lambda spec: spec.update(suspend=False))
    world.reconcile()
    again = world.begin()
    for fold, value in enumerate((0.75, 0.8, 0.9)):
        world.say(again, fold, value)
    world.end(again, 0)
    assert folds_of(world.trial()) == {0: 0.75, 1: 0.8, 2: 0.9}
    assert world.trial().state == "Succeeded"


MISSING = [
    ([0, 1], "accuracy of fold 2 (metrics seen: accuracy)"),
    ([1], "accuracy of folds 0, 2 (metrics seen: accuracy)"),
    ([None], 'no report names its fold, as {"accuracy": 0.5, "fold": 0} does'),
    ([1, 2, 3], "accuracy of fold 0 (metrics seen: accuracy); a report names fold 3, and folds"),
    ([], "accuracy of folds 0, 1, 2 (metrics seen: none)"),
]


@pytest.mark.parametrize(("folds", "words"), MISSING)
def test_a_trial_that_leaves_out_a_fold_fails_and_names_it(
    folds: list[int | None], words: str
) -> None:
    world = World(in_one_pod())
    pod = world.begin()
    for fold in folds:
        world.say(pod, fold, 0.5)
    world.end(pod, 0)
    state, reason, message = why(world.trial())
    assert (state, reason) == ("Failed", "MetricMissing")
    assert words in message


def test_each_fold_owes_the_constrained_metrics_too() -> None:
    world = World(in_one_pod(constraints=[{"metric": "size", "max": 2}]))
    pod = world.begin()
    world.say(pod, 0, 0.7, size=1)
    world.say(pod, 1, 0.8)
    world.say(pod, 2, 0.9, size=6)
    assert folds_of(world.trial()) == {0: 0.7}
    world.end(pod, 0)
    assert "size of fold 1 (" in why(world.trial())[2]


def test_constraints_hold_for_the_mean_over_folds() -> None:
    world = World(in_one_pod(constraints=[{"metric": "size", "max": 2}]))
    pod = world.begin()
    for fold, size in enumerate((1, 1, 7)):
        world.say(pod, fold, 0.5, size=size)
    world.end(pod, 0)
    status = world.trial().status
    assert status and status.constraints
    assert (status.constraints[0].value, status.feasible) == (3, False)


def with_a_best_trial(discard: str = "Forgiving", **spec: Any) -> tuple[World, Object]:
    """A world whose first trial gave VALUES, and the pod of the second."""
    world = World(in_one_pod(discard, budget={"parallelism": 1}, **spec))
    pod = world.begin()
    for fold, value in enumerate(VALUES):
        world.say(pod, fold, value - 0.2, step=1)
        world.say(pod, fold, value, step=2)
    world.end(pod, 0)
    assert world.trial().state == "Succeeded"
    return world, world.begin()


def test_a_trial_whose_first_folds_are_hopeless_is_stopped_while_it_runs() -> None:
    world, pod = with_a_best_trial()
    world.say(pod, 0, 0.65, final=True)  # Within a standard error, 0.0577.
    assert world.trial(1).state == "Running"
    world.say(pod, 1, 0.1)
    assert world.trial(1).state == "Running", "the fold may still get better"
    world.say(pod, 1, 0.72, final=True)
    assert why(world.trial(1))[:2] == ("Stopped", "Discarded")
    assert folds_of(world.trial(1)) == {0: 0.65, 1: 0.72}
    assert world.jobs["demo-1-0-0-0"]["metadata"].get("deletionTimestamp")


def test_a_trial_that_has_done_all_its_folds_is_not_discarded() -> None:
    world, pod = with_a_best_trial()
    log = world.logs[pod["metadata"]["uid"]]
    log += [json.dumps({"accuracy": 0.1, "fold": f, "final": True}) for f in range(3)]
    world.look(pod)
    assert world.trial(1).state == "Running"
    world.end(pod, 0)
    assert world.trial(1).state == "Succeeded"


def test_a_rule_of_early_stopping_judges_the_fold_that_is_trained() -> None:
    median = {"type": "Median", "settings": {"startupTrials": 1}}
    world, pod = with_a_best_trial("None", earlyStopping=median)
    world.say(pod, 0, 0.6, step=1)
    world.say(pod, 0, 0.7, step=2)
    assert world.trial(1).state == "Running"
    world.say(pod, 1, 0.5, step=1)
    state, reason, message = why(world.trial(1))
    assert (state, reason) == ("Stopped", "EarlyStopped")
    assert "step 1 of fold 1" in message


def test_patience_which_ends_single_folds_is_refused() -> None:
    (error,) = problems(in_one_pod(earlyStopping={"type": "Patience"}))
    assert error.field == "spec.earlyStopping.type"
    assert "crossValidation.execution OnePod" in error.message


FOLD_IN_REGEX = r"fold (?P<fold>\d+) has (?P<value>[\d.]+)"


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ({}, '{"accuracy": 0.5, "fold": 2}'),
        ({"formats": ["TrainerLog", "Json"]}, "{'accuracy': 0.5, 'fold': 2}"),
        ({"formats": ["KeyValue"]}, "accuracy=0.5 fold=2"),
        ({"formats": ["Regex"], "regex": FOLD_IN_REGEX}, "fold 2 has 0.5"),
    ],
)
def test_each_format_may_tell_the_fold(source: dict[str, Any], line: str) -> None:
    study = in_one_pod(metrics=[{"type": "Logs"} | source])
    assert problems(study) == []
    assert LineReader(study.spec).read(line) == Observation({"accuracy": 0.5}, fold=2)


def test_the_gpus_are_counted_once() -> None:
    world = World(in_one_pod(trial={"image": "i", "gpus": 2}))
    pod = world.begin()
    for fold, value in enumerate(VALUES):
        world.say(pod, fold, value)
        world.seconds += 10
    world.end(pod, 0)
    (run,) = (world.trial().status and world.trial().status.runs) or ()
    assert run.gpu_seconds == 2 * 35


def test_a_trial_that_is_suspended_after_its_last_fold_is_not_trained_again() -> None:
    world = World(in_one_pod(budget={"maxTrials": 1}))
    pod = world.begin()
    for fold, value in enumerate(VALUES):
        world.say(pod, fold, value, final=True)
    world.edit(lambda spec: spec.update(suspend=True))
    for _ in range(3):
        world.reconcile()
        world.tick()
    assert folds_of(world.trial()) == dict(enumerate(VALUES))
    assert world.trial().state == "Succeeded"
    world.edit(lambda spec: spec.update(suspend=False))
    for _ in range(3):
        world.reconcile()
        world.tick()
    assert world.study.ended
    status = world.trial().status
    assert status is not None and len(status.runs or ()) == 1
