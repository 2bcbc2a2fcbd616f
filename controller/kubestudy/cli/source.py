"""Where Studies are: in a cluster or in a results folder, seen alike by every command."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from kubestudy.cli.errors import NotFound

if TYPE_CHECKING:
    from kubestudy.api.study import Study
    from kubestudy.api.trial import Trial
    from kubestudy.local.engine import Moment

DEFAULT_RESULTS = Path("results")


@dataclass(frozen=True)
class Told:
    """One event, as it is shown."""

    when: datetime
    type: str
    reason: str
    message: str


class Source(Protocol):
    """What every command needs of the place where Studies are.

    Attributes:
        flags: What to add to a command line so that it finds the same place.
    """

    flags: str

    def where(self, study: Study) -> str:
        """Where a Study is, for a person."""

    def studies(self) -> list[Study]:
        """All Studies."""

    def study(self, name: str) -> Study:
        """One Study.

        Raises:
            NotFound: There is none of this name.
        """

    def trials(self, study: Study) -> list[Trial]:
        """The trials of a Study, sorted by index."""

    def events(self, study: Study, trial: Trial | None) -> list[Told]:
        """What happened to a Study or to one trial of it, the oldest first."""

    def logs(self, study: Study, trial: Trial, follow: bool) -> Iterator[str]:
        """The lines of a trial's last run."""

    def follow(self, study: Study) -> Iterator[Moment]:
        """How a Study stands, again and again until it has ended."""

    def change(self, study: Study, patch: dict[str, Any]) -> None:
        """Changes a Study by a merge patch."""

    def delete(self, study: Study) -> None:
        """Deletes a Study and everything of it."""


def study_or_trial(source: Source, name: str) -> tuple[Study, Trial | None]:
    """Finds a Study, or the trial of one, by its name.

    Raises:
        NotFound: It is neither.
    """
    try:
        return source.study(name), None
    except NotFound as error:
        base, _, index = name.rpartition("-")
        if not (base and index.isdigit()):
            raise
        try:
            study = source.study(base)
        except NotFound as of_base:
            if of_base.closest is None:
                raise error from None
            trial_of = f"{of_base.closest}-{index}"
            raise NotFound(name, error.where, [*error.known, trial_of]) from None
    trials = source.trials(study)
    for trial in trials:
        if trial.metadata.name == name:
            return study, trial
    raise NotFound(name, source.where(study), [t.metadata.name for t in trials])
