"""``kubestudy best``: the best trial, in the form that one needs it in."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from kubestudy.api import manifests
from kubestudy.api.objectives import Direction
from kubestudy.api.study import Study
from kubestudy.api.study_status import BestTrial
from kubestudy.api.trial import Trial
from kubestudy.cli.errors import NOT_FOUND, CommandError
from kubestudy.cli.outcomes import bounded, front_rows, over_seeds
from kubestudy.cli.program import program_name
from kubestudy.cli.tables import bold, columns, echo
from kubestudy.cli.terminal import write_data
from kubestudy.cli.views import arguments, counts, failures, in_order, study_story
from kubestudy.cli.views import why as why_of
from kubestudy.cli.where import Where, where_options


@click.command()
@click.argument("study")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "yaml", "json", "args"]),
    default="text",
    help="Format; args is what to paste after a training command.  [default: text]",
)
@click.option("--by", metavar="METRIC", help="With several objectives: the best by this one.")
@where_options
def best(study: str, output: str, by: str | None, where: Where) -> None:
    """Show the best trial so far and its parameters.

    With several objectives: the Pareto front, or the trial on it that is best by one of them, the
    first where none is named.

    \b
      kubestudy best mrpc
      kubestudy best mrpc -o json | jq .parameters
      python train.py $(kubestudy best mrpc -o args)
      kubestudy best mrpc --by latency -o args
    """  # noqa: D301
    source = where.source(study)
    found = source.study(study)
    winner = found.status.best if found.status else None
    if winner is None:
        raise NoBestTrial(found, source.trials(found), source.flags)
    front = (found.status.pareto_front if found.status else None) or []
    if by is not None:
        winner = _best_by(found, by, front or [winner])
    match output:
        case "args":
            write_data(arguments(found, winner.parameters))
        case "json":
            write_data(json.dumps(winner.to_json(), indent=2, ensure_ascii=False))
        case "yaml":
            write_data(manifests.dump(winner.to_json()).rstrip())
        case _ if front and by is None:
            echo(f"The Pareto front of {found.metadata.name}:")
            echo(columns(front_rows(found, front), indent="  "))
        case _:
            rows = [
                [bold(v.metric), str(v.value) + (f" ±{v.std}" if v.std is not None else "")]
                for v in winner.objectives
            ]
            rows += [[n, p.text(v)] for n, p, v in in_order(found, winner.parameters)]
            echo(
                f"{bold(winner.trial)} is the best trial of {found.metadata.name}"
                f"{over_seeds(winner)}:"
            )
            echo(columns(rows, indent="  "))


class NoBestTrial(CommandError):
    """No trial of a Study can be called the best, or not yet; the message says why.

    Args:
        study: The Study.
        trials: Its trials.
        flags: What to add to a command line so that it finds the Study.
    """

    exit_code = NOT_FOUND

    def __init__(self, study: Study, trials: Sequence[Trial], flags: str):
        name, tally, failed = study.metadata.name, counts(study), failures(trials)
        command = f"watch {name}"
        if not trials:
            why = f"{name} has no trials yet: {study_story(study)}"
            command = f"describe {name}"
        elif tally.succeeded:
            bounds = ", ".join(map(bounded, study.spec.constraints or ()))
            why = (
                f"none is feasible: of the {tally.succeeded} trials of {name} that succeeded, none"
                f" keeps to {bounds}"
            )
            command = f"top {name}"
        else:
            others = "" if study.ended else f" yet; {tally.created - tally.finished} are at work"
            why = f"no trial of {name} has succeeded{others}"
        if failed and not tally.succeeded:
            most, cause = len(failed[0].trials), why_of(failed[0].trials[0])
            of_them = f"all {most}" if most == tally.failed else f"{most} of {tally.failed}"
            why += f"; {of_them} that failed did so by {cause}"
            command = f"logs {failed[0].trials[0].metadata.name}"
        super().__init__(f"there is no best trial: {why}\nNext:  {program_name()} {command}{flags}")


def _best_by(study: Study, metric: str, front: Sequence[BestTrial]) -> BestTrial:
    places = [i for i, o in enumerate(study.spec.objectives) if o.metric == metric]
    if not places:
        known = ", ".join(o.metric for o in study.spec.objectives)
        raise click.BadParameter(
            f"{metric!r} is no objective; there are {known}", param_hint="--by"
        )
    (place,) = places
    sign = -1 if study.spec.objectives[place].direction == Direction.MAXIMIZE else 1
    return min(front, key=lambda b: sign * b.objectives[place].value)
