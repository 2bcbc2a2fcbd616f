"""What should be done: the only thing that the core hands to the shell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

from kubestudy.api.metrics_source import SourceType
from kubestudy.api.study import Study
from kubestudy.api.study_status import StudyStatus
from kubestudy.api.trial import Trial, TrialStatus
from kubestudy.core.facts import RunFacts, RunKey
from kubestudy.core.pod_security import NOTHING, Allowed
from kubestudy.core.reports import RunReport


@dataclass(frozen=True)
class EarlierStudy:
    """Another Study of the same namespace, and its trials, sorted by index."""

    study: Study
    trials: Sequence[Trial]


@dataclass(frozen=True)
class Snapshot:
    """All that a decision is made from.

    Attributes:
        study: The Study.
        trials: Its trials, sorted by index.
        runs: What is seen of their runs.
        reports: What the runs' pods reported, by the pod's UID.
        now: The time.
        allowed: What the administrator allows to pod templates.
        sources: Where reports can be read from.
        earlier: The Studies that its ``warmStart`` names, by name, as far as they are there.
    """

    study: Study
    trials: Sequence[Trial]
    runs: Sequence[RunFacts]
    reports: Mapping[str, RunReport]
    now: datetime
    allowed: Allowed = NOTHING
    sources: Set[SourceType] = frozenset(SourceType)
    earlier: Mapping[str, EarlierStudy] = field(default_factory=dict)


@dataclass(frozen=True)
class CreateTrial:
    """Stores a suggestion."""

    trial: Trial


@dataclass(frozen=True)
class StartRun:
    """Makes the Job of a run whose Trial is stored."""

    run: RunKey


@dataclass(frozen=True)
class StopRun:
    """Deletes the Job of a run, and so its pod."""

    run: RunKey
    job: str


@dataclass(frozen=True)
class SuspendRun:
    """Holds a run back for its Study's suspension (its pod is stopped), or lets it go on."""

    run: RunKey
    job: str
    suspend: bool


@dataclass(frozen=True)
class WriteTrialStatus:
    """Stores what became of a trial.

    Attributes:
        trial: Name of the Trial.
        status: Its status.
        urgent: Whether more than metrics has changed; what is not urgent may wait a while.
    """

    trial: str
    status: TrialStatus
    urgent: bool = True


Action = CreateTrial | StartRun | StopRun | SuspendRun | WriteTrialStatus


@dataclass(frozen=True)
class Event:
    """Something that a person watching should be told once."""

    reason: str
    message: str
    warning: bool = False
    trial: str | None = None


@dataclass
class Plan:
    """What should be done now, in this order: actions, the Study's status, events.

    Attributes:
        actions: Writes, in the order in which they must happen.
        status: The Study's status; None where it is as it should be.
        events: Told only after all writes have succeeded.
        look_again: Seconds after which to decide again even if nothing is seen to change.
    """

    actions: list[Action] = field(default_factory=list)
    status: StudyStatus | None = None
    events: list[Event] = field(default_factory=list)
    look_again: float | None = None

    def within(self, seconds: float) -> None:
        """Asks to decide again within a time."""
        seconds = max(0.05, seconds)
        self.look_again = seconds if self.look_again is None else min(self.look_again, seconds)
