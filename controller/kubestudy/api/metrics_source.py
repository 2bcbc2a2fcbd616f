"""Where the metrics of a Study are read from."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from pydantic import Field, StrictInt, StrictStr

from kubestudy.api.base import ApiModel, Rule


class SourceType(StrEnum):
    """Where metrics are read from."""

    LOGS = "Logs"
    PROMETHEUS = "Prometheus"
    PUSH = "Push"


class LogFormat(StrEnum):
    """How a line of a trial's log says a metric."""

    JSON = "Json"
    KEY_VALUE = "KeyValue"
    TRAINER_LOG = "TrainerLog"
    REGEX = "Regex"


class MetricsSource(ApiModel):
    """One place that metrics are read from."""

    type: SourceType = Field(description="Logs, Prometheus or Push.")
    formats: list[LogFormat] | None = Field(
        default=None,
        min_length=1,
        max_length=4,
        description="Logs: the formats of the lines; Json, KeyValue and TrainerLog where none"
        " is given.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    regex: StrictStr | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="Logs with format Regex: an expression (RE2) with a group (?P<value>...), and"
        " (?P<name>...), (?P<step>...) and (?P<fold>...) if the line tells them; without a name,"
        " the value is the first objective's.",
    )
    query: StrictStr | None = Field(
        default=None,
        min_length=1,
        max_length=4096,
        description="Prometheus: a PromQL query for one series of the trial's pod, such as"
        " max(rate(samples_total[1m])); the pod is put in by kubestudy. Where none is given, the"
        " metrics that kubestudy-trial exports are read.",
    )
    linger_seconds: StrictInt | None = Field(
        default=None,
        ge=0,
        le=600,
        description="Prometheus: how long the trial keeps its endpoint up after its end, told to"
        " it as KUBESTUDY_LINGER_SECONDS; a little more than the scrape interval where Prometheus"
        " is the first source, else 0.",
    )

    rules: ClassVar = (
        Rule(
            "self.type == 'Logs' || !(has(self.formats) || has(self.regex))",
            lambda s: s.type == SourceType.LOGS or (s.formats is None and s.regex is None),
            "type",
            "formats and regex belong to Logs; leave them out, or write type: Logs",
        ),
        Rule(
            "self.type == 'Prometheus' || !(has(self.query) || has(self.lingerSeconds))",
            lambda s: (
                s.type == SourceType.PROMETHEUS or (s.query is None and s.linger_seconds is None)
            ),
            "type",
            "query and lingerSeconds belong to Prometheus; leave them out, or write type:"
            " Prometheus",
        ),
        Rule(
            "(has(self.formats) && 'Regex' in self.formats) == has(self.regex)",
            lambda s: (LogFormat.REGEX in (s.formats or ())) == (s.regex is not None),
            "regex",
            "goes together with the format Regex: give both, as in formats: [Regex] and"
            " regex: 'accuracy (?P<value>.*)', or neither",
        ),
    )

    @property
    def tells_folds(self) -> bool:
        """Whether one of its formats can say which fold a report is of."""
        if self.formats is None:
            return True
        named = {LogFormat.JSON, LogFormat.KEY_VALUE} & {*self.formats}
        return bool(named) or "(?P<fold>" in (self.regex or "")
