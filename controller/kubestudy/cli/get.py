"""``kubestudy get``: Studies as a table, or one object as it is."""

from __future__ import annotations

import json

import click

from kubestudy.api import manifests
from kubestudy.cli.source import study_or_trial
from kubestudy.cli.tables import columns, echo, note
from kubestudy.cli.terminal import write_data
from kubestudy.cli.views import study_rows, trial_rows
from kubestudy.cli.where import Where, where_options


@click.command()
@click.argument("name", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "yaml", "json", "name"]),
    default="table",
    help="Format.  [default: table]",
)
@click.option("-A", "--all-namespaces", is_flag=True, help="Look in all namespaces.")
@where_options
def get(name: str | None, output: str, where: Where) -> None:
    """List Studies, or show one Study or trial.

    \b
      kubestudy get
      kubestudy get mrpc -o yaml
      kubestudy get mrpc-7 -o json     a trial, as the API has it
      kubestudy get -A
    """  # noqa: D301
    source = where.source(name)
    if name is None:
        studies, trial = source.studies(), None
    else:
        study, trial = study_or_trial(source, name)
        studies = [study]
    shown = [trial] if trial else studies
    match output:
        case "name":
            for item in shown:
                echo(f"{item.kind.lower()}/{item.metadata.name}")
        case "json" | "yaml":
            data = [item.to_json() for item in shown]
            whole = data[0] if name else {"apiVersion": "v1", "kind": "List", "items": data}
            text = json.dumps(whole, indent=2) if output == "json" else manifests.dump(whole)
            write_data(text.rstrip())
        case _ if trial:
            echo(columns(trial_rows(studies[0], [trial])))
        case _ if not studies:
            note("no Studies found")
        case _:
            echo(columns(study_rows(studies, where.all_namespaces)))
