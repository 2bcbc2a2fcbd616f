"""Reads reports out of the lines of a trial's log.

Whatever a line holds, reading it takes bounded time and memory and never raises: the log is
written by a program that we know nothing of.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence

from kubestudy.api.metrics_source import LogFormat
from kubestudy.api.study import StudySpec
from kubestudy.core.metric_regex import MetricRegex
from kubestudy.core.reports import Observation
from kubestudy.sources.json_text import fold_number, is_name, json_object, number
from kubestudy.sources.wanted import is_told, wanted

MAX_LINE = 16 * 1024
"""Longer lines are no reports; in characters."""

DEFAULT_FORMATS = (LogFormat.JSON, LogFormat.TRAINER_LOG, LogFormat.KEY_VALUE)
RESERVED = ("seq", "step", "epoch", "fold", "time", "final")

_ANSI = re.compile(r"\x1b\[[0-9;?]{0,32}[A-Za-z]")
_NUMBER = (
    r"[-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,5})?|[-+]?(?:nan|inf(?:inity)?)"
)
_WHOLE_NUMBER = re.compile(_NUMBER, re.IGNORECASE)
_TRAINER_PAIR = re.compile(rf"'([^'\s]{{1,128}})': '?({_NUMBER})'?(?=[,}}])", re.IGNORECASE)


class LineReader:
    """Turns lines into observations.

    Args:
        spec: The Study's spec: its formats, and the metrics that it asks for.

    Attributes:
        wanted: The metrics that the Study asks for.
    """

    def __init__(self, spec: StudySpec):
        self.wanted = wanted(spec)
        resource = spec.algorithm.resource
        self._resource = resource.report if resource else None
        self._objective = spec.objective.metric
        formats: Sequence[LogFormat] = DEFAULT_FORMATS
        for source in spec.metrics or ():
            formats = source.formats or formats
            if source.regex is not None:
                self._regex = MetricRegex(source.regex)
        readers: dict[LogFormat, Callable[[str], Observation | None]] = {
            LogFormat.JSON: self._json,
            LogFormat.TRAINER_LOG: self._trainer_log,
            LogFormat.KEY_VALUE: self._key_value,
            LogFormat.REGEX: self._by_regex,
        }
        self._readers = [readers[f] for f in formats]
        numbers = self.wanted | ({self._resource} if self._resource else set())
        names = "|".join(re.escape(n) for n in sorted(numbers, key=len, reverse=True))
        self._pair = re.compile(
            rf"(?<![\w./\-])({names}|step|epoch|fold)\s{{0,8}}[=:]\s{{0,8}}({_NUMBER})(?!\.?\w)",
            re.IGNORECASE,
        )

    def read(self, line: str) -> Observation | None:
        """Reads one line; None where it is no report."""
        line, after_a_bar = _shown(line)
        if len(line) > MAX_LINE:
            return None
        if "\x1b" in line:
            line = _ANSI.sub("", line)
        line = line.strip()
        if after_a_bar and (start := line.find('{"')) > 0:
            line = line[start:]
        for reader in self._readers:
            if (observation := reader(line)) is not None:
                return observation
        return None

    def _json(self, line: str) -> Observation | None:
        record = json_object(line)
        if record is None:
            return None
        numbers = {k: n for k, v in record.items() if (n := number(v)) is not None}
        # A structured log has numbers too; a report has its own or one that was asked for.
        if "seq" not in numbers and not self.wanted & numbers.keys():
            return None
        seq = numbers.get("seq")
        return self._observation(
            numbers.items(),
            seq=int(seq) if seq is not None and 0 <= seq < 2**53 else None,
            final=record.get("final") is True,
        )

    def _trainer_log(self, line: str) -> Observation | None:
        if not line.startswith("{'") or not self._names_one(line):
            return None
        pairs = [(name, float(value)) for name, value in _TRAINER_PAIR.findall(line)]
        if not self.wanted & {name for name, _ in pairs}:
            return None
        return self._observation(pairs)

    def _key_value(self, line: str) -> Observation | None:
        if not self._names_one(line):
            return None
        pairs = [(name, float(value)) for name, value in self._pair.findall(line)]
        # Names are matched in any case by the number's sake; they count as they are written.
        pairs = [(n, v) for n, v in pairs if n in {*self.wanted, *RESERVED, self._resource}]
        if not self.wanted & {name for name, _ in pairs}:
            return None
        return self._observation(pairs)

    def _names_one(self, line: str) -> bool:
        """Whether a metric that was asked for is in a line at all: most lines are no reports."""
        return any(name in line for name in self.wanted)

    def _by_regex(self, line: str) -> Observation | None:
        numbers: dict[str, float] = {}
        for match in self._regex.matches(line):
            name = self._objective if match.name is None else match.name
            if match.value and _WHOLE_NUMBER.fullmatch(match.value):
                numbers[name] = float(match.value)
            if match.step and _WHOLE_NUMBER.fullmatch(match.step):
                numbers["step"] = float(match.step)
            if match.fold and _WHOLE_NUMBER.fullmatch(match.fold):
                numbers["fold"] = float(match.fold)
        if not self.wanted & numbers.keys():
            return None
        return self._observation(numbers.items())

    def _observation(
        self,
        pairs: Iterable[tuple[str, float]],
        seq: int | None = None,
        final: bool = False,
    ) -> Observation:
        numbers = dict(pairs)
        metrics = {
            name: value
            for name, value in numbers.items()
            if (name in self.wanted or (name not in RESERVED and is_name(name)))
            and is_told(name, value, self.wanted)
        }
        step = numbers.get("step", numbers.get("epoch"))
        if step is not None and not math.isfinite(step):
            step = None
        resource = numbers.get(self._resource) if self._resource else None
        return Observation(metrics, step, seq, final, resource, fold_number(numbers.get("fold")))


def _shown(line: str) -> tuple[str, bool]:
    """What a terminal would show of a line, and whether a progress bar was there before.

    A bar goes back to the line's begin to draw itself anew, and leaves no end of line for what is
    printed after it.
    """
    _, bar, last = line.rstrip("\r\n").rpartition("\r")
    return last, bool(bar)
