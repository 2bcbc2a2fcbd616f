"""Reads observations out of what a Prometheus server knows of a trial's pod.

Without a query of the user, the series are those that ``kubestudy-trial`` exports: the last value
of each metric, and the step at which it was reported. They are read as they were scraped, each
sample with its own time, so that none is counted twice however often it is read.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubestudy.api.study import SourceType, StudySpec
from kubestudy.core.facts import Observation
from kubestudy.core.promql import BoundQuery, bind
from kubestudy.sources.json_text import is_name
from kubestudy.sources.wanted import is_told, wanted

METRIC = "kubestudy_trial_metric"
STEP_OF_METRIC = "kubestudy_trial_metric_step"
STEP = "kubestudy_trial_step"
EPOCH = "kubestudy_trial_epoch"
LABEL = "metric"
"""The label that names the metric, as the trial calls it."""

DEFAULT_QUERY = f'{{__name__=~"{METRIC}|{STEP_OF_METRIC}|{STEP}|{EPOCH}"}}'

Series = Mapping[str, Any]
"""A range of samples, as in the answers of Prometheus' HTTP API."""

Kind = tuple[str, str]
"""What a series is of: one of the names above, and the metric as the trial calls it."""


def query_of(spec: StudySpec, namespace: str, pod: str) -> BoundQuery:
    """The query for the series of one pod.

    Raises:
        PromQLError: The user's query is not understood.
    """
    sources = [s for s in spec.metrics or () if s.type == SourceType.PROMETHEUS]
    custom = next((s.query for s in sources if s.query), None)
    return bind(custom or DEFAULT_QUERY, namespace, pod)


class SeriesReader:
    """Turns the series of one pod into observations.

    Args:
        spec: The Study's spec.

    Attributes:
        wanted: The metrics that the Study asks for.
        ambiguous: Metrics of which there are several series, so that none of them counts.
    """

    def __init__(self, spec: StudySpec):
        self.wanted = wanted(spec)
        self.ambiguous: set[str] = set()
        self._objective = spec.objective.metric
        self._read_to: dict[Kind, float] = {}
        self._last: dict[str, tuple[float, float | None]] = {}
        self._labels: dict[Kind, dict[str, str]] = {}

    @property
    def hint(self) -> str | None:
        """Why a metric may be missing, None where nothing is known."""
        if self.ambiguous:
            names = ", ".join(sorted(self.ambiguous))
            return (
                f"Prometheus has several series of {names} for this pod; give a query that makes"
                " one of them, such as max(...)"
            )
        return None if self._last else "Prometheus has no series of this pod; is it scraped?"

    def read(self, series: Sequence[Series]) -> list[Observation]:
        """Reads samples; those that are not newer than what was read before count no more."""
        moments: dict[float, dict[Kind, float]] = defaultdict(dict)
        for one in series:
            labels = dict(one.get("metric") or {})
            key = self._key(labels)
            if key is None or self._is_another(key, labels):
                continue
            for time, value in _samples(one):
                if time > self._read_to.get(key, -math.inf):
                    self._read_to[key] = time
                    moments[time][key] = value
        return [report for time in sorted(moments) for report in self._at(moments[time])]

    def _key(self, labels: Mapping[str, str]) -> Kind | None:
        """What a series is of: one of the trial's own kinds and the metric, or just a metric."""
        kind, name = labels.get("__name__", ""), labels.get(LABEL, "")
        if kind in (STEP, EPOCH):
            return kind, ""
        if kind == STEP_OF_METRIC:
            return kind, name
        if not name:
            name = kind if kind in self.wanted else self._objective
        return (METRIC, name) if is_name(name) else None

    def _is_another(self, key: Kind, labels: dict[str, str]) -> bool:
        """Whether this is a second series of what should be one; then none of them counts."""
        known = self._labels.setdefault(key, labels)
        if known != labels and key[0] == METRIC:
            self.ambiguous.add(key[1])
        return known != labels

    def _at(self, values: Mapping[Kind, float]) -> Iterator[Observation]:
        """What was reported by one moment and not before, a report for each step."""
        reports: dict[float | None, dict[str, float]] = defaultdict(dict)
        for (kind, name), value in values.items():
            if kind != METRIC or name in self.ambiguous:
                continue
            step = values.get((STEP_OF_METRIC, name), values.get((STEP, "")))
            step = values.get((EPOCH, "")) if step is None else step
            if step is not None and not math.isfinite(step):
                step = None
            seen = (value, step)
            if not _same(self._last.get(name), seen) and is_told(name, value, self.wanted):
                self._last[name] = seen
                reports[step][name] = value
        for step in sorted(reports, key=lambda s: -math.inf if s is None else s):
            yield Observation(reports[step], step)


def _samples(series: Series) -> Iterator[tuple[float, float]]:
    for sample in series.get("values") or ():
        try:
            yield float(sample[0]), float(sample[1])
        except (TypeError, ValueError, IndexError):
            continue


def _same(a: tuple[float, float | None] | None, b: tuple[float, float | None]) -> bool:
    return a is not None and a[1] == b[1] and (a[0] == b[0] or (a[0] != a[0] and b[0] != b[0]))
