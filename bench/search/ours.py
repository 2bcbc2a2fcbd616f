"""kubestudy itself: the decision that its controller makes, carried out on simulated workers.

The objects, the facts and the reports are the controller's own; what is left out is Kubernetes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.search.problem import Config, Problem
from bench.search.simulator import Run
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunFacts, RunKey, RunState
from kubestudy.core.names import job_name
from kubestudy.core.plan import (
    CreateTrial,
    Plan,
    Snapshot,
    StartRun,
    StopRun,
    WriteTrialStatus,
)
from kubestudy.core.reports import Observation, RunReport

START = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = timedelta(minutes=1)
METRIC = "loss"


class Kubestudy:
    """A Study, driven by ``kubestudy.core.decide``.

    Args:
        problem: What is searched.
        algorithm: The Study's ``spec.algorithm`` without the seed.
        seed: Of the Study.
        workers: The Study's parallelism.
        trials: Its ``budget.maxTrials``.
    """

    def __init__(
        self, problem: Problem, algorithm: Config, seed: int, workers: int, trials: int = 100_000
    ):
        self._study = Study.model_validate(
            {
                "metadata": {
                    "name": "study",
                    "namespace": "bench",
                    "uid": "study",
                    "generation": 1,
                },
                "spec": {
                    "objectives": [{"metric": METRIC, "direction": "Minimize"}],
                    "parameters": problem.parameters,
                    "algorithm": {**algorithm, "seed": seed},
                    "budget": {"parallelism": workers, "maxTrials": trials},
                    "trial": {
                        "command": ["train"],
                        "checkpoints": {"claimName": "checkpoints"},
                    },
                },
            }
        )
        resource = self._study.spec.algorithm.resource
        self._resource = resource is not None
        self._rungs = {resource.max // resource.eta**i for i in range(32)} if resource else set()
        self._epochs = problem.epochs
        self._trials: dict[str, Trial] = {}
        self._facts: dict[RunKey, RunFacts] = {}
        self._reports: dict[str, RunReport] = {}
        self._epoch: dict[str, int] = {}
        self._to_start: deque[RunKey] = deque()
        self._settled = False

    def next(self, now: float) -> Run | None:
        """The next run that the decision has started."""
        if not self._to_start and not self._settled:
            self._decide(now)
        if not self._to_start:
            return None
        key = self._to_start.popleft()
        return Run(key, self._trials[key.trial].spec.parameters, self._epoch.get(key.trial, 0))

    def report(self, run: Run, loss: float, now: float) -> bool:
        """Takes a report; decides where it may change anything: at a rung, and at the end."""
        key: Any = run.key
        facts = self._facts[key]
        report = self._reports[facts.pod_uid or ""]
        spent = {"resource": run.epoch} if self._resource else {}
        report.add(Observation({METRIC: loss}, step=run.epoch, **spent))
        self._epoch[key.trial] = run.epoch
        over = run.epoch == self._epochs
        if over:
            report.close(None)
            end = START + EPOCH * now
            self._facts[key] = replace(facts, state=RunState.SUCCEEDED, exit_code=0, ended=end)
        if over or run.epoch in self._rungs:
            self._decide(now)
        return key in self._facts and not over

    def _decide(self, now: float) -> None:
        """Decides, and carries the plan out, until nothing follows from what was done."""
        again = True
        while again:
            time = START + EPOCH * now
            trials = list(self._trials.values())  # made in the order of their indexes
            facts = list(self._facts.values())
            plan = decide(Snapshot(self._study, trials, facts, self._reports, time))
            again = self._carry_out(plan, time)
        self._settled = True

    def _carry_out(self, plan: Plan, time: datetime) -> bool:
        freed = False
        for action in plan.actions:
            match action:
                case CreateTrial(trial):
                    meta = trial.metadata.model_copy(
                        update={"uid": trial.metadata.name, "creation_timestamp": time}
                    )
                    self._trials[trial.metadata.name] = trial.model_copy(update={"metadata": meta})
                case StartRun(key):
                    self._start(key, time)
                case StopRun(key, _):
                    self._forget(key)
                    freed = True
                case WriteTrialStatus(name, status):
                    self._trials[name] = self._trials[name].model_copy(update={"status": status})
                case _:
                    raise AssertionError(action)
        for key in [k for k, f in self._facts.items() if f.ended_by_itself]:
            if self._trials[key.trial].finished:
                self._forget(key)  # all is stored that is to be known of it
        if plan.status is not None:
            self._study = self._study.model_copy(update={"status": plan.status})
        return freed or plan.look_again == 0.05

    def _start(self, key: RunKey, time: datetime) -> None:
        pod = job_name(key)
        self._facts[key] = RunFacts(
            key, pod, RunState.RUNNING, pod=pod, pod_uid=pod, created=time, started=time
        )
        self._reports[pod] = (
            RunReport.empty(self._study.spec) if self._resource else RunReport(METRIC)
        )
        self._to_start.append(key)

    def _forget(self, key: RunKey) -> None:
        facts = self._facts.pop(key)
        self._reports.pop(facts.pod_uid or "", None)
