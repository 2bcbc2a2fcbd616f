"""What is shown of Studies and trials: rows, headlines, rankings and sums."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kubestudy.api.meta import condition
from kubestudy.api.parameters import Assignment, Parameter, Value
from kubestudy.api.study import Study
from kubestudy.api.study_status import TrialCounts
from kubestudy.api.trial import FAILED, PAUSED, PENDING, RUNNING, STOPPED, SUCCEEDED, Trial
from kubestudy.cli.outcomes import (
    aims,
    bounded,
    confirm_text,
    confirms_text,
    feasibility,
    objective_text,
    ranks_of,
)
from kubestudy.cli.tables import NONE, dim, number, one_line, short, span, state
from kubestudy.core.failures import without_values
from kubestudy.core.status import duration_text

_STUDY_COLUMNS = (
    "NAME",
    "STATE",
    "TRIALS",
    "RUNNING",
    "FAILED",
    "OBJECTIVE",
    "BEST",
    "BEST-TRIAL",
    "LEFT",
    "AGE",
)
_ORDER = (SUCCEEDED, RUNNING, PENDING, PAUSED, STOPPED, FAILED)


def study_state(study: Study) -> str:
    """A Study's state in one word."""
    conditions = study.status.conditions if study.status else None
    suspended = condition(conditions, "Suspended")
    if suspended is not None and suspended.reason == "Suspending":
        return "Suspending"
    for type_, word in (
        ("Failed", "Failed"),
        ("Complete", "Complete"),
        ("Suspended", "Suspended"),
        ("Progressing", "Running"),
    ):
        found = condition(conditions, type_)
        if found is not None and found.status == "True":
            return word
    accepted = condition(conditions, "Accepted")
    return "Invalid" if accepted is not None and accepted.status == "False" else "Pending"


def study_story(study: Study) -> str:
    """Why a Study is as it is, for a person."""
    conditions = study.status.conditions if study.status else None
    for type_ in ("Failed", "Complete", "Progressing", "Accepted"):
        found = condition(conditions, type_)
        if found is not None and (found.status == "True" or type_ in ("Progressing", "Accepted")):
            return one_line(found.message or found.reason, 400)
    return "the controller has not seen it yet"


def counts(study: Study) -> TrialCounts:
    """The counts of a Study's trials."""
    return (study.status.trials if study.status else None) or TrialCounts()


def total(study: Study) -> int | None:
    """How many trials there will be; None where it is open."""
    text = (study.status.progress if study.status else None) or ""
    last = text.rpartition("/")[2]
    return int(last) if last.isdigit() else None


def headline(study: Study) -> str:
    """What a Study does, in one line."""
    spec, size = study.spec, total(study)
    trials = f", {size} trials" if size else ""
    folds = f" of {spec.cross_validation.folds} folds" if spec.cross_validation else ""
    again = f", then {confirm_text(spec.confirm)}" if spec.confirm else ""
    bounds = f" with {', '.join(map(bounded, spec.constraints))}" if spec.constraints else ""
    return (
        f"{spec.algorithm.type} search{trials}{folds}, {spec.budget.parallelism} at once,"
        f" {aims(study)}{bounds}{again}"
    )


def study_rows(studies: Sequence[Study], all_namespaces: bool = False) -> list[list[str]]:
    """The table of Studies, with the columns that `kubectl get` has."""
    rows = [(["NAMESPACE"] if all_namespaces else []) + list(_STUDY_COLUMNS)]
    for study in studies:
        status, tally = study.status, counts(study)
        best = status.best if status else None
        row = [
            study.metadata.name,
            state(_phase(study), study_state(study)),
            (status.progress if status else None) or NONE,
            str(tally.running),
            str(tally.failed),
            study.spec.objective.metric,
            number(best.objectives[0].value) if best else NONE,
            best.trial if best else NONE,
            (status.time_left if status else None) or NONE,
            span(study.metadata.creation_timestamp),
        ]
        rows.append(([study.metadata.namespace or NONE] if all_namespaces else []) + row)
    return rows


def _phase(study: Study) -> str:
    """What the Study does now, or why it ended, in one word."""
    progressing = condition(study.status.conditions if study.status else None, "Progressing")
    return progressing.reason if progressing else "Pending"


def ranked(study: Study, trials: Sequence[Trial]) -> list[Trial]:
    """Trials, the best first, then those at work, those to come and those that gave nothing."""
    objective, places = study.spec.objective, ranks_of(study, trials)
    sign = -1.0 if objective.direction == "Maximize" else 1.0

    def key(trial: Trial) -> tuple[int, bool, int, float, int]:
        place, value = places.get(trial.metadata.name, 0), trial.value(objective.metric)
        order = _ORDER.index(trial.state)
        if trial.spec.confirms:
            return order, True, 0, 0, trial.spec.index
        return (
            order,
            trial.spec.confirms is not None,
            place,
            sign * value if value is not None else 0,
            trial.spec.index,
        )

    return sorted(trials, key=key)


def trial_rows(
    study: Study, trials: Sequence[Trial], places: Mapping[str, int] | None = None
) -> list[list[str]]:
    """The table of trials, in the order given, and with their ranks where those are given."""
    spec = study.spec
    metrics = [o.metric for o in spec.objectives]
    bounds = [c.metric for c in spec.constraints or () if c.metric not in metrics]
    names = list(spec.parameter)
    repeats = any(t.spec.confirms for t in trials)
    heading = [
        "TRIAL",
        *(["RANK"] if places is not None else []),
        "STATE",
        *(["CONFIRMS"] if repeats else []),
        *(m.upper() for m in metrics),
        *(m.upper() for m in bounds),
        *(["FEASIBLE"] if spec.constraints else []),
        *([spec.algorithm.resource.report.upper()] if spec.algorithm.resource else []),
        *(n.upper() for n in names),
        "DURATION",
    ]
    rows = [heading]
    for t in trials:
        values = [objective_text(t, m) for m in metrics]
        rungs = (t.status.rungs if t.status else None) or []
        if t.state in (RUNNING, PENDING, PAUSED) or (rungs and t.state == STOPPED):
            # What a trial has reported so far is not its value yet.
            values = [dim(v) if (v := number(latest(t, m))) != NONE else v for m in metrics]
        limited = {v.metric: v.value for v in (t.status.constraints if t.status else None) or ()}
        values += [number(limited.get(m)) for m in bounds]
        if spec.constraints:
            values.append(feasibility(t) or NONE)
        if resource := spec.algorithm.resource:
            reached = rungs[-1].resource if rungs else 0
            values.append(f"{t.spec.until or reached}/{resource.max}")
        word = state(t.state)
        if t.state in (FAILED, STOPPED, PENDING) and (cause := reason(t)[0]) not in ("", t.state):
            word += f" ({cause})"
        rows.append(
            [
                t.metadata.name,
                *([str(places.get(t.metadata.name, NONE))] if places is not None else []),
                word,
                *([confirms_text(t) or NONE] if repeats else []),
                *values,
                *(_cell(spec.parameter[n], t.spec.parameters) for n in names),
                duration(t),
            ]
        )
    return rows


def _cell(parameter: Parameter, given: Assignment) -> str:
    return short(parameter, given[parameter.name]) if parameter.name in given else NONE


def latest(trial: Trial, metric: str) -> float | None:
    """The value of a metric that was reported last."""
    for m in (trial.status.metrics if trial.status else None) or ():
        if m.metric == metric:
            return m.latest
    return None


def step(trial: Trial) -> float | None:
    """How far training has come, as the trial tells it."""
    steps = [
        m.step for m in (trial.status.metrics if trial.status else None) or () if m.step is not None
    ]
    return max(steps, default=None)


def reason(trial: Trial) -> tuple[str, str]:
    """Why a trial is in its state: in one word, and for a person."""
    found = condition(trial.status.conditions if trial.status else None, trial.state)
    return (found.reason, one_line(found.message)) if found else ("", "")


def why(trial: Trial) -> str:
    """Why a trial is in its state, in one line."""
    word, message = reason(trial)
    return ": ".join(part for part in (word, message) if part and part != trial.state)


@dataclass(frozen=True)
class Failure:
    """Trials that failed in the same way.

    Attributes:
        trials: Those, by index; never empty.
    """

    trials: list[Trial]

    @property
    def names(self) -> str:
        """The names of the trials, a few of many."""
        names = [t.metadata.name for t in self.trials]
        if len(names) == 1:
            return names[0]
        return f"{len(names)} trials ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"

    def __str__(self) -> str:
        return f"{self.names}: {why(self.trials[0])}"


def failures(trials: Sequence[Trial]) -> list[Failure]:
    """The trials that failed, by how they did, the commonest first."""
    kinds: dict[tuple[str, str], list[Trial]] = {}
    for trial in sorted(trials, key=lambda t: t.spec.index):
        if trial.state == FAILED:
            word, message = reason(trial)
            kinds.setdefault((word, without_values(message)), []).append(trial)
    return sorted(map(Failure, kinds.values()), key=lambda f: -len(f.trials))


def commonest(failed: Sequence[Failure], most: int) -> tuple[Sequence[Failure], int]:
    """The first ways to fail of many, and how many trials failed in the others."""
    return failed[:most], sum(len(failure.trials) for failure in failed[most:])


def worked(trial: Trial) -> timedelta | None:
    """How long the runs of a trial took together, up to now; None before the first."""
    return trial.status.worked(datetime.now(UTC)) if trial.status else None


def duration(trial: Trial) -> str:
    """How long a trial ran, or runs."""
    return duration_of(worked(trial))


def duration_of(time: timedelta | None) -> str:
    """A time at work; the API's times are whole seconds."""
    if time is None:
        return NONE
    return duration_text(time) if time >= timedelta(seconds=1) else "<1s"


def assignment(study: Study, parameters: Assignment) -> str:
    """Parameters in one line, as ``name=value``."""
    return " ".join(f"{n}={short(p, v)}" for n, p, v in in_order(study, parameters))


def arguments(study: Study, parameters: Assignment) -> str:
    """Parameters as arguments to paste into a shell."""
    return " ".join(shlex.quote(f"--{n}={p.text(v)}") for n, p, v in in_order(study, parameters))


def in_order(study: Study, parameters: Assignment) -> list[tuple[str, Parameter, Value]]:
    """Parameters in the order of the search space: an API server sorts them by name."""
    space = study.spec.parameter
    return [(n, p, parameters[n]) for n, p in space.items() if n in parameters]


def time_left(study: Study, trials: Sequence[Trial]) -> timedelta | None:
    """Estimates the time to the end from the mean time of a trial, and how far each has come."""
    wanted = total(study)
    times = [time for t in trials if t.state == SUCCEEDED and (time := worked(t)) is not None]
    if wanted is None or not times:
        return None
    mean = sum(times, timedelta()) / len(times)
    left = mean * (wanted - counts(study).finished)
    for t in trials:
        if not t.finished and (time := worked(t)) is not None:
            left -= min(mean, time)
    return max(timedelta(), left) / study.spec.budget.parallelism
