"""Hyperband, BOHB and ASHA: the paper's table, and what becomes of trials at their rungs."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubestudy.algorithms.rungs import brackets, levels
from kubestudy.api.algorithm import Resource
from kubestudy.api.meta import condition
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.core.acceptance import problems
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunFacts, RunKey, RunState
from kubestudy.core.names import job_name
from kubestudy.core.plan import CreateTrial, StartRun, StopRun, WriteTrialStatus
from kubestudy.core.reports import Observation, RunReport
from tests.unit import build

SPACE = [{"name": "x", "min": 0, "max": 1}]


# The table.


def paper(maximum: int, eta: int) -> list[list[tuple[int, float]]]:
    """Algorithm 1 as it is printed, with a logarithm that is right for powers."""
    s_max = next(s for s in range(64) if eta ** (s + 1) > maximum)
    table = []
    for s in range(s_max, -1, -1):
        n = math.ceil((s_max + 1) * eta**s / (s + 1))
        r = maximum / eta**s
        table.append([(n // eta**i, r * eta**i) for i in range(s + 1)])
    return table


@pytest.mark.parametrize(
    ("maximum", "eta"), [(81, 3), (243, 3), (9, 3), (1000, 10), (2, 2), (100, 4), (27, 3)]
)
def test_brackets_and_rungs_are_the_papers(maximum: int, eta: int) -> None:
    ours = brackets(Resource(name="epochs", max=maximum, eta=eta))
    printed = paper(maximum, eta)
    assert [b.sizes for b in ours] == [tuple(n for n, _ in rungs) for rungs in printed]
    for bracket, rungs in zip(ours, printed, strict=True):
        assert bracket.resources == tuple(math.floor(r + 1e-9) for _, r in rungs)
        assert bracket.resources[-1] == maximum


def test_table_1_of_the_paper() -> None:
    of_81 = brackets(Resource(name="epochs", max=81))
    assert [list(zip(b.sizes, b.resources, strict=True)) for b in of_81] == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]


def test_a_power_is_a_power() -> None:
    assert len(brackets(Resource(name="epochs", max=243))) == 6


@given(st.integers(1, 50), st.integers(1, 2000), st.integers(2, 12))
def test_rungs_rise_from_the_smallest_resource_to_the_largest(
    low: int, more: int, eta: int
) -> None:
    resource = Resource(name="r", min=low, max=low * eta + more, eta=eta)
    for bracket in brackets(resource):
        assert list(bracket.resources) == sorted(set(bracket.resources))
        assert bracket.resources[0] >= low
        assert bracket.resources[-1] == resource.max
        assert set(bracket.resources) <= set(levels(resource))
        assert all(
            a // eta >= b > 0 for a, b in zip(bracket.sizes, bracket.sizes[1:], strict=False)
        )


# Studies on simulated workers.


@dataclass
class Workers:
    """Carries plans out on simulated pods, each of which reports once an epoch.

    Attributes:
        study: The Study.
        value: What a trial measures at an epoch, from its point.
        speed: Seconds of an epoch, from a trial's index.
        start_up: Seconds from a run's start to its first epoch.
        keeps: Whether pods find their checkpoints again.
        tells: Whether reports tell the epoch.
    """

    study: Study
    value: Callable[[float, int], float] = lambda x, epoch: x * (1 - 0.5**epoch)
    speed: Callable[[int], float] = lambda index: 10.0
    start_up: float = 5.0
    keeps: bool = True
    tells: bool = True
    trials: dict[str, Trial] = field(default_factory=dict)
    runs: dict[RunKey, RunFacts] = field(default_factory=dict)
    reports: dict[str, RunReport] = field(default_factory=dict)
    epochs: dict[tuple[str, int], int] = field(default_factory=dict)
    started: list[RunKey] = field(default_factory=list)
    busy: float = 0.0
    seconds: float = 0.0
    _events: list[tuple[float, int, RunKey]] = field(default_factory=list)
    _number: int = 0
    most_at_once: int = 0

    def drive(self) -> Workers:
        for _ in range(20_000):
            if not self.decide() and not self.advance():
                return self
        raise AssertionError("the Study does not come to rest")

    def decide(self) -> bool:
        ordered = sorted(self.trials.values(), key=lambda t: t.spec.index)
        seen = build.snapshot(
            self.study, ordered, list(self.runs.values()), self.reports, self.seconds
        )
        plan = decide(seen)
        for action in plan.actions:
            match action:
                case CreateTrial(trial):
                    self.trials[trial.metadata.name] = trial
                case StartRun(run):
                    self._start(run)
                case StopRun(run, _):
                    del self.runs[run]
                case WriteTrialStatus(name, status, _):
                    was = self.trials[name]
                    assert not was.finished, "what is finished stays as it is"
                    self.trials[name] = was.model_copy(update={"status": status})
        if plan.status is not None:
            self.study = self.study.model_copy(update={"status": plan.status})
        at_work = sum(f.active for f in self.runs.values())
        assert at_work <= self.study.spec.budget.parallelism
        return bool(plan.actions or plan.status)

    def advance(self) -> bool:
        """Lets time pass until something happens."""
        while self._events:
            at, _, key = heapq.heappop(self._events)
            if key not in self.runs:
                continue
            self.busy += (at - self.seconds) * sum(f.active for f in self.runs.values())
            self.seconds = at
            self._epoch(key)
            return True
        return False

    def _start(self, run: RunKey) -> None:
        assert run not in self.started, "a run is never started twice"
        self.started.append(run)
        uid = f"pod-{job_name(run)}"
        self.reports[uid] = RunReport.empty(self.study.spec)
        self.runs[run] = RunFacts(
            run,
            job_name(run),
            RunState.RUNNING,
            pod_uid=uid,
            created=build.at(self.seconds),
            started=build.at(self.seconds),
        )
        if not self.keeps:
            self.epochs.pop((run.trial, run.fold), None)
        self._next(run, self.start_up)

    def _next(self, key: RunKey, more: float = 0.0) -> None:
        self._number += 1
        at = self.seconds + more + self.speed(self.trials[key.trial].spec.index)
        heapq.heappush(self._events, (at, self._number, key))

    def _epoch(self, key: RunKey) -> None:
        from dataclasses import replace

        trial, facts = self.trials[key.trial], self.runs[key]
        epoch = self.epochs[key.trial, key.fold] = self.epochs.get((key.trial, key.fold), 0) + 1
        value = self.value(float(trial.spec.parameters["x"]), epoch)
        report = self.reports[facts.pod_uid or ""]
        spent = float(epoch) if self.tells else None
        report.add(Observation({"accuracy": value}, resource=spent))
        assert self.study.spec.algorithm.resource is not None
        if epoch == self.study.spec.algorithm.resource.max:
            report.complete = True
            self.runs[key] = replace(
                facts, state=RunState.SUCCEEDED, exit_code=0, ended=build.at(self.seconds)
            )
        else:
            self._next(key)


def study(**spec: Any) -> Study:
    algorithm = {"type": "Hyperband", "resource": {"name": "num_train_epochs", "max": 9}, "seed": 1}
    algorithm |= spec.pop("algorithm", {})
    trial = {"image": "i", "gpus": 1, "checkpoints": {"claimName": "c"}} | spec.pop("trial", {})
    found = build.study(parameters=SPACE, algorithm=algorithm, trial=trial, **spec)
    assert not problems(found)
    return found


def reason(trial: Trial) -> str:
    assert trial.status is not None
    return next(c.reason for c in trial.status.conditions or () if c.status == "True")


@pytest.mark.parametrize("parallelism", [1, 2, 7, 40])
@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("synchronous", [True, False])
def test_hyperband_runs_its_table(parallelism: int, kept: bool, synchronous: bool) -> None:
    of = study(
        algorithm={"synchronous": synchronous},
        budget={"parallelism": parallelism},
        trial={} if kept else {"checkpoints": None},
    )
    if not kept:
        of = Study.model_validate({**of.to_json()})
    done = Workers(of, keeps=kept).drive()
    trials = list(done.trials.values())
    assert done.study.ended
    assert len(trials) == 17
    assert Counter(t.spec.bracket for t in trials) == {0: 9, 1: 5, 2: 3}
    assert all(t.finished for t in trials)
    assert {t.state for t in trials} == {"Succeeded", "Stopped"}
    assert {reason(t) for t in trials if t.state == "Stopped"} == {"Pruned"}
    for t in trials:
        rungs = [r.resource for r in t.status.rungs or ()] if t.status else []
        table = [1, 3, 9][t.spec.bracket or 0 :]
        assert rungs == table[: len(rungs)]
        assert (t.state == "Succeeded") == (rungs == table)
    best = max(float(t.spec.parameters["x"]) for t in trials)
    status = done.study.status
    assert status is not None
    assert status.best is not None
    assert status.best.parameters == {"x": best}, "the best one is never stopped"
    assert status.gpu_seconds is not None
    assert status.gpu_seconds.saved > 0
    assert status.trials is not None
    assert (status.trials.paused, status.trials.finished) == (0, 17)
    assert not done.runs or all(f.ended_by_itself for f in done.runs.values())


@pytest.mark.parametrize("tells", [True, False])
def test_a_trial_that_tells_of_no_rung_says_so(tells: bool) -> None:
    done = Workers(study(budget={"parallelism": 17}), tells=tells).drive()
    ended = [t for t in done.trials.values() if t.state == "Succeeded"]
    assert ended
    for t in ended:
        end = condition(t.status.conditions if t.status else None, "Succeeded")
        first = [1, 3, 9][t.spec.bracket or 0]
        untold = f"came to no rung: it never reported accuracy together with epoch {first} or more"
        assert end is not None
        assert end.message == ("" if tells else untold)
    told = condition(done.study.status.conditions if done.study.status else None, "Complete")
    silent = (
        f"; {len(ended)} of {len(ended)} trials came to no rung, so that they could not be stopped"
        " early: they never reported accuracy together with epoch"
    )
    assert told is not None
    assert told.message.endswith(silent) is not tells


def test_synchronous_rungs_have_the_sizes_of_the_table() -> None:
    done = Workers(study(algorithm={"synchronous": True}, budget={"parallelism": 3})).drive()
    for number, bracket in enumerate(brackets(Resource(name="r", max=9))):
        of = [t for t in done.trials.values() if t.spec.bracket == number]
        for rung, size in enumerate(bracket.sizes):
            assert sum(len(t.status.rungs or ()) > rung for t in of if t.status) == size
        ranked = sorted(of, key=lambda t: float(t.spec.parameters["x"]), reverse=True)
        wanted = {t.metadata.name for t in ranked[: bracket.sizes[-1]]}
        assert {t.metadata.name for t in of if t.state == "Succeeded"} == wanted


def test_a_trial_that_comes_to_be_among_the_best_is_gone_on_with_from_its_checkpoint() -> None:
    runs = [
        Workers(study(algorithm={"seed": seed}, budget={"parallelism": 2})).drive()
        for seed in range(3)
    ]
    resumed = [(done, key) for done in runs for key in done.started if key.rung > 0]
    assert resumed
    for done, key in resumed:
        trial = done.trials[key.trial]
        assert trial.status is not None
        of_trial = trial.status.runs or []
        assert [r.rung for r in of_trial] == sorted({r.rung for r in of_trial})
        assert of_trial[0].reason == "Paused"
        assert done.epochs[key.trial, 0] <= 9, "no epoch is trained twice"


def test_without_checkpoints_a_trial_is_stopped_for_good() -> None:
    of = study(budget={"parallelism": 2}, trial={"checkpoints": None})
    of = Study.model_validate(of.to_json())
    done = Workers(of, keeps=False).drive()
    assert all(key.rung == 0 for key in done.started)


@pytest.mark.parametrize("parallelism", [1, 4, 16])
def test_slots_are_kept_busy(parallelism: int) -> None:
    of = study(
        algorithm={"resource": {"name": "epochs", "max": 9}, "settings": {"iterations": 9}},
        budget={"parallelism": parallelism, "timeout": f"{2000 // parallelism + 120}s"},
    )
    done = Workers(of, speed=lambda index: 8.0 + index % 5).drive()
    assert done.busy / (parallelism * done.seconds) > 0.9


def test_asha_promotes_as_many_as_its_eta_says() -> None:
    of = study(
        algorithm={"type": "ASHA", "resource": {"name": "epochs", "max": 27}},
        budget={"parallelism": 4, "maxTrials": 36},
    )
    done = Workers(of).drive()
    came = Counter(r.resource for t in done.trials.values() for r in (t.status.rungs or ()))  # type: ignore[union-attr]
    assert came[1] == 36
    assert 36 // 3 <= came[3] <= 36 // 3 + 10
    assert came[27] >= 1
    assert done.study.status is not None
    assert done.study.status.best is not None


def test_bohb_learns_from_rungs() -> None:
    def best_of(kind: str, seed: int) -> float:
        algorithm = {"type": kind, "seed": seed, "resource": {"name": "epochs", "max": 9}}
        algorithm["settings"] = {"iterations": 2}
        of = study(algorithm=algorithm, budget={"parallelism": 4})
        done = Workers(of, value=lambda x, epoch: -abs(x - 0.37) * (1 + 1 / epoch)).drive()
        assert done.study.status is not None
        assert done.study.status.best is not None
        return float(done.study.status.best.objectives[0].value)

    seeds = range(2)
    random = sum(best_of("Hyperband", seed) for seed in seeds)
    assert sum(best_of("BOHB", seed) for seed in seeds) > random


def test_the_trial_is_told_the_whole_resource() -> None:
    from kubestudy.workloads.job import build as job
    from kubestudy.workloads.pod_template import JobSettings

    of = study()
    trial = Trial.model_validate(
        {
            "metadata": {"name": "demo-0", "uid": "u"},
            "spec": {"study": "demo", "index": 0, "bracket": 0, "parameters": {"x": 0.5}},
        }
    )
    container = job(of, trial, RunKey("demo-0", 1), JobSettings())["spec"]["template"]["spec"][
        "containers"
    ][0]
    assert container["args"] == ["--x=0.5", "--num_train_epochs=9"]
    env = {e["name"]: e.get("value") for e in container["env"]}
    assert env["KUBESTUDY_PARAMETERS"] == '{"x": 0.5, "num_train_epochs": 9}'
    assert (env["KUBESTUDY_RESOURCE"], env["KUBESTUDY_RESOURCE_MAX"]) == ("num_train_epochs", "9")
    assert env["KUBESTUDY_RUNGS"] == "1,3,9"


def test_folds_are_judged_by_their_mean_at_each_rung() -> None:
    of = study(crossValidation={"folds": 2}, budget={"parallelism": 4})
    done = Workers(of, speed=lambda index: 10.0).drive()
    assert done.study.ended
    for t in done.trials.values():
        assert t.status is not None
        if t.state == "Succeeded":
            assert {r.fold for r in t.status.runs or ()} == {0, 1}
    assert any(t.state == "Stopped" for t in done.trials.values())


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"algorithm": {"type": "Hyperband"}}, "spec.algorithm.resource", "needs to know"),
        (
            {"algorithm": {"type": "Random", "resource": {"name": "e", "max": 9}}},
            "spec.algorithm.resource",
            "runs every trial to its end",
        ),
        (
            {"algorithm": {"type": "Random", "synchronous": True}},
            "spec.algorithm.synchronous",
            "leave it out",
        ),
        (
            {"algorithm": {"type": "ASHA", "resource": {"name": "x", "max": 9}}},
            "spec.algorithm.resource.name",
            "take it out of the parameters",
        ),
        (
            {
                "algorithm": {"type": "BOHB", "resource": {"name": "e", "max": 9}},
                "crossValidation": {"folds": 3},
            },
            "spec.budget.parallelism",
            "at least 3",
        ),
        (
            {
                "algorithm": {
                    "type": "Hyperband",
                    "resource": {"name": "e", "max": 1_000_000, "eta": 2},
                }
            },
            "spec.algorithm.resource",
            "raise min",
        ),
    ],
)
def test_what_cannot_be_run_is_refused(changes: dict[str, Any], field: str, words: str) -> None:
    given = {"parameters": SPACE, "budget": {"maxTrials": 9}} | changes
    found = {e.field: e.message for e in problems(build.study(**given))}
    assert field in found
    assert words in found[field]
