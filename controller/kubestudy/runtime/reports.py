"""What the trials' pods have reported, from all the sources that their Study names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from kubestudy.api.metrics_source import SourceType
from kubestudy.api.study import StudySpec
from kubestudy.core.reports import RunReport
from kubestudy.runtime.client import Object
from kubestudy.sources.preference import preferred
from kubestudy.sources.wanted import wanted


class Source(Protocol):
    """One place that reports are read from."""

    def start(self) -> None:
        """Begins to read."""

    def stop(self) -> None:
        """Ends."""

    def pod_changed(self, pod: Object) -> None:
        """Takes note of a pod."""

    def report(self, pod_uid: str) -> RunReport | None:
        """What was read of a pod so far; None where nothing was."""

    def forget(self, pod_uid: str) -> None:
        """Lets go of what was read of a pod."""


class Reports:
    """Reads from several sources at once.

    Args:
        sources: By their type; a source reads only pods whose Study names it.
    """

    def __init__(self, sources: Mapping[SourceType, Source]):
        self._sources = sources

    @property
    def types(self) -> frozenset[SourceType]:
        """The types of source that can be read from."""
        return frozenset(self._sources)

    def start(self) -> None:
        """Begins to read."""
        for source in self._sources.values():
            source.start()

    def stop(self) -> None:
        """Ends."""
        for source in self._sources.values():
            source.stop()

    def pod_changed(self, pod: Object) -> None:
        """Takes note of a pod."""
        for source in self._sources.values():
            source.pod_changed(pod)

    def report(self, pod_uid: str, spec: StudySpec) -> RunReport | None:
        """What a pod has reported so far, by the Study's order of preference."""
        found = [self._sources[t].report(pod_uid) for t in spec.sources if t in self._sources]
        return preferred(found, wanted(spec))

    def forget(self, pod_uid: str) -> None:
        """Lets go of what a pod reported: it is stored now."""
        for source in self._sources.values():
            source.forget(pod_uid)
