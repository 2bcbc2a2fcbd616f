"""``kubestudy export``: all trials as data."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import click

from kubestudy.api.meta import rfc3339
from kubestudy.api.parameters import float_text
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial, TrialStatus
from kubestudy.cli.outcomes import ranks_of
from kubestudy.cli.terminal import write_data
from kubestudy.cli.views import in_order, reason, worked
from kubestudy.cli.where import Where, where_options
from kubestudy.core.ranking import volumes


@click.command()
@click.argument("study")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["csv", "jsonl"]),
    default="csv",
    show_default=True,
    help="Format: a row, or a JSON object, for each trial.",
)
@where_options
def export(study: str, output: str, where: Where) -> None:
    """Write all trials of a Study as CSV or JSON lines, every number in full.

    Columns: trial, index, state, reason, rank (1 is the best, equal trials share one; with several
    objectives 1 is the Pareto front), feasible, parameters.NAME, objectives.NAME, metrics.NAME (the
    value reported last), startTime, completionTime, durationSeconds (its runs at work, all
    together: not the waits at rungs, between attempts and while the Study was suspended; folds side
    by side are added up), gpuSeconds, runs.

    In CSV, a text that begins with =, +, - or @ stands behind an apostrophe, so that a spreadsheet
    does not take it for a formula.

    With cross-validation also std.NAME and folds.FOLD.NAME; objectives.NAME is their mean. With
    constraints, constraints.NAME. With confirm, confirms (the trial that is run again; such a row
    has no rank) and seed. With PBT, inherits (the trial whose last checkpoint it goes on from) and
    until (how much of the resource is spent at its end). With several objectives, hypervolume: that
    of all trials which have ended up to this one, from the reference point of status.hypervolume.

    \b
      kubestudy export mrpc > mrpc.csv
      kubestudy export mrpc -o jsonl | jq -c '{trial, "parameters.learning_rate"}'
    """  # noqa: D301
    source = where.source(study)
    found = source.study(study)
    trials = source.trials(found)
    places = ranks_of(found, trials)
    records = [_record(found, t, places.get(t.metadata.name)) for t in trials]
    if len(found.spec.objectives) > 1:
        ended = sorted(
            (i for i, t in enumerate(trials) if t.finished), key=lambda i: _end(trials[i])
        )
        course = volumes([trials[i] for i in ended], found.spec)
        for i, volume in zip(ended, course, strict=True):
            records[i]["hypervolume"] = volume
    if output == "jsonl":
        for record in records:
            write_data(json.dumps(record, ensure_ascii=False))
        return
    # Metrics of any trial make columns; the order is that of the first trial that has them.
    fields = list(dict.fromkeys(f for r in records for f in r))
    fields.sort(key=lambda f: _SECTIONS.index(f.split(".")[0]))
    table = io.StringIO()
    writer = csv.DictWriter(table, fields, lineterminator="\n")
    writer.writerow({field: _cell(field) for field in fields})
    writer.writerows({field: _cell(value) for field, value in r.items()} for r in records)
    write_data(table.getvalue().removesuffix("\n"))


def _cell(value: Any) -> Any:
    """A number in full; a text that a spreadsheet would take for a formula is quoted."""
    if isinstance(value, float):
        return float_text(value)
    return f"'{value}" if isinstance(value, str) and value[:1] in _FORMULAS else value


_FORMULAS = ("=", "+", "-", "@", "\t", "\r")

_SECTIONS = (
    "trial",
    "index",
    "confirms",
    "seed",
    "inherits",
    "until",
    "state",
    "reason",
    "rank",
    "feasible",
    "parameters",
    "objectives",
    "std",
    "folds",
    "constraints",
    "hypervolume",
    "metrics",
    "startTime",
    "completionTime",
    "durationSeconds",
    "gpuSeconds",
    "runs",
)


def _end(trial: Trial) -> tuple[str, int]:
    ended = trial.status.completion_time if trial.status else None
    return (rfc3339(ended) if ended else "", trial.spec.index)


def _record(study: Study, trial: Trial, rank: int | None) -> dict[str, Any]:

    status = trial.status
    start = status.start_time if status else None
    end = status.completion_time if status else None
    runs = (status.runs if status else None) or []
    time = worked(trial)
    return {
        "trial": trial.metadata.name,
        "index": trial.spec.index,
        **(_confirms(trial) if study.spec.confirm else {}),
        **(_inherits(trial) if trial.spec.until is not None else {}),
        "state": trial.state,
        "reason": reason(trial)[0],
        "rank": rank,
        **({"feasible": status.feasible if status else None} if study.spec.constraints else {}),
        **{f"parameters.{n}": p.typed(v) for n, p, v in in_order(study, trial.spec.parameters)},
        **{f"objectives.{o.metric}": trial.value(o.metric) for o in study.spec.objectives},
        **(_of_folds(status) if status and study.spec.cross_validation else {}),
        **{f"constraints.{c.metric}": c.value for c in (status and status.constraints) or ()},
        **{f"metrics.{m.metric}": m.latest for m in (status.metrics if status else None) or ()},
        "startTime": rfc3339(start) if start else None,
        "completionTime": rfc3339(end) if end else None,
        "durationSeconds": time.total_seconds() if time and end else None,
        "gpuSeconds": sum(r.gpu_seconds for r in runs),
        "runs": len(runs),
    }


def _confirms(trial: Trial) -> dict[str, Any]:
    return {"confirms": trial.spec.confirms, "seed": trial.spec.seed}


def _inherits(trial: Trial) -> dict[str, Any]:
    return {"inherits": trial.spec.inherits, "until": trial.spec.until}


def _of_folds(status: TrialStatus) -> dict[str, float | None]:
    told: dict[str, float | None] = {f"std.{o.metric}": o.std for o in status.objectives or ()}
    for fold, gave in status.folds.items():
        for value in gave.objectives:
            told[f"folds.{fold}.{value.metric}"] = value.value
    return told
