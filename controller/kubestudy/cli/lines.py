"""A Study followed off a terminal: one plain line for each trial that has finished."""

from __future__ import annotations

from kubestudy.api.study import Study
from kubestudy.api.trial import SUCCEEDED, Trial
from kubestudy.cli.outcomes import confirms_text, feasibility, objective_text
from kubestudy.cli.tables import echo, one_line
from kubestudy.cli.views import assignment, counts, duration, headline, total, why
from kubestudy.local.engine import Moment


class Lines:
    """Prints a line for all that is new since the last moment."""

    def __init__(self) -> None:
        self._told: set[str] | None = None

    def show(self, moment: Moment) -> None:
        """Takes how the Study stands now."""
        study = moment.study
        if study.status is None:
            return
        finished = [t for t in moment.trials if t.finished]
        if self._told is None:
            echo(f"{study.metadata.name}: {headline(study)}")
            self._told = {t.metadata.name for t in finished}
            if self._told:
                were = "trial was" if len(self._told) == 1 else "trials were"
                echo(f"going on: {len(self._told)} {were} finished before")
        for event in moment.events:
            if event.reason in (
                "TrialRetried",
                "Suspending",
                "Suspended",
                "Resumed",
                "EditRefused",
            ):
                echo(one_line(event.message))
        new = [t for t in finished if t.metadata.name not in self._told]
        for trial in sorted(new, key=_end):
            self._told.add(trial.metadata.name)
            echo(_line(study, trial, len(self._told)))

    def close(self) -> None:
        """There is nothing to clean up."""


def _end(trial: Trial) -> tuple[str, int]:
    ended = trial.status.completion_time if trial.status else None
    return str(ended), trial.spec.index


def _line(study: Study, trial: Trial, place: int) -> str:
    wanted = total(study) or (counts(study).created if study.ended else None)
    number_of = f"{place:>{len(str(wanted))}}/{wanted}" if wanted else str(place)
    if trial.state == SUCCEEDED:
        metrics = [o.metric for o in study.spec.objectives]
        what = " ".join(f"{m}={objective_text(trial, m)}" for m in metrics)
        if feasibility(trial) == "no":
            what += " (not feasible)"
    else:
        what = f"{trial.state.lower()}: {why(trial)}"
    parameters = assignment(study, trial.spec.parameters)
    if trial.spec.confirms:
        parameters += f"  confirms {confirms_text(trial)}"
    return f"[{number_of}] {trial.metadata.name}  {what}  {parameters}  {duration(trial)}"
