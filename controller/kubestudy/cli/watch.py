"""``kubestudy watch``: a Study followed live."""

from __future__ import annotations

import sys

import click

from kubestudy.cli.errors import FAILED
from kubestudy.cli.follow import view
from kubestudy.cli.report import report
from kubestudy.cli.tables import echo
from kubestudy.cli.views import study_state
from kubestudy.cli.where import Where, where_options


@click.command()
@click.argument("study")
@where_options
def watch(study: str, where: Where) -> None:
    """Follow a Study live until it has ended.

    Shows the same as `kubestudy run`: on a terminal one screen, elsewhere a line for each trial
    that finishes. Ends with 0 if the Study completes and with 1 if it fails. Ctrl-C ends the
    watching, not the Study.

    \b
      kubestudy watch mrpc
      kubestudy watch mrpc -n research | tee mrpc.log
    """  # noqa: D301
    source = where.source(study)
    found = source.study(study)
    shown, moment = view(False, "Ctrl-C ends the watching, not the Study"), None
    try:
        for moment in source.follow(found):
            shown.show(moment)
    finally:
        shown.close()
    if moment is None:
        return
    echo(f"\n{report(moment.study, moment.trials, source.where(found), source.flags)}")
    sys.exit(FAILED if study_state(moment.study) == "Failed" else 0)
