"""The loop on one machine: see how things are, decide, do it, wait for something to happen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kubestudy.api.metrics_source import SourceType
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.core.decide import decide
from kubestudy.core.facts import RunFacts, RunKey
from kubestudy.core.plan import (
    CreateTrial,
    EarlierStudy,
    Event,
    Plan,
    Snapshot,
    StartRun,
    StopRun,
    SuspendRun,
    WriteTrialStatus,
)
from kubestudy.local.processes import Processes
from kubestudy.local.reports import Reports
from kubestudy.local.store import Store
from kubestudy.local.waiting import Waiting
from kubestudy.workloads.job import build
from kubestudy.workloads.pod import Manifest
from kubestudy.workloads.pod_template import JobSettings

# Logs and processes of an earlier runner cannot call us, so they are looked at this often.
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Moment:
    """How a Study stands, for whoever watches.

    Attributes:
        study: The Study.
        trials: Its trials, sorted by index.
        events: What has just happened.
        stopping: Whether its runs are being held back since the runner was asked to end.
    """

    study: Study
    trials: Sequence[Trial]
    events: Sequence[Event] = ()
    stopping: bool = False


class Engine:
    """Drives one Study to its end.

    Args:
        store: Its objects; the caller holds their lock.
        processes: Its runs.
    """

    def __init__(self, store: Store, processes: Processes):
        self._store, self._processes = store, processes
        self._reports = Reports(store.folder, processes, store.study.spec)
        # Nothing scrapes local runs, which would all want the same port.
        self._settings = JobSettings(metrics_port=0)
        self._seen: list[RunFacts] = []
        self._earlier: dict[str, EarlierStudy] | None = None
        self._look_at = 0.0
        self._stopping = False

    def take_up(self) -> list[str]:
        """Finds the runs that an earlier runner has left; once, before anything is run.

        Those that wait begin, or begin again, as the Study's ``trial`` says now.

        Returns:
            The names of those that are at work as it said before.
        """
        self._processes.find({t.metadata.name for t in self._store.trials if t.finished})
        return self._processes.renew(self._job)

    def run(self, watcher: Callable[[Moment], None]) -> bool:
        """Runs the Study until it has ended, or until this process is asked to end.

        Asked to end, it holds all runs back, as a suspended Study does: each is asked to save its
        work, and goes on when the Study is run again. Asked once more, it kills them.

        Args:
            watcher: Given how the Study stands whenever something has changed.

        Returns:
            Whether the Study has ended.
        """
        with Waiting() as waiting:
            killed = False
            while True:
                if waiting.asked_to_end > 1 and not killed:
                    self._processes.kill()
                    killed = True
                over = self._round(watcher, stopping=waiting.asked_to_end > 0)
                if over is not None:
                    self._store.flush(all_of_it=True)
                    return over
                waiting.wait(min(LOOK_SECONDS, self._look_at - time.monotonic()))

    def _round(self, watcher: Callable[[Moment], None], stopping: bool) -> bool | None:
        """Does what is due; returns how it ended, None where it goes on."""
        self._store.flush()
        edited = self._store.take_edit()
        spec = self._store.study.spec
        self._processes.gpu_resource = spec.trial.gpu_resource
        self._processes.parallelism = spec.budget.parallelism
        runs = self._processes.sync()
        news = self._reports.read(runs)
        still = all(r.ended_by_itself or (r.suspended and not r.deleting) for r in runs)
        changed = edited or news or runs != self._seen or stopping != self._stopping
        if not changed and time.monotonic() < self._look_at:
            return False if stopping and still else None
        self._seen, self._stopping = runs, stopping
        study = self._store.study
        if stopping:
            held = study.spec.model_copy(update={"suspend": True})
            study = study.model_copy(update={"spec": held})
        now = datetime.now(UTC)
        plan = decide(
            Snapshot(
                study,
                self._store.trials,
                runs,
                self._reports.by_pod,
                now,
                sources=_sources(study),
                earlier=self._earlier_studies(),
            )
        )
        self._apply(plan)
        watcher(Moment(self._store.study, self._store.trials, plan.events, stopping))
        if not plan.actions and still and self._store.study.ended:
            return True
        self._look_at = time.monotonic() + (
            0 if plan.actions else 3600 if plan.look_again is None else plan.look_again
        )
        return None

    def _job(self, run: RunKey) -> Manifest:
        return build(self._store.study, self._store.trial(run.trial), run, self._settings)

    def _earlier_studies(self) -> dict[str, EarlierStudy]:
        """The Studies that this one starts from; once it has trials they matter no more anew."""
        warm_start = self._store.study.spec.warm_start
        if warm_start is not None and (self._earlier is None or not self._store.trials):
            folders = {name: self._store.folder.beside(name) for name in warm_start.studies}
            self._earlier = {
                name: EarlierStudy(folder.study(), folder.trials())
                for name, folder in folders.items()
                if folder.exists()
            }
        return self._earlier or {}

    def _apply(self, plan: Plan) -> None:
        for action in plan.actions:
            match action:
                case CreateTrial(trial):
                    self._store.add_trial(trial)
                case StartRun(run):
                    self._processes.create(self._job(run))
                case StopRun(_, job=name):
                    self._processes.delete(name)
                case SuspendRun(_, job=name, suspend=suspend):
                    self._processes.suspend(name, suspend)
                case WriteTrialStatus(name, status, urgent):
                    self._store.put_trial_status(name, status, urgent)
        if plan.status is not None:
            self._store.put_status(plan.status)
        for event in plan.events:
            self._store.add_event(event)


def _sources(study: Study) -> frozenset[SourceType]:
    """Where reports can be read from: a Study that names the logs is content with them here."""
    named = frozenset(study.spec.sources)
    logs = frozenset({SourceType.LOGS})
    return named if logs <= named else logs
