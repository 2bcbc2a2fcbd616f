"""A machine in memory that carries out plans at once, for tests of what is decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunFacts, RunKey, RunState
from kubestudy.core.names import job_name
from kubestudy.core.plan import CreateTrial, Event, StartRun, StopRun, WriteTrialStatus
from tests.unit import build


class Machine:
    """Carries plans out at once; a run ends in the next round, with the value that it is given.

    A number is the value of ``accuracy``, a dictionary the values of several metrics. A value that
    is an int is an exit code: the run fails with it.
    """

    def __init__(self, study: Study, value: Callable[[RunKey], float | int | dict[str, float]]):
        self.study, self._value = study, value
        self.events: list[Event] = []
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
            metrics = value if isinstance(value, dict) else {"accuracy": value}
            reports[uid] = build.report(**metrics)
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
        self.events += plan.events
        if plan.status is not None:
            self.study = self.study.model_copy(update={"status": plan.status})
        return bool(plan.actions or plan.status)

    def drive(self) -> Machine:
        for _ in range(1000):
            if not self.round():
                return self
        raise AssertionError("the Study does not come to rest")
