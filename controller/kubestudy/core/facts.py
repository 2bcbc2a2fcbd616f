"""What is seen of the world: runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, order=True)
class RunKey:
    """One execution of a trial: which rung, fold and attempt."""

    trial: str
    rung: int = 0
    fold: int = 0
    attempt: int = 0


class RunState(StrEnum):
    """Where a run stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True)
class RunFacts:
    """What is seen of a run's Job and its newest pod, or of a local process.

    Attributes:
        key: Which run.
        job: Name of its Job.
        job_uid: UID of its Job; None for a local process.
        state: Where it stands.
        reason: Why it waits or ended, in CamelCase: ``Unschedulable``, ``OOMKilled``, ...
        message: The same for a person.
        exit_code: Of its container, once it has ended.
        tail: The last lines that it printed, as far as they are known, once it has ended.
        suspended: Whether we hold it back, as its Study is suspended; it then has no pod.
        held_by: Who else holds it back, for a person; it then has no pod. None if nobody does.
        theirs: Whether others say when it runs, so that we never suspend or resume it: it is in a
            queue, or somebody else has held it back or let it go.
        deleting: Whether it is on its way out.
        pod: Name of its newest pod.
        pod_uid: UID of that pod; what is reported is bound to it.
        node: Where it runs.
        created: When its Job was made.
        started: When its container started.
        ended: When its container ended.
        gives_up: When it will have failed if it does not get on; None where it may take its time.
        lingering: Whether its pod is still there although the run has ended, and must be stopped,
            or although it is held back, and is about to go.
        lost: Whether its node does not answer: what it holds there cannot be had, nor be read.
    """

    key: RunKey
    job: str
    job_uid: str | None = None
    state: RunState = RunState.PENDING
    reason: str | None = None
    message: str = ""
    exit_code: int | None = None
    tail: str = ""
    suspended: bool = False
    held_by: str | None = None
    theirs: bool = False
    deleting: bool = False
    pod: str | None = None
    pod_uid: str | None = None
    node: str | None = None
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    gives_up: datetime | None = None
    lingering: bool = False
    lost: bool = False

    @property
    def ended_by_itself(self) -> bool:
        """Whether the run came to an end, good or bad."""
        return self.state in (RunState.SUCCEEDED, RunState.FAILED)

    @property
    def held(self) -> bool:
        """Whether it is held back, by us or by others."""
        return self.suspended or self.held_by is not None

    @property
    def unended(self) -> bool:
        """Whether a pod of it is left that has not ended; one may be made before it is seen."""
        at_work = not self.ended_by_itself and not self.lost
        return self.lingering or (at_work and (self.state == RunState.RUNNING or not self.held))

    @property
    def active(self) -> bool:
        """Whether the run holds a slot, or may do so at any moment."""
        if self.suspended or self.lost:
            return False
        return self.lingering or not self.ended_by_itself

    @property
    def at_rest(self) -> bool:
        """Whether there is nothing (more) to stop of it."""
        return self.deleting or (self.ended_by_itself and not self.lingering)

    @property
    def silent(self) -> bool:
        """Whether it has ended and there is nothing (more) of it that could be read."""
        gone = self.pod_uid is None or self.started is None or self.lost
        return self.ended_by_itself and gone
