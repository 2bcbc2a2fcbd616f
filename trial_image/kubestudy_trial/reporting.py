"""What a trial says: a line per report, the termination message, and Prometheus gauges.

`report()` is all that a script needs. It works without a controller too: then it only prints.
"""

import json
import logging
import math
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from kubestudy_trial.environment import Environment
from kubestudy_trial.failures import Failure

if TYPE_CHECKING:
    from prometheus_client import Metric

_log = logging.getLogger(__name__)

MESSAGE_BYTES = 4096
"""What the kubelet keeps of a termination message."""

LINE_BYTES = 15_000
"""Above 16 KiB a container's log line is cut in pieces, and no longer JSON."""

_REASON_BYTES = 1024
_RESERVED = ("seq", "time")
_FEW_DIGITS = 6
_TIMING = ("runtime", "per_second", "total_flos")


@dataclass
class Series:
    """What is kept of one metric's reports."""

    latest: float
    step: int | None
    lowest: float = math.inf
    highest: float = -math.inf

    def add(self, value: float, step: int | None) -> None:
        """Take one more value; only finite ones count for the extremes."""
        self.latest, self.step = value, step
        if math.isfinite(value):
            self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)

    def as_list(self, digits: int) -> list[float | str] | float | str:
        """The metric of one fold as the termination message shows it."""
        latest = _rounded(self.latest, digits)
        if not self.lowest < self.highest:
            return latest
        return [latest, _rounded(self.lowest, digits), _rounded(self.highest, digits)]

    def as_json(self) -> dict[str, Any]:
        """The metric as the termination message shows it."""
        shown: dict[str, Any] = {"latest": _strict(self.latest)}
        if self.step is not None:
            shown["step"] = self.step
        if self.lowest <= self.highest:
            shown |= {"min": self.lowest, "max": self.highest}
        return shown


class Reporter:
    """Says what a trial has measured, in every place where the controller may look."""

    def __init__(self, environment: Environment):
        self.environment = environment
        self._lock = threading.RLock()  # Re-entrant: a signal handler concludes too.
        self._reports = 0
        self._step: int | None = None
        self._fold: int | None = None
        self._fold_count = environment.folds[0].count if environment.folds else 0
        self._series: dict[str, Series] = {}
        self._of_folds: dict[str, dict[int, Series]] = {}
        self._gauges = _Gauges.serve(environment.metrics_port) if environment.is_leader else None

    def report(
        self,
        step: int | None = None,
        *,
        epoch: float | None = None,
        fold: int | None = None,
        final: bool = False,
        **metrics: Any,
    ) -> None:
        """Report metrics; see the module's `report`."""
        values = {name: _number(name, value) for name, value in metrics.items()}
        if step is not None:
            step = int(_number("step", step))
        folds = [f.index for f in self.environment.folds]
        if fold is None and len(folds) == 1:
            fold = folds[0]
        if fold is not None:
            fold = int(_number("fold", fold))
        if not self.environment.is_leader:
            return
        head: dict[str, Any] = {} if step is None else {"step": step}
        if epoch is not None:
            head["epoch"] = _number("epoch", epoch)
        if fold is not None:
            head["fold"] = fold
        with self._lock:
            # First of all, so that a signal in the middle of this concludes with these values.
            self._step = self._step if step is None else step
            self._fold = self._fold if fold is None else fold
            for name, value in values.items():
                self._series.setdefault(name, Series(value, step)).add(value, step)
                if fold is not None and 0 <= fold < self._fold_count:
                    of_metric = self._of_folds.setdefault(name, {})
                    of_metric.setdefault(fold, Series(value, step)).add(value, step)
            for last, part in _parts(values):
                self._print(head | part | ({"final": True} if final and last else {}))
            if self._gauges is not None:
                self._gauges.set({"step": step, "epoch": head.get("epoch"), "fold": fold}, values)
            is_last = final and (not folds or fold in (None, folds[-1]))
            self._write_message("Completed" if is_last else "", "")

    def conclude(self, reason: str, message: str = "") -> None:
        """Leave the outcome in the termination message."""
        if self.environment.is_leader:
            with self._lock:
                self._write_message(reason, message)

    def fail(self, failure: Failure) -> None:
        """Leave a failure in the termination message."""
        self.conclude(failure.reason, str(failure))

    @property
    def is_scraped(self) -> bool:
        """Whether Prometheus can read the metrics."""
        return self._gauges is not None

    def _print(self, body: dict[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        sys.stdout.write(json.dumps({"seq": self._reports, "time": now} | body) + "\n")
        sys.stdout.flush()
        self._reports += 1

    def _write_message(self, reason: str, message: str) -> None:
        path = self.environment.termination_log
        if path is None:
            return
        seq = self._reports - 1 if self._reports else None
        owed = self.environment.objectives
        of_folds = {name: self._of_folds[name] for name in owed if name in self._of_folds}
        text = termination_message(
            seq, self._step, self._ranked(), reason, message, self._fold, of_folds
        )
        try:
            # The file is bind-mounted, so it can't be replaced. Overwritten first and cut after,
            # it is whole JSON at every instant, and a SIGKILL finds the last report in it.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                before = os.fstat(descriptor).st_size
                os.write(descriptor, text.encode().ljust(before))
                os.ftruncate(descriptor, len(text))
            finally:
                os.close(descriptor)
        except OSError as error:
            _log.warning("no termination message: %s", error)

    def _ranked(self) -> dict[str, Series]:
        """The metrics, those first which matter if not all fit."""

        def rank(name: str) -> int:
            if name in self.environment.objectives:
                return 0
            if name.endswith(_TIMING):
                return 3
            return 1 if name.startswith("eval_") else 2

        return {name: self._series[name] for name in sorted(self._series, key=rank)}


def termination_message(
    seq: int | None,
    step: int | None,
    series: dict[str, Series],
    reason: str,
    message: str,
    fold: int | None = None,
    of_folds: Mapping[str, Mapping[int, Series]] | None = None,
) -> str:
    """Build the termination message: ASCII, valid JSON, at most 4,096 bytes.

    Args:
        seq: The number of the last report, if there is one.
        step: The last step reported, if any was.
        series: The metrics, the important ones first. Those which don't fit are left out.
        reason: CamelCase; empty while the trial runs, and then left out.
        message: For a person; cut when long.
        fold: The fold reported last, if one was.
        of_folds: What the folds reported of the metrics that matter. Where there is no room for all
            digits of them, they are rounded; they come before the series, which are of all folds.
    """
    while len(json.dumps(message)) > _REASON_BYTES:
        message = message[: len(message) * 9 // 10 - 1].removesuffix("…") + "…"
    places = (("seq", seq), ("step", step), ("fold", fold))
    body: dict[str, Any] = {name: at for name, at in places if at is not None}
    tail: dict[str, Any] = {"reason": reason, "message": message} if reason else {}
    metrics: dict[str, Any] = {}
    room = MESSAGE_BYTES - len(json.dumps({**body, "metrics": {}, **tail}))
    if folds := _folds_within(room, of_folds or {}):
        body["folds"] = folds
        room = MESSAGE_BYTES - len(json.dumps({**body, "metrics": {}, **tail}))
    for name, values in series.items():
        shown = values.as_json()
        need = len(json.dumps({name: shown}))  # Two braces stand for a comma and a space.
        if need <= room:
            metrics[name] = shown
            room -= need
    return json.dumps({**body, "metrics": metrics, **tail})


def _folds_within(room: int, of_folds: Mapping[str, Mapping[int, Series]]) -> dict[str, list[Any]]:
    """The folds' values by metric, a list by fold: rounded, and then cut, until they fit."""
    names = list(of_folds)
    for digits, kept in (
        (17, names),
        *((_FEW_DIGITS, names[:n]) for n in range(len(names), 0, -1)),
    ):
        shown = {
            name: [
                of_folds[name][fold].as_list(digits) if fold in of_folds[name] else None
                for fold in range(max(of_folds[name]) + 1)
            ]
            for name in kept
        }
        if len(json.dumps({"folds": shown})) <= room:
            return shown
    return {}


class _Gauges:
    """The metrics for Prometheus. Labels name a metric, never a trial or a parameter.

    A scrape sees whole reports only: a value always comes with its step, epoch and fold.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, float] = {}
        self._places: dict[str, float] = {}
        self._places_of: dict[str, dict[str, float]] = {"step": {}, "epoch": {}, "fold": {}}

    @classmethod
    def serve(cls, port: int) -> "_Gauges | None":
        if not port:
            return None
        try:
            from prometheus_client import CollectorRegistry, start_http_server

            gauges = cls()
            registry = CollectorRegistry()
            registry.register(gauges)
            start_http_server(port, registry=registry)
        except (ImportError, OSError, OverflowError) as error:
            _log.warning("no metrics endpoint on port %d, training goes on: %s", port, error)
            return None
        return gauges

    def set(self, places: dict[str, float | None], values: dict[str, float]) -> None:
        with self._lock:
            self._values |= values
            for place, number in places.items():
                of_metrics = self._places_of[place]
                if number is not None:
                    self._places[place] = number
                    of_metrics |= dict.fromkeys(values, number)
                else:
                    for name in values:
                        of_metrics.pop(name, None)

    def collect(self) -> "Iterator[Metric]":
        """Give everything as it is now; called by the endpoint."""
        from prometheus_client.core import GaugeMetricFamily as Gauge

        with self._lock:
            values, places = dict(self._values), dict(self._places)
            places_of = {place: dict(numbers) for place, numbers in self._places_of.items()}
        families = [("", values, "The last reported value of a metric.")]
        families += [(f"_{p}", n, f"The {p} of that report.") for p, n in places_of.items()]
        for suffix, numbers, text in families:
            family = Gauge(f"kubestudy_trial_metric{suffix}", text, labels=["metric"])
            for metric, number in numbers.items():
                family.add_metric([metric], number)
            yield family
        for place, number in places.items():
            yield Gauge(f"kubestudy_trial_{place}", f"The last {place}.", value=number)


def _parts(values: dict[str, float]) -> list[tuple[bool, dict[str, float]]]:
    """Cut a report into lines that a container's log keeps whole; usually there is one."""
    parts: list[dict[str, float]] = [{}]
    size = 0
    for name, value in values.items():
        need = len(json.dumps({name: value}))
        if size + need > LINE_BYTES and parts[-1]:
            parts.append({})
            size = 0
        parts[-1][name] = value
        size += need
    return [(part is parts[-1], part) for part in parts]


def _number(name: str, value: Any) -> float:
    """The value as a number of Python, from one of NumPy, torch or Python."""
    if name in _RESERVED:
        raise TypeError(f"{name!r} is a reserved name, not a metric")
    item = getattr(value, "item", None)
    plain = item() if callable(item) else value
    if isinstance(plain, bool) or not isinstance(plain, Real):
        raise TypeError(f"metric {name!r} must be a number, not {value!r}")
    return int(plain) if isinstance(plain, Integral) else float(plain)


def _rounded(value: float, digits: int) -> float | str:
    return _strict(float(f"{value:.{digits}g}"))


def _strict(value: float) -> float | str:
    """JSON has no NaN; "NaN", "Infinity" and "-Infinity" are read by `float()` as well."""
    return value if math.isfinite(value) else json.dumps(value)


_default: Reporter | None = None
_default_lock = threading.Lock()


def default_reporter() -> Reporter:
    """The reporter of this process, made when it is first needed."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Reporter(Environment.read())
        return _default


def report(
    step: int | None = None,
    *,
    epoch: float | None = None,
    fold: int | None = None,
    final: bool = False,
    **metrics: Any,
) -> None:
    """Report metrics of this trial: prints one line of JSON, and tells the termination message.

    Args:
        step: Where in training, in optimizer steps or whatever the script counts.
        epoch: Where in training, in epochs.
        fold: Which fold of a cross-validation; may be left out where the process trains one.
        final: This is the last report, or the last of its fold.
        **metrics: Numbers by name: `report(step=100, eval_accuracy=0.9)`.

    Raises:
        TypeError: A metric is not a number.
    """
    default_reporter().report(step, epoch=epoch, fold=fold, final=final, **metrics)


def parameters() -> dict[str, Any]:
    """The parameters of this trial by name; empty when run by hand."""
    return dict(default_reporter().environment.parameters)
