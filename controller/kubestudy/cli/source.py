"""Where Studies are: in a cluster or in a results folder, seen alike by every command."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from kubestudy.cli.errors import NotFound
from kubestudy.cli.program import is_kubectl_plugin

if TYPE_CHECKING:
    from kubestudy.api.study import Study
    from kubestudy.api.trial import Trial
    from kubestudy.local.engine import Moment

DEFAULT_RESULTS = Path("results")


@dataclass(frozen=True)
class Told:
    """One event, as it is shown."""

    when: datetime
    type: str
    reason: str
    message: str


class Source(Protocol):
    """What every command needs of the place where Studies are.

    Attributes:
        flags: What to add to a command line so that it finds the same place.
    """

    flags: str

    def where(self, study: Study) -> str:
        """Where a Study is, for a person."""

    def studies(self) -> list[Study]:
        """All Studies."""

    def study(self, name: str) -> Study:
        """One Study.

        Raises:
            NotFound: There is none of this name.
        """

    def trials(self, study: Study) -> list[Trial]:
        """The trials of a Study, sorted by index."""

    def events(self, study: Study, trial: Trial | None) -> list[Told]:
        """What happened to a Study or to one trial of it, the oldest first."""

    def logs(self, study: Study, trial: Trial, follow: bool) -> Iterator[str]:
        """The lines of a trial's last run."""

    def follow(self, study: Study) -> Iterator[Moment]:
        """How a Study stands, again and again until it has ended."""

    def change(self, study: Study, patch: dict[str, Any]) -> None:
        """Changes a Study by a merge patch."""

    def delete(self, study: Study) -> None:
        """Deletes a Study and everything of it."""


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
        if not any(asked) and not is_kubectl_plugin():
            here = FolderSource(DEFAULT_RESULTS)
            if here.has(name):
                return here
        from kubestudy.cli.cluster import ClusterSource

        return ClusterSource.connect(
            self.kubeconfig, self.context, self.namespace, self.all_namespaces
        )


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


def study_or_trial(source: Source, name: str) -> tuple[Study, Trial | None]:
    """Finds a Study, or the trial of one, by its name.

    Raises:
        NotFound: It is neither.
    """
    try:
        return source.study(name), None
    except NotFound as error:
        base, _, index = name.rpartition("-")
        if not (base and index.isdigit()):
            raise
        try:
            study = source.study(base)
        except NotFound:
            raise error from None
    trials = source.trials(study)
    for trial in trials:
        if trial.metadata.name == name:
            return study, trial
    raise NotFound(name, source.where(study), [t.metadata.name for t in trials])
