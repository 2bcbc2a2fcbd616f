"""``kubestudy suspend`` and ``resume``: a Study held back, and let go on."""

from __future__ import annotations

import click

from kubestudy.cli.tables import echo, note
from kubestudy.cli.where import Where, where_options


@click.command()
@click.argument("study")
@where_options
def suspend(study: str, where: Where) -> None:
    """Stop all runs of a Study, and start none until it is resumed.

    Runs that keep checkpoints go on from them later; others begin again.

    \b
      kubestudy suspend mrpc
    """  # noqa: D301
    _set(study, where, True)


@click.command()
@click.argument("study")
@where_options
def resume(study: str, where: Where) -> None:
    """Let a suspended Study go on.

    \b
      kubestudy resume mrpc
    """  # noqa: D301
    _set(study, where, False)


def _set(name: str, where: Where, suspended: bool) -> None:

    source = where.source(name)
    study = source.study(name)
    word = "suspended" if suspended else "resumed"
    if study.spec.suspend == suspended:
        echo(f"{name} is {'suspended' if suspended else 'not suspended'} already")
        return
    source.change(study, {"spec": {"suspend": suspended}})
    echo(f"{name} {word}")
    if study.ended:
        note(f"{name} has ended, so this changes nothing now")
