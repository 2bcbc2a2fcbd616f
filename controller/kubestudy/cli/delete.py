"""``kubestudy delete``: a Study and everything of it."""

from __future__ import annotations

import sys

import click

from kubestudy.cli.errors import InvalidInput
from kubestudy.cli.tables import echo
from kubestudy.cli.terminal import shown
from kubestudy.cli.views import counts
from kubestudy.cli.where import Where, where_options


@click.command()
@click.argument("study")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@where_options
def delete(study: str, yes: bool, where: Where) -> None:
    """Delete a Study with its trials, what still runs of them, and their logs.

    On a terminal it says what will be deleted, and asks. In a cluster, what trials wrote to
    persistent volumes stays; in a results folder, everything goes.

    \b
      kubestudy delete mrpc
      kubestudy delete mrpc --yes -n research
    """  # noqa: D301
    source = where.source(study)
    found = source.study(study)
    tally = counts(found)
    at_work = tally.running + tally.pending
    trials = f"{tally.created} trials" + (f" ({at_work} at work)" if at_work else "")
    what = f"the Study {study} in {source.where(found)} with its {trials}"
    if not yes:
        if not sys.stdin.isatty():
            raise InvalidInput(f"would delete {what}; say --yes, since nobody can be asked here")
        click.confirm(shown(f"Delete {what} for good?"), abort=True)
    source.delete(found)
    echo(f"{study} deleted")
