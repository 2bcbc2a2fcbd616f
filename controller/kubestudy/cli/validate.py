"""``kubestudy validate``: what `kubectl apply` and the controller would say, offline."""

from __future__ import annotations

import sys

import click

from kubestudy.algorithms import custom
from kubestudy.api.study import Study
from kubestudy.cli import files as manifest_files
from kubestudy.cli.errors import INVALID
from kubestudy.cli.tables import bold, echo, note, warn
from kubestudy.cli.terminal import shown
from kubestudy.cli.views import headline
from kubestudy.core.acceptance import warnings
from kubestudy.local.sharing import shared_outputs


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--allow-sampler",
    "samplers",
    multiple=True,
    metavar="PATH",
    envvar="KUBESTUDY_ALLOWED_SAMPLERS",
    help="Import path of a sampler for Optuna that Studies may name; may be repeated.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print errors alone.")
def validate(files: tuple[str, ...], samplers: tuple[str, ...], quiet: bool) -> None:
    """Say what is wrong with a manifest, without a cluster.

    Reads each FILE (- is standard input) exactly as kubectl does, checks every Study in it as
    the API server and the controller would, and prints an error per line as FILE: FIELD: MESSAGE.
    Ends with 2 if anything is wrong. What is only likely to be wrong is a warning.

    \b
      kubestudy validate mrpc.yaml
      helm template . | kubestudy validate -
    """  # noqa: D301
    custom.allow(samplers)
    wrong = False
    for checked in (c for file in files for c in manifest_files.check(file)):
        label, title = shown(checked.label), shown(checked.title)
        for error in checked.errors:
            echo(
                f"{label}: {bold(error.field)}: {error.message}"
                if error.field
                else f"{label}: {error.message}"
            )
        wrong = wrong or bool(checked.errors)
        if checked.errors or quiet:
            continue
        if checked.study is None:
            echo(f"{label}: {title}: not a Study, not checked")
            continue
        echo(f"{label}: {title} is valid: {headline(checked.study)}")
        for warning in warnings(checked.study):
            warn(f"{label}: {warning}")
        for unknown in _unknown(checked.study):
            note(f"{label}: {unknown}")
    if wrong:
        sys.exit(INVALID)


def _unknown(study: Study) -> list[str]:
    """What only the cluster can tell, and what only matters on one machine."""
    spec = study.spec.trial
    unknown = []
    if spec.template is not None:
        unknown.append("spec.trial.template: whether the cluster takes this pod is not known here")
    elif spec.image is not None:
        unknown.append(
            f"spec.trial.image: whether {spec.image} takes these arguments is not known here"
        )
    for field, folder in (("checkpoints", spec.checkpoints), ("outputs", spec.outputs)):
        if folder is not None:
            unknown.append(
                f"spec.trial.{field}: whether the claim {folder.claim_name} exists is not known"
            )
    return [*unknown, *(f"spec.{shared}" for shared in shared_outputs(study.spec))]
