"""What runs report: one report, and all that a pod has reported, in bounded space."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from kubestudy.algorithms.rungs import levels
from kubestudy.api.study import StudySpec
from kubestudy.api.trial import MAX_METRIC_NAME, MAX_METRICS, MAX_POINTS
from kubestudy.core.unread import Unread

_ROUNDING = 1e-6
"""An epoch's number is a quotient of steps, and may miss a whole number by a little."""
_MOST = 2**53


@dataclass(frozen=True)
class Observation:
    """One report of a trial.

    Attributes:
        metrics: Values by name; they may be NaN or infinite.
        step: Training step, None where it was not told.
        resource: How much of a multi-fidelity algorithm's resource is spent, None where untold.
        seq: The report's number, None where it was not told.
        final: Whether the trial says that this is its last report, or the last of its fold.
        fold: Which fold it is of, None where it was not told.
    """

    metrics: dict[str, float]
    step: float | None = None
    seq: int | None = None
    final: bool = False
    resource: float | None = None
    fold: int | None = None


@dataclass(frozen=True)
class LastWord:
    """What a trial left as its termination message.

    Attributes:
        metrics: The last value and the extremes of each metric.
        seq: The number of its last report.
        reason: What it says became of it, in CamelCase.
        message: The same for a person.
        fold: The fold that it was at.
        folds: The last value and the extremes of the metrics of each fold.
    """

    metrics: dict[str, MetricTrack]
    seq: int | None = None
    reason: str | None = None
    message: str = ""
    fold: int | None = None
    folds: dict[int, dict[str, MetricTrack]] = field(default_factory=dict)


@dataclass
class MetricTrack:
    """What was seen of one metric, in constant space."""

    latest: float
    min: float
    max: float
    step: float | None
    count: int = 1

    def add(self, value: float, step: float | None) -> None:
        """Takes one more value."""
        self.latest, self.step = value, step
        self.min, self.max = min(self.min, value), max(self.max, value)
        self.count += 1


@dataclass(frozen=True)
class Reported:
    """One value of the curve's metric, and what came before it.

    Attributes:
        step: Training step, or the number of values before it where no step was told.
        value: The value.
        min: The smallest value up to there.
        max: The largest value up to there.
        mean: The mean of all values up to there, rounded once.
        count: How many values those are.
    """

    step: float
    value: float
    min: float
    max: float
    mean: float
    count: int

    def __deepcopy__(self, memo: object) -> Reported:
        """Itself, since it never changes: reports are copied at each decision, with all of it."""
        return self


@dataclass
class RunReport:
    """All that one pod has reported so far, in bounded space.

    Attributes:
        curve_metric: The metric whose course is kept.
        owed: The metrics that are kept even beyond the number of others that is.
        metrics: What was seen of each metric, by name.
        curve: The course of ``curve_metric``, thinned to at most ``MAX_POINTS``.
        newest: What was reported of it last.
        not_finite: The first metric that was NaN or infinite, with its value and step.
        levels: The resources at which ``curve_metric`` is asked for, rising.
        rungs: The value of ``curve_metric`` at each level that was reached.
        missing: How many reports are known to be lost, by gaps in their numbers.
        dropped: Names of metrics beyond the number that is kept.
        complete: Whether everything the pod said has been read.
        cut_off: Whether its end is known to be lost, so that other sources know better.
        problem: Why the pod's reports could not be read, None where they could.
        hint: What a source says of metrics that it does not have.
        unread: What a log had in their place.
        exit_reason: What the trial itself says became of it.
        exit_message: The same for a person.
        fold_count: How many folds the trial has, where its pod trains all of them; else 0.
        fold: Which of them was reported last.
        folds: What was reported of each of them; its course is theirs alone then.
    """

    curve_metric: str | None = None
    owed: frozenset[str] = frozenset()
    metrics: dict[str, MetricTrack] = field(default_factory=dict)
    curve: list[Reported] = field(default_factory=list)
    newest: Reported | None = None
    not_finite: tuple[str, float, float | None] | None = None
    levels: tuple[int, ...] = ()
    rungs: dict[int, MetricTrack] = field(default_factory=dict)
    missing: int = 0
    dropped: int = 0
    complete: bool = False
    cut_off: bool = False
    problem: str | None = None
    hint: str | None = None
    unread: Unread = field(default_factory=Unread)
    exit_reason: str | None = None
    exit_message: str = ""
    fold_count: int = 0
    fold: int | None = None
    folds: dict[int, RunReport] = field(default_factory=dict)
    _last_seq: int = -1
    _stride: int = 1
    _seen: int = 0
    _sum: Fraction = Fraction(0)

    @classmethod
    def of(cls, owed: Sequence[str], levels: Sequence[int] = ()) -> RunReport:
        """An empty report of a run that owes these metrics, the first objective's first."""
        return cls(owed[0], frozenset(owed), levels=tuple(levels))

    @classmethod
    def empty(cls, spec: StudySpec) -> RunReport:
        """The report of a run of a Study that has not said anything yet."""
        if spec.one_pod:
            return cls(spec.owed[0], frozenset(spec.owed), fold_count=spec.folds)
        resource = spec.algorithm.resource
        return cls.of(spec.owed, levels(resource) if resource else ())

    @property
    def folds_done(self) -> dict[int, RunReport]:
        """The folds of which all that is owed was reported, and nothing more is to come.

        They are trained one after another: the report of another fold, or the word ``final``, ends
        one.
        """
        return {
            fold: report
            for fold, report in self.folds.items()
            if (report.complete or fold != self.fold) and self.owed <= report.metrics.keys()
        }

    def fits(self, empty: RunReport) -> bool:
        """Whether it can have grown out of an empty report, though people may have edited it."""
        if (self.curve_metric, self.owed) != (empty.curve_metric, empty.owed):
            return False
        if (self.levels, self.fold_count) != (empty.levels, empty.fold_count):
            return False
        tracks = [*self.metrics.values(), *self.rungs.values()]
        points = [*self.curve, *([self.newest] if self.newest else [])]
        numbers = [n for t in tracks for n in (t.latest, t.min, t.max, t.step or 0.0)]
        numbers += [n for p in points for n in (p.step, p.value, p.min, p.max, p.mean)]
        counts = [self._stride, *(t.count for t in tracks), *(p.count for p in points)]
        of_fold = RunReport(self.curve_metric, self.owed)
        return (
            all(map(math.isfinite, numbers))
            and all(0 < n < _MOST for n in counts)
            and all(0 < len(name) <= MAX_METRIC_NAME for name in self.metrics)
            and (self.newest is None) == (not self.curve)
            and len(self.curve) <= min(self._seen, MAX_POINTS)
            and abs(self._sum) <= self._seen * Fraction(sys.float_info.max)
            and self.unread.fits(self.owed)
            and self.rungs.keys() <= set(self.levels)
            and self.folds.keys() <= set(range(self.fold_count))
            and all(report.fits(of_fold) for report in self.folds.values())
        )

    def add(self, observation: Observation) -> None:
        """Takes one report; one that was taken before (by its number) is not counted again."""
        if observation.seq is not None:
            if observation.seq <= self._last_seq:
                return
            first = self._last_seq < 0 and observation.seq == 1  # Some count from 1.
            self.missing += 0 if first else observation.seq - self._last_seq - 1
            self._last_seq = observation.seq
        self._take(observation)
        if observation.fold is None or not self.fold_count:
            return
        if (of_fold := self._of_fold(observation.fold)) is not None:
            self.fold, of_fold.complete = observation.fold, observation.final
            of_fold._take(observation)

    def _of_fold(self, fold: int) -> RunReport | None:
        """The report of one fold; None where there is no such fold."""
        if not 0 <= fold < self.fold_count:
            last = self.fold_count - 1
            self.hint = f"a report names fold {fold}, and folds are numbered from 0 to {last}"
            return None
        return self.folds.setdefault(fold, RunReport(self.curve_metric, self.owed))

    def _take(self, observation: Observation) -> None:
        for name, value in observation.metrics.items():
            known = self.metrics.get(name)
            said_before = known and (known.latest, known.step) == (value, observation.step)
            if not (observation.final and said_before):
                self._track(name, value, observation.step)
        if observation.resource is not None and self.curve_metric in observation.metrics:
            self._reach(observation.resource)

    def close(self, word: LastWord | None) -> None:
        """Everything that can be read has been read; what the log lost, the last word may have."""
        self.complete = True
        if word is None:
            return
        self.exit_reason, self.exit_message = word.reason, word.message
        newer = word.seq is not None and word.seq > self._last_seq
        if newer and word.seq is not None:
            self.missing += word.seq - self._last_seq
            self._last_seq = word.seq
        self._fill(word.metrics, newer)
        for fold, metrics in word.folds.items() if self.fold_count else ():
            if (of_fold := self._of_fold(fold)) is not None:
                of_fold._fill(metrics, newer)
                self.not_finite = self.not_finite or of_fold.not_finite
        if newer and word.fold is not None and self.fold_count:
            self.fold = word.fold

    def _fill(self, metrics: Mapping[str, MetricTrack], newer: bool) -> None:
        """Takes what the last word says of metrics.

        Args:
            metrics: What it says.
            newer: Whether it knows of reports that were not seen.
        """
        for name, track in metrics.items():
            for value in (track.latest, track.min, track.max):
                if not math.isfinite(value):
                    self.not_finite = self.not_finite or (name, value, track.step)
                    break
            else:
                known = self.metrics.get(name)
                if known is not None and newer:
                    known.add(track.latest, track.step)
                    known.min, known.max = min(known.min, track.min), max(known.max, track.max)
                elif known is None and (len(self.metrics) < MAX_METRICS or name in self.owed):
                    self.metrics[name] = track

    def _reach(self, resource: float) -> None:
        """Keeps what the curve's metric is at each level that this much of the resource reaches."""
        track = self.metrics.get(self.curve_metric or "")
        for level in self.levels:
            if track is not None and level not in self.rungs and resource > level - _ROUNDING:
                self.rungs[level] = replace(track)

    def _track(self, name: str, value: float, step: float | None) -> None:
        if not math.isfinite(value):
            self.not_finite = self.not_finite or (name, value, step)
            return
        track = self.metrics.get(name)
        if track is not None:
            track.add(value, step)
        elif len(self.metrics) < MAX_METRICS or name in self.owed:
            self.metrics[name] = MetricTrack(value, value, value, step)
        else:
            self.dropped += 1
        if name == self.curve_metric and not self.fold_count:
            self._plot(step if step is not None else float(self._seen), value)

    def _plot(self, step: float, value: float) -> None:
        """Keeps every n-th point, with n doubled each time that the space is full."""
        self._sum += Fraction(value)
        before = self.newest
        self.newest = Reported(
            step,
            value,
            min=min(before.min, value) if before else value,
            max=max(before.max, value) if before else value,
            mean=float(self._sum / (self._seen + 1)),
            count=self._seen + 1,
        )
        if self._seen % self._stride == 0:
            if len(self.curve) == MAX_POINTS:
                del self.curve[1::2]
                self._stride *= 2
            if self._seen % self._stride == 0:
                self.curve.append(self.newest)
        self._seen += 1
