"""``kubestudy dashboard``: Studies in a browser."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kubestudy.cli.errors import CommandError
from kubestudy.cli.source import Source
from kubestudy.cli.tables import echo
from kubestudy.cli.where import Where, where_options

if TYPE_CHECKING:
    from kubestudy.dashboard.optuna_studies import Reading


@click.command()
@click.argument("study", required=False)
@click.option("-A", "--all-namespaces", is_flag=True, help="Show the Studies of all namespaces.")
@click.option(
    "--watch-namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    help="Show the Studies of this namespace, as -n; may be repeated.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen at; :: for all."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8081,
    show_default=True,
    help="Port to listen at; 0 for any that is free.",
)
@click.option(
    "--allowed-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Name that browsers reach it by, besides localhost and addresses; may be repeated.",
)
@where_options
def dashboard(
    study: str | None,
    namespaces: tuple[str, ...],
    host: str,
    port: int,
    hosts: tuple[str, ...],
    where: Where,
) -> None:
    """Show Studies in a browser: history, curves, importances, Pareto fronts.

    The pages are optuna-dashboard's, filled from the Studies and their trials, and read anew every
    few seconds. They only show: nothing can be changed there. There is no login, so
    anybody who reaches the address can see the Studies; by default only this machine can.

    \b
      kubestudy dashboard                   all Studies, in results/ or in the cluster
      kubestudy dashboard mrpc -n research
      kubestudy dashboard -A --port 9000
    """  # noqa: D301
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise CommandError(
            "the dashboard is not installed here: install kubestudy with its extra [dashboard]"
        )
    from kubestudy.dashboard.app import Dashboard, Unreadable
    from kubestudy.dashboard.server import make

    places = [replace(where, namespace=n) for n in namespaces] or [where]
    sources = [place.source(study) for place in places]
    read_all(sources, study)  # What is wrong is told here rather than in the browser.

    def read() -> Reading:
        try:
            return read_all(sources, study)
        except click.ClickException as error:
            raise Unreadable(error.message) from error

    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
    try:
        server = make(Dashboard(read, hosts=(host, *hosts)), host, port)
    except OSError as error:
        reason = error.strerror or error
        raise CommandError(f"cannot listen at {host}, port {port}: {reason}; see --port") from error
    told = f"[{host}]" if ":" in host else host
    echo(f"http://{told}:{server.server_port}/dashboard   (Ctrl-C ends it)")
    with server:
        server.serve_forever()


def read_all(sources: Sequence[Source], name: str | None) -> Reading:
    """Reads all Studies, or those of one name, with their trials.

    Raises:
        NotFound: There is no Study of this name.
    """
    return [
        (study, source.trials(study))
        for source in sources
        for study in ([source.study(name)] if name else source.studies())
    ]
