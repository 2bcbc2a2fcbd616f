"""Where a command looks for Studies, as its options and the folder that it is run in say."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kubestudy.cli.program import is_kubectl_plugin
from kubestudy.cli.source import DEFAULT_RESULTS, Source


@dataclass(frozen=True)
class Where:
    """What a command line says about where to look."""

    results: Path | None = None
    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    all_namespaces: bool = False

    def source(self, name: str | None = None) -> Source:
        """Chooses the place: by the flags, else by where the Study of this name is."""
        from kubestudy.cli.folder import FolderSource

        if self.results is not None:
            return FolderSource(self.results)
        asked = (self.kubeconfig, self.context, self.namespace, self.all_namespaces)
        here = FolderSource(DEFAULT_RESULTS)
        beside: list[str] = []
        if not any(asked) and not is_kubectl_plugin():
            if here.has(name):
                return here
            beside = here.names()
        from kubestudy.cli.cluster import ClusterSource, NoCluster

        try:
            source = ClusterSource.connect(
                self.kubeconfig, self.context, self.namespace, self.all_namespaces
            )
        except NoCluster as error:
            if any(asked):
                raise
            if name is None or not beside:
                where = f"{error.message}, or --results for a folder other than {DEFAULT_RESULTS}/"
                raise NoCluster(where) from None
            return here  # It knows what names there are, one of which may be meant.
        source.beside = beside
        return source


def where_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options that say where Studies are, as its argument ``where``."""

    @click.option(
        "--results",
        type=click.Path(path_type=Path, file_okay=False),
        help="Look in this results folder.  [default: results, if the Study is there]",
    )
    @click.option("-n", "--namespace", help="Look in the cluster, in this namespace.")
    @click.option("--context", help="Look in the cluster of this kubeconfig context.")
    @click.option("--kubeconfig", help="Look in the cluster of this kubeconfig file.")
    @functools.wraps(function)
    def command(
        results: Path | None,
        namespace: str | None,
        context: str | None,
        kubeconfig: str | None,
        all_namespaces: bool = False,
        **rest: Any,
    ) -> Any:
        if results and (namespace or context or kubeconfig or all_namespaces):
            raise click.UsageError("--results is a folder; it cannot be combined with a cluster")
        where = Where(results, kubeconfig, context, namespace, all_namespaces)
        return function(where=where, **rest)

    return command
