"""``kubestudy top``: the trials of a Study, ranked."""

from __future__ import annotations

import click

from kubestudy.cli.outcomes import ranks_of
from kubestudy.cli.tables import columns, echo, note
from kubestudy.cli.views import ranked, trial_rows
from kubestudy.cli.where import Where, where_options


@click.command()
@click.argument("study")
@click.option("-l", "--limit", type=click.IntRange(1), metavar="N", help="Show the first N alone.")
@where_options
def top(study: str, limit: int | None, where: Where) -> None:
    """List the trials of a Study, the best first.

    Equal trials share a rank. With several objectives, rank 1 is the Pareto front. Trials that
    break a constraint come after all others that gave a value, then the trials at work, those to
    come, and those that were stopped or failed. Numbers have four digits here; `export` writes all
    of them.

    \b
      kubestudy top mrpc
      kubestudy top mrpc --limit 5
    """  # noqa: D301
    source = where.source(study)
    found = source.study(study)
    trials = ranked(found, source.trials(found))
    places = ranks_of(found, trials)
    if not trials:
        note(f"{study} has no trials yet")
        return
    echo(columns(trial_rows(found, trials[:limit], places)))
    if limit is not None and len(trials) > limit:
        note(f"{len(trials) - limit} more trials")
