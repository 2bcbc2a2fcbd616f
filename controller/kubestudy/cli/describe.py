"""``kubestudy describe``: everything about a Study or a trial."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain

import click

from kubestudy.algorithms import find
from kubestudy.algorithms.generations import Generations
from kubestudy.algorithms.rungs import levels
from kubestudy.api.meta import Condition
from kubestudy.api.parameters import Parameter
from kubestudy.api.repeats import CrossValidation, FoldExecution
from kubestudy.api.study import Study, StudySpec
from kubestudy.api.study_status import MetricValue
from kubestudy.api.trial import Trial
from kubestudy.cli.outcomes import (
    aims,
    bounded,
    confirm_text,
    confirms_text,
    feasibility,
    front_rows,
    metrics_text,
    over_seeds,
    ranks_of,
)
from kubestudy.cli.program import program_name
from kubestudy.cli.source import Told, study_or_trial
from kubestudy.cli.tables import NONE, columns, echo, number, one_line, span, state
from kubestudy.cli.views import (
    arguments,
    commonest,
    counts,
    duration,
    duration_of,
    failures,
    in_order,
    study_state,
    study_story,
    trial_rows,
    why,
)
from kubestudy.cli.where import Where, where_options
from kubestudy.core.failures import without_values

_EVENTS = 20
_FAILURES = 5


@click.command()
@click.argument("name")
@where_options
def describe(name: str, where: Where) -> None:
    """Tell everything about a Study or a trial, its conditions and events included.

    \b
      kubestudy describe mrpc
      kubestudy describe mrpc-7      why did this trial fail?
    """  # noqa: D301
    source = where.source(name)
    study, trial = study_or_trial(source, name)
    place, told = source.where(study), source.events(study, trial)
    trials = source.trials(study)
    lines: Iterator[str]
    if trial:
        place_of = ranks_of(study, trials).get(trial.metadata.name)
        lines = chain(_trial(study, trial, place, place_of), _lineage(study, trial, trials))
    else:
        lines = chain(_study(study, place), _failures(trials, source.flags))
    status = (trial or study).status
    conditions = _conditions((status.conditions if status else None) or ())
    for line in (*lines, *conditions, *_events(told)):
        echo(line)


def _study(study: Study, place: str) -> Iterator[str]:

    spec, status, tally = study.spec, study.status, counts(study)
    budget, trial, validation = spec.budget, spec.trial, spec.cross_validation
    seed = f", seed {status.seed}" if status and status.seed is not None else ""
    limits = [
        f"{budget.parallelism} at once",
        *([f"{budget.max_trials} trials"] if budget.max_trials else []),
        *([f"{budget.max_failed_trials} failures"] if budget.max_failed_trials is not None else []),
        *([budget.timeout] if budget.timeout else []),
        *([f"{number(budget.max_gpu_hours)} GPU-hours"] if budget.max_gpu_hours else []),
    ]
    command = trial.image or ("a pod template" if trial.template else "kubestudy's trial image")
    progress = (status.progress if status else None) or NONE
    words = ("succeeded", "running", "pending", "paused", "failed", "stopped")
    told = [f"{n} {w}" for w in words if (n := getattr(tally, w))]
    yield from _pairs(
        ("Name", study.metadata.name),
        ("Where", place),
        ("State", f"{state(study_state(study))}: {study_story(study)}"),
        ("Algorithm", f"{spec.algorithm.type}{seed}"),
        *([("Resource", _resource(spec))] if spec.algorithm.resource else []),
        ("Objective", aims(study)),
        *([("Constraints", ", ".join(map(bounded, spec.constraints)))] if spec.constraints else []),
        *([("Folds", _validation(validation))] if validation else []),
        *([("Confirm", confirm_text(spec.confirm))] if spec.confirm else []),
        ("Budget", ", ".join(limits)),
        ("Trial", f"{command}, {trial.gpus} GPUs" if trial.gpus else command),
        ("Progress", f"{progress}" + (f": {', '.join(told)}" if told else "")),
        ("Age", span(study.metadata.creation_timestamp)),
    )
    if status and status.start_time:
        ended = status.completion_time
        left = f", about {status.time_left} left" if status.time_left else ""
        yield from _pairs(("Duration", span(status.start_time, ended) + left))
    if status and status.gpu_seconds and status.gpu_seconds.used:
        saved = status.gpu_seconds.saved
        beside = f", {number(saved / 3600)} saved by stopping early" if saved else ""
        yield from _pairs(("GPU-hours", number(status.gpu_seconds.used / 3600) + beside))
    yield "Parameters:"

    yield columns(([p.name, _range(p)] for p in spec.parameters), indent="  ")
    if status and status.best:
        values = metrics_text(status.best.objectives) + over_seeds(status.best)
        yield f"Best:        {status.best.trial} with {values}"
        yield f"  {arguments(study, status.best.parameters)}"
    if status and status.pareto_front:
        yield "Pareto front:"
        yield columns(front_rows(study, status.pareto_front), indent="  ")
    if status and status.hypervolume:
        reference = metrics_text(status.hypervolume.reference)
        yield f"Hypervolume: {number(status.hypervolume.value)}, up to {reference}"


def _trial(study: Study, trial: Trial, place: str, rank: int | None) -> Iterator[str]:

    status = trial.status
    story = ": ".join(filter(None, (state(trial.state), why(trial))))
    yield from _pairs(
        ("Name", trial.metadata.name),
        ("Study", f"{study.metadata.name} in {place}"),
        ("State", story),
        ("Duration", duration(trial)),
        *([("Confirms", again)] if (again := confirms_text(trial)) else []),
        *([("Inherits", trial.spec.inherits)] if trial.spec.inherits else []),
        *([("Until", _until(study, trial.spec.until))] if trial.spec.until else []),
        *([("Rank", str(rank))] if rank is not None else []),
        *([("Feasible", known)] if (known := feasibility(trial)) else []),
    )
    yield "Parameters:"
    rows = [[n, p.text(v)] for n, p, v in in_order(study, trial.spec.parameters)]
    yield columns(rows, indent="  ")
    if status and status.objectives:
        yield "Objectives:"
        yield columns(_values(status.objectives), indent="  ")
    if status and status.constraints:
        yield "Constraints:"
        limits = {c.metric: bounded(c) for c in study.spec.constraints or ()}
        rows = [[*row, limits.get(row[0], "")] for row in _values(status.constraints)]
        yield columns(rows, indent="  ")
    if status and status.rungs:
        yield "Rungs:"
        unit = resource.name if (resource := study.spec.algorithm.resource) else "RESOURCE"
        rows = [[unit.upper(), study.spec.objective.metric.upper()]]
        rows += [[str(r.resource), number(r.value)] for r in status.rungs]
        yield columns(rows, indent="  ")
    if status and status.metrics:
        yield "Metrics:"
        rows = [["METRIC", "LATEST", "MIN", "MAX", "STEP", "REPORTS"]]
        rows += [
            [m.metric, *map(number, (m.latest, m.min, m.max, m.step)), str(m.count)]
            for m in status.metrics
        ]
        yield columns(rows, indent="  ")
    if status and status.folds and study.spec.one_pod:
        yield "Folds:"
        rows = [[str(fold), metrics_text(gave.objectives)] for fold, gave in status.folds.items()]
        yield columns([["FOLD", "OBJECTIVES"], *rows], indent="  ")
    if status and status.runs:
        yield "Runs:"
        rows = [["RUN", "OUTCOME", "REASON", "OBJECTIVES", "NODE", "DURATION"]]
        rows += [
            [
                r.job,
                state(r.outcome),
                r.reason or NONE,
                metrics_text(r.objectives or ()) or NONE,
                r.node or NONE,
                duration_of(r.worked(datetime.now(UTC))),
            ]
            for r in status.runs
        ]
        yield columns(rows, indent="  ")


def _failures(trials: Sequence[Trial], flags: str) -> Iterator[str]:
    """How trials failed, each way once."""
    failed = failures(trials)
    if not failed:
        return
    yield "Failures:"
    told, others = commonest(failed, _FAILURES)
    yield from (f"  {failure}" for failure in told)
    if others:
        yield f"  and {others} more"
    yield f"  see: {program_name()} logs {failed[0].trials[0].metadata.name}{flags}"


def _lineage(study: Study, trial: Trial, trials: Sequence[Trial]) -> Iterator[str]:
    """With PBT: the trials that led to this one, the first of them first."""
    of = {t.metadata.name: t for t in trials}
    line = [trial]
    while (parent := of.get(line[0].spec.inherits or "")) is not None:
        line.insert(0, parent)
    if len(line) > 1:
        yield "Lineage:"
        yield columns(trial_rows(study, line), indent="  ")


def _validation(validation: CrossValidation) -> str:
    where = " in one pod" if validation.execution == FoldExecution.ONE_POD else ""
    return f"{validation.folds}{where}, discard {validation.discard}"


def _resource(spec: StudySpec) -> str:
    resource, kind = spec.algorithm.resource, find(spec.algorithm.type)
    assert resource is not None
    if kind is not None and issubclass(kind, Generations):
        return f"{resource.name}, up to {resource.max}, {resource.min} in each generation"
    rungs = ", ".join(map(str, levels(resource)))
    return f"{resource.name}, one in {resource.eta} goes on at each of {rungs}"


def _until(study: Study, until: int) -> str:
    resource = study.spec.algorithm.resource
    return f"{resource.name} {until} of {resource.max}" if resource else str(until)


def _values(values: Sequence[MetricValue]) -> list[list[str]]:
    """Values in full, with the standard deviation over folds where there is one."""
    return [[v.metric, str(v.value), f"±{v.std}" if v.std is not None else ""] for v in values]


def _range(parameter: Parameter) -> str:

    p = parameter
    if p.values is not None:
        return ", ".join(p.text(v) for v in p.values)
    if p.choices is not None:
        return ", ".join(one_line(c) for c in p.choices)
    step = f", in steps of {number(p.step)}" if p.step is not None else ""
    scale = ", log" if p.scale == "Log" else ""
    return f"{number(p.min)} to {number(p.max)}, {p.type or 'Double'}{step}{scale}"


def _conditions(conditions: Sequence[Condition]) -> Iterator[str]:

    if not conditions:
        return
    rows = [["TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"]]
    rows += [
        [c.type, c.status, span(c.last_transition_time), c.reason, one_line(c.message)]
        for c in conditions
    ]
    yield "Conditions:"
    yield columns(rows, indent="  ")


def _events(told: Sequence[Told]) -> Iterator[str]:

    if not told:
        return
    rows = [["AGE", "TYPE", "REASON", "MESSAGE"]]
    shown = _alike(told)
    rows += [
        [span(t.when) + (f" (x{n})" if n > 1 else ""), t.type, t.reason, one_line(t.message)]
        for t, n in shown[-_EVENTS:]
    ]
    yield "Events:" if len(shown) <= _EVENTS else f"Events (the last {_EVENTS} of {len(shown)}):"
    yield columns(rows, indent="  ")


def _alike(told: Sequence[Told]) -> list[tuple[Told, int]]:
    """Events, the oldest first; warnings that differ in values alone once, with their number."""
    found: dict[object, tuple[Told, int]] = {}
    for place, event in enumerate(told):
        warns = event.type == "Warning"
        key = (event.reason, without_values(event.message)) if warns else place
        _, number_of = found.pop(key, (event, 0))
        found[key] = event, number_of + 1
    return list(found.values())


def _pairs(*pairs: tuple[str, str]) -> Iterable[str]:
    return (f"{f'{name}:':<12} {value}" for name, value in pairs)
