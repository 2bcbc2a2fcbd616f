"""Reads reports out of the lines of a trial's log.

Whatever a line holds, reading it takes bounded time and memory and never raises: the log is
written by a program that we know nothing of.

Each format is one method that is asked in turn; what they share is in modules of their own:
``numbers`` (what a number is, and that only a whole one is read), ``pairs``, ``dictionaries`` and
``places`` (where in training). A format that is to come is one more method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from kubestudy.api.metrics_source import LogFormat
from kubestudy.api.study import StudySpec
from kubestudy.core.metric_regex import MetricRegex
from kubestudy.core.reports import Observation, RunReport
from kubestudy.sources.dictionaries import json_objects, python_dictionaries
from kubestudy.sources.json_text import is_name
from kubestudy.sources.numbers import fold_number, number, number_in
from kubestudy.sources.pairs import Pairs, unanimous
from kubestudy.sources.places import Places
from kubestudy.sources.teaching import Teacher
from kubestudy.sources.terminal import shown, uncoloured
from kubestudy.sources.wanted import RESERVED, is_told, wanted

MAX_LINE = 16 * 1024
"""Longer lines are no reports; in characters."""

DEFAULT_FORMATS = (LogFormat.JSON, LogFormat.TRAINER_LOG, LogFormat.KEY_VALUE)

_EXAMPLES = {
    LogFormat.KEY_VALUE: "{name}=0.5",
    LogFormat.JSON: '{{"{name}": 0.5}}',
    LogFormat.TRAINER_LOG: "{{'{name}': 0.5}}",
}


class LineReader:
    """Turns lines into observations.

    Args:
        spec: The Study's spec: its formats, and the metrics that it asks for.

    Attributes:
        wanted: The metrics that the Study asks for.
        has_own_expression: Whether a user's expression is matched, which may be slow.
    """

    def __init__(self, spec: StudySpec):
        self.wanted = wanted(spec)
        self.has_own_expression = False
        resource = spec.algorithm.resource
        self._resource = resource.report if resource else None
        self._objective = spec.objective.metric
        formats: Sequence[LogFormat] = DEFAULT_FORMATS
        for source in spec.metrics or ():
            formats = source.formats or formats
            if source.regex is not None:
                self._regex = MetricRegex(source.regex)
                self.has_own_expression = True
        readers: dict[LogFormat, Callable[[str], Observation | None]] = {
            LogFormat.JSON: self._json,
            LogFormat.TRAINER_LOG: self._trainer_log,
            LogFormat.KEY_VALUE: self._key_value,
            LogFormat.REGEX: self._by_regex,
        }
        self._readers = [readers[f] for f in formats]
        self._names = () if LogFormat.REGEX in formats else (*sorted(self.wanted), '"seq"')
        self._pairs, self._folds = Pairs(self.wanted), Pairs(["fold"])
        self._places = Places(self._resource)
        example = next((text for f, text in _EXAMPLES.items() if f in formats), None)
        self._teacher = Teacher(self.wanted, example)

    def take(self, line: str, report: RunReport) -> bool:
        """Reads one line into a report; returns whether it was one.

        Of what is owed and was not read, the report is left with what helps to find out why.
        """
        text = _text(line)
        if text is None:
            return False
        observation = self._read(text)
        if observation is not None:
            report.add(observation)
            report.unread.over = report.unread.over or report.owed <= report.metrics.keys()
        if not report.unread.over:
            self._teacher.look(text, report)
        return observation is not None

    def explain(self, report: RunReport) -> None:
        """Adds why metrics are missing in a report that was taken to its end, if any are."""
        hint = self._teacher.hint(report)
        if hint is not None and hint not in (report.hint or ""):
            report.hint = f"{report.hint}; {hint}" if report.hint else hint

    def read(self, line: str) -> Observation | None:
        """Reads one line; None where it is no report."""
        text = _text(line)
        return None if text is None else self._read(text)

    def _read(self, line: str) -> Observation | None:
        if not self._may_report(line):
            return None
        for reader in self._readers:
            if (observation := reader(line)) is not None:
                return observation
        return None

    def _may_report(self, line: str) -> bool:
        """Whether a metric that was asked for is in a line at all: most lines are no reports."""
        for name in self._names:
            if name in line:
                return True
        # JSON may write any character of a name by its number.
        return not self._names or ("\\" in line and '{"' in line)

    def _json(self, line: str) -> Observation | None:
        if "{" not in line:
            return None
        reports = []
        for begin, record in json_objects(line):
            # A structured log has numbers too; a report has its own or one that was asked for.
            numbers = {k: n for k, v in record.items() if (n := number_in(v)) is not None}
            if number(record.get("seq")) is not None or self.wanted & numbers.keys():
                reports.append((begin, record, numbers))
        if len(reports) != 1:
            return None  # Of several, nobody knows which one is meant.
        begin, record, numbers = reports[0]
        seq = number(record.get("seq"))
        return self._observation(
            self._places.read(line[:begin]) | numbers if begin else numbers,
            seq=int(seq) if seq is not None and 0 <= seq < 2**53 else None,
            final=record.get("final") is True,
        )

    def _trainer_log(self, line: str) -> Observation | None:
        first = line.find("{'")
        if first < 0:
            return None
        pairs = [pair for found in python_dictionaries(line) for pair in found]
        numbers = unanimous(pairs)
        if not self.wanted & numbers.keys():
            return None
        return self._observation(self._places.read(line[:first]) | numbers if first else numbers)

    def _key_value(self, line: str) -> Observation | None:
        numbers = self._pairs.read(line)
        if not self.wanted & numbers.keys():
            return None
        fold = self._folds.read(line) if "fold" in line else {}
        return self._observation(self._places.read(line) | fold | numbers)

    def _by_regex(self, line: str) -> Observation | None:
        numbers: dict[str, float] = {}
        for match in self._regex.matches(line):
            name = self._objective if match.name is None else match.name
            found = ((name, match.value), ("step", match.step), ("fold", match.fold))
            numbers |= {k: n for k, text in found if (n := number_in(text)) is not None}
        if not self.wanted & numbers.keys():
            return None
        return self._observation(numbers)

    def _observation(
        self, numbers: Mapping[str, float], seq: int | None = None, final: bool = False
    ) -> Observation:
        metrics = {
            name: value
            for name, value in numbers.items()
            if name in self.wanted
            or (name not in RESERVED and is_name(name) and is_told(name, value, self.wanted))
        }
        step = numbers.get("step", numbers.get("epoch"))
        if step is not None and not math.isfinite(step):
            step = None
        resource = numbers.get(self._resource) if self._resource else None
        return Observation(metrics, step, seq, final, resource, fold_number(numbers.get("fold")))


def _text(line: str) -> str | None:
    """What is to be read of a line; None where that is too long for a report."""
    if "\r" in line:
        line = shown(line)
    if len(line) > MAX_LINE:
        return None
    return (uncoloured(line) if "\x1b" in line else line).strip()
