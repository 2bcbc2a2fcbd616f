"""Cross-validation: a run per fold, the mean over folds, and trials discarded before their last."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest

from kubestudy.api.meta import ConditionStatus
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.core.acceptance import problems
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunFacts, RunKey, RunState
from kubestudy.core.names import job_name
from kubestudy.core.plan import CreateTrial, StartRun, StopRun, WriteTrialStatus
from tests.unit import build


class Machine:
    """Carries plans out at once; a run ends in the next round, with the value that it is given.

    A value that is an int is an exit code: the run fails with it.
    """

    def __init__(self, study: Study, value: Callable[[RunKey], float | int]):
        self.study, self._value = study, value
        self.trials: dict[str, Trial] = {}
        self.runs: dict[RunKey, RunFacts] = {}
        self.started: list[RunKey] = []
        self.most_at_once = 0
        self._seconds = 0.0

    def round(self) -> bool:
        """Decides once; returns whether there was anything to do."""
        self._seconds += 10
        reports = {}
        for key, facts in self.runs.items():
            value, uid = self._value(key), f"pod-{job_name(key)}"
            self.runs[key] = replace(
                facts,
                state=RunState.FAILED if isinstance(value, int) else RunState.SUCCEEDED,
                exit_code=value if isinstance(value, int) else 0,
                pod_uid=uid,
                started=build.at(self._seconds - 5),
                ended=build.at(self._seconds),
            )
            reports[uid] = build.report(accuracy=value)
        trials = sorted(self.trials.values(), key=lambda t: t.spec.index)
        plan = decide(
            build.snapshot(self.study, trials, list(self.runs.values()), reports, self._seconds)
        )
        for action in plan.actions:
            match action:
                case CreateTrial(trial):
                    self.trials[trial.metadata.name] = trial
                case StartRun(run):
                    assert run not in self.started, "a run is never started twice"
                    self.started.append(run)
                    self.runs[run] = RunFacts(run, job_name(run), created=build.at(self._seconds))
                case StopRun(run, _):
                    del self.runs[run]
                case WriteTrialStatus(name, status, _):
                    trial = self.trials[name]
                    self.trials[name] = trial.model_copy(update={"status": status})
        self.most_at_once = max(
            self.most_at_once, sum(not f.ended_by_itself for f in self.runs.values())
        )
        if plan.status is not None:
            self.study = self.study.model_copy(update={"status": plan.status})
        return bool(plan.actions or plan.status)

    def drive(self) -> Machine:
        for _ in range(200):
            if not self.round():
                return self
        raise AssertionError("the Study does not come to rest")


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


def test_a_trial_worse_than_the_worst_fold_of_the_best_is_discarded() -> None:
    # The first trial is the best: its worst fold is 0.95.
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


def test_one_pod_for_all_folds_is_refused_for_now() -> None:
    study = build.study(crossValidation={"folds": 3, "execution": "OnePod"})
    assert [e.field for e in problems(study)] == ["spec.crossValidation.execution"]
