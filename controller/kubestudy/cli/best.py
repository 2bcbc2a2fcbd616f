"""``kubestudy best``: the best trial, in the form that one needs it in."""

from __future__ import annotations

import json

import click

from kubestudy.api import manifests
from kubestudy.cli.errors import NotFound
from kubestudy.cli.source import Where, where_options
from kubestudy.cli.tables import bold, columns, echo
from kubestudy.cli.views import arguments, in_order, study_story


@click.command()
@click.argument("study")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "yaml", "json", "args"]),
    default="text",
    help="Format; args is what to paste after a training command.  [default: text]",
)
@where_options
def best(study: str, output: str, where: Where) -> None:
    """Show the best trial so far and its parameters.

    \b
      kubestudy best mrpc
      kubestudy best mrpc -o json | jq .parameters
      python train.py $(kubestudy best mrpc -o args)
    """  # noqa: D301
    source = where.source(study)
    found = source.study(study)
    winner = found.status.best if found.status else None
    if winner is None:
        raise NotFound(
            "best trial", f"{source.where(found)}: none has finished yet; {study_story(found)}"
        )
    match output:
        case "args":
            echo(arguments(found, winner.parameters))
        case "json":
            echo(json.dumps(winner.to_json(), indent=2, ensure_ascii=False))
        case "yaml":
            echo(manifests.dump(winner.to_json()).rstrip())
        case _:
            rows = [[bold(v.metric), f"{v.value}"] for v in winner.objectives]
            rows += [[n, p.text(v)] for n, p, v in in_order(found, winner.parameters)]
            echo(f"{bold(winner.trial)} is the best trial of {found.metadata.name}:")
            echo(columns(rows, indent="  "))
