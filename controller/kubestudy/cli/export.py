"""``kubestudy export``: all trials as data."""

from __future__ import annotations

import csv
import json
import sys
from typing import Any

import click

from kubestudy.api.meta import rfc3339
from kubestudy.api.study import Study
from kubestudy.api.trial import Trial
from kubestudy.cli.source import Where, where_options
from kubestudy.cli.views import in_order, reason


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

    Columns: trial, index, state, reason, parameters.NAME, objectives.NAME, metrics.NAME (the value
    reported last), startTime, completionTime, durationSeconds, gpuSeconds, runs.

    \b
      kubestudy export mrpc > mrpc.csv
      kubestudy export mrpc -o jsonl | jq -c '{trial, "parameters.learning_rate"}'
    """  # noqa: D301
    source = where.source(study)
    found = source.study(study)
    records = [_record(found, trial) for trial in source.trials(found)]
    if output == "jsonl":
        for record in records:
            click.echo(json.dumps(record, ensure_ascii=False))
        return
    # Metrics of any trial make columns; the order is that of the first trial that has them.
    fields = list(dict.fromkeys(f for r in records for f in r))
    fields.sort(key=lambda f: _SECTIONS.index(f.split(".")[0]))
    writer = csv.DictWriter(sys.stdout, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)


_SECTIONS = (
    "trial",
    "index",
    "state",
    "reason",
    "parameters",
    "objectives",
    "metrics",
    "startTime",
    "completionTime",
    "durationSeconds",
    "gpuSeconds",
    "runs",
)


def _record(study: Study, trial: Trial) -> dict[str, Any]:

    status = trial.status
    start = status.start_time if status else None
    end = status.completion_time if status else None
    runs = (status.runs if status else None) or []
    return {
        "trial": trial.metadata.name,
        "index": trial.spec.index,
        "state": trial.state,
        "reason": reason(trial)[0],
        **{f"parameters.{n}": p.typed(v) for n, p, v in in_order(study, trial.spec.parameters)},
        **{f"objectives.{o.metric}": trial.value(o.metric) for o in study.spec.objectives},
        **{f"metrics.{m.metric}": m.latest for m in (status.metrics if status else None) or ()},
        "startTime": rfc3339(start) if start else None,
        "completionTime": rfc3339(end) if end else None,
        "durationSeconds": (end - start).total_seconds() if start and end else None,
        "gpuSeconds": sum(r.gpu_seconds for r in runs),
        "runs": len(runs),
    }
