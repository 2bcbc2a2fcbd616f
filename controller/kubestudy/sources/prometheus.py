"""Reads observations out of what a Prometheus server knows of a trial's pod.

Without a query of the user, the series are those that ``kubestudy-trial`` exports: the last value
of each metric, and the step and epoch at which it was reported. They are read as they were scraped,
each sample with its own time, so that none is counted twice however often it is read.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubestudy.api.metrics_source import SourceType
from kubestudy.api.study import StudySpec
from kubestudy.api.trial import MAX_METRICS
from kubestudy.core.promql import BoundQuery, bind
from kubestudy.core.reports import Observation
from kubestudy.sources.json_text import is_name
from kubestudy.sources.wanted import is_told, wanted

METRIC = "kubestudy_trial_metric"
PLACES = ("step", "epoch")
"""The numbers that tell where in training a metric was reported."""
PLACE_OF_METRIC = {f"{METRIC}_{place}": place for place in PLACES}
LABEL = "metric"
"""The label that names the metric, as the trial calls it."""

MOST_KINDS = 3 * MAX_METRICS
"""What is remembered beside what the Study asks for: a value and two places of each metric."""

DEFAULT_QUERY = f'{{__name__=~"{"|".join((METRIC, *PLACE_OF_METRIC))}"}}'

Series = Mapping[str, Any]
"""A range of samples, as in the answers of Prometheus' HTTP API."""

Kind = tuple[str, str]
"""What a series tells: ``METRIC`` or a place, and of which metric; of all where that is empty."""

Seen = tuple[float, float | None, float | None]
"""A metric's value, and the step and the resource that it was reported at."""


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
        resource = spec.algorithm.resource
        self._resource = resource.report if resource else None
        self._objective = spec.objective.metric
        self._read_to: dict[Kind, float] = {}
        self._last: dict[str, Seen] = {}
        self._labels: dict[Kind, int] = {}

    @property
    def hint(self) -> str | None:
        """Why a metric may be missing, None where nothing is known."""
        if self.ambiguous:
            names = ", ".join(sorted(self.ambiguous))
            return (
                f"Prometheus has several series of {names} for this pod; give a query that makes"
                " one of them, such as max(...)"
            )
        return None if self._last else "Prometheus has no such series of this pod; is it scraped?"

    def read(self, series: Sequence[Series]) -> list[Observation]:
        """Reads samples; those that are not newer than what was read before count no more."""
        moments: dict[float, dict[Kind, float]] = defaultdict(dict)
        for one in series:
            if (key := self._taken(one)) is None:
                continue
            for time, value in _samples(one):
                if time > self._read_to.get(key, -math.inf):
                    self._read_to[key] = time
                    moments[time][key] = value
        return [report for time in sorted(moments) for report in self._at(moments[time])]

    def takes(self, series: Series) -> bool:
        """Whether a series is read: the only one of what it tells, and not one too many."""
        return self._taken(series) is not None

    def _taken(self, series: Series) -> Kind | None:
        """What a series that is read is of."""
        labels = series.get("metric") or {}
        key = self._key(labels)
        if key is None:
            return None
        name = key[1] or key[0]
        is_ours = name in self.wanted or name in PLACES or name == self._resource
        if key not in self._labels and len(self._labels) >= MOST_KINDS and not is_ours:
            return None
        return None if self._is_another(key, labels) else key

    def _key(self, labels: Mapping[str, str]) -> Kind | None:
        """What a series is of; one that does not say so is the first objective."""
        series, name = labels.get("__name__", ""), labels.get(LABEL, "")
        if series in PLACE_OF_METRIC:
            return PLACE_OF_METRIC[series], name
        known = {*self.wanted, *PLACES, self._resource}
        name = name or (series if series in known else self._objective)
        if name in PLACES and name not in self.wanted:
            return name, ""
        return (METRIC, name) if is_name(name) else None

    def _is_another(self, key: Kind, labels: Mapping[str, str]) -> bool:
        """Whether this is a second series of what should be one; then none of them counts."""
        these = hash(frozenset(labels.items()))
        known = self._labels.setdefault(key, these)
        if known != these and key[0] == METRIC:
            self.ambiguous.add(key[1])
        return known != these

    def _at(self, values: Mapping[Kind, float]) -> Iterator[Observation]:
        """What was reported by one moment and not before, a report for each place in training."""
        reports: dict[tuple[float | None, float | None], dict[str, float]] = defaultdict(dict)
        for (kind, name), value in values.items():
            if kind != METRIC or name in self.ambiguous:
                continue
            step, resource = _step(values, name), self._spent(values, name)
            seen = (value, step, resource)
            if not _same(self._last.get(name), seen) and is_told(name, value, self.wanted):
                self._last[name] = seen
                reports[step, resource][name] = value
        for step, resource in sorted(reports, key=lambda at: tuple(map(_none_first, at))):
            yield Observation(reports[step, resource], step, resource=resource)

    def _spent(self, values: Mapping[Kind, float], name: str) -> float | None:
        """How much of the resource was spent when a metric was reported; None where untold."""
        unit = self._resource
        if unit is None or unit in PLACES:
            return _place(values, unit, name) if unit else None
        # A number of the same report, as far as that can be known.
        together = all(values.get((p, name)) == values.get((p, unit)) for p in PLACES)
        return _finite(values.get((METRIC, unit))) if together else None


def _step(values: Mapping[Kind, float], name: str) -> float | None:
    step = _place(values, "step", name)
    return _place(values, "epoch", name) if step is None else step


def _place(values: Mapping[Kind, float], place: str, name: str) -> float | None:
    return _finite(values.get((place, name), values.get((place, ""))))


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _samples(series: Series) -> Iterator[tuple[float, float]]:
    for sample in series.get("values") or ():
        try:
            time, value = float(sample[0]), float(sample[1])
        except (TypeError, ValueError, LookupError, OverflowError):
            continue
        if math.isfinite(time):
            yield time, value


def _same(before: Seen | None, now: Seen) -> bool:
    """Whether nothing was reported anew; a resource that is known no more is no news."""
    if before is None or before[1] != now[1] or now[2] not in (before[2], None):
        return False
    return before[0] == now[0] or (before[0] != before[0] and now[0] != now[0])


def _none_first(number: float | None) -> float:
    return -math.inf if number is None else number
