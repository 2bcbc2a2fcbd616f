"""The kind Study: what to tune, how to search, how much to spend, and how it went."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr
from pydantic.config import JsonDict

from kubestudy.api.base import ApiModel, Rule, Transition
from kubestudy.api.meta import AnyObject, ApiVersion, Condition, ObjectMeta, Time, is_true
from kubestudy.api.parameters import (
    MAX_PARAMETERS,
    Assignment,
    JsonNumber,
    Parameter,
    ParameterConstraint,
    ParameterType,
    Value,
)

METRIC_NAME = r"^[A-Za-z_][A-Za-z0-9_./\-]*$"
DURATION = r"^([0-9]+(d|h|m|s))+$"
MAX_PARALLELISM = 1000
MAX_TRIALS = 100_000
MAX_INITIAL_TRIALS = 64
MAX_FRONT = 100
SEED = "seed"

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_LONGEST = 100 * 365 * 86400


def parse_duration(text: str) -> timedelta:
    """Reads a duration such as ``90s``, ``2h30m`` or ``1d``; of more than 100 years, 100 years."""
    seconds = sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([dhms])", text))
    return timedelta(seconds=min(seconds, _LONGEST))


Duration = Annotated[StrictStr, Field(max_length=32, pattern=DURATION)]


def list_map(key: str) -> JsonDict:
    """Schema keys of a list whose items are told apart by one field."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


ATOMIC: JsonDict = {"x-kubernetes-list-type": "atomic"}


class Direction(StrEnum):
    """Which way an objective gets better."""

    MAXIMIZE = "Maximize"
    MINIMIZE = "Minimize"


class Strategy(StrEnum):
    """Which of a run's reported values counts."""

    LAST = "Last"
    BEST = "Best"


class Objective(ApiModel):
    """A metric to make as large or as small as possible."""

    metric: str = Field(
        min_length=1,
        max_length=128,
        pattern=METRIC_NAME,
        description="Name of the metric, as the trial reports it.",
    )
    direction: Direction = Field(description="Maximize or Minimize.")
    target: JsonNumber | None = Field(
        default=None,
        description="The Study ends as soon as a trial reaches this value; with several objectives,"
        " as soon as one trial reaches all targets that are set.",
    )
    strategy: Strategy = Field(
        default=Strategy.LAST,
        description="Last: the value reported last counts. Best: the best one reported counts.",
    )

    def better(self, a: float, b: float) -> bool:
        """Whether value ``a`` is strictly better than ``b``."""
        return a > b if self.direction == Direction.MAXIMIZE else a < b

    def reached(self, value: float) -> bool:
        """Whether a value is at the target or beyond it."""
        return self.target is not None and not self.better(self.target, value)


class MetricConstraint(ApiModel):
    """A bound that a trial's metric must keep for the trial to be feasible."""

    metric: str = Field(
        min_length=1, max_length=128, pattern=METRIC_NAME, description="Name of the metric."
    )
    min: JsonNumber | None = Field(default=None, description="Smallest feasible value.")
    max: JsonNumber | None = Field(default=None, description="Largest feasible value.")

    rules: ClassVar = (
        Rule(
            "has(self.min) || has(self.max)",
            lambda s: s.min is not None or s.max is not None,
            "",
            "needs min, max or both",
        ),
        Rule(
            "!(has(self.min) && has(self.max)) || self.min <= self.max",
            lambda s: s.min is None or s.max is None or s.min <= s.max,
            "min",
            "must not be above max",
        ),
    )


class Resource(ApiModel):
    """What a multi-fidelity algorithm spends on a trial bit by bit, such as epochs."""

    name: str = Field(
        min_length=1, max_length=128, pattern=METRIC_NAME, description="Such as num_train_epochs."
    )
    min: StrictInt = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="Resource of the lowest rung, or of a generation.",
    )
    max: StrictInt = Field(ge=1, le=1_000_000, description="Resource of a whole trial.")
    eta: StrictInt = Field(
        default=3,
        ge=2,
        le=100,
        description="One trial in eta goes on from a rung to the next. PBT has no use for it.",
    )
    reported_as: str | None = Field(
        default=None,
        min_length=1,
        max_length=128,
        pattern=METRIC_NAME,
        description="Name of the number in the trial's reports that tells how much of it is spent."
        " Where it is not set: epoch or step, if the resource's name has that word in it, else the"
        " resource's name.",
    )

    rules: ClassVar = (
        Rule(
            "self.min * self.eta <= self.max",
            lambda s: s.min * s.eta <= s.max,
            "max",
            "must be at least min * eta, or no trial could ever be stopped at a rung",
        ),
    )

    @property
    def report(self) -> str:
        """The number in a report that tells how much of the resource is spent."""
        if self.reported_as is not None:
            return self.reported_as
        return next((word for word in ("epoch", "step") if word in self.name.lower()), self.name)


class Algorithm(ApiModel):
    """How configurations are suggested."""

    type: str = Field(
        default="TPE",
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]*$",
        description="Name of the algorithm, such as Grid, Random or TPE, or the import path of a"
        " sampler for Optuna that the administrator allows. See docs/algorithms.md.",
    )
    seed: StrictInt | None = Field(
        default=None,
        ge=0,
        le=2**53,
        description="Makes the suggestions repeatable; where none is given, status.seed tells"
        " the one that is used.",
    )
    settings: AnyObject | None = Field(
        default=None, description="Settings of this algorithm, by name."
    )
    allow_duplicates: StrictBool = Field(
        default=False,
        description="Whether a configuration that was tried may be suggested again; otherwise a"
        " Study ends when all of its search space was tried.",
    )
    resource: Resource | None = Field(
        default=None,
        description="What Hyperband, BOHB, ASHA and PBT spend bit by bit. A trial is given the"
        " largest value as a parameter of this name, and ends before it gets there: where it is"
        " stopped, or with PBT at the end of its generation, each of which gets min of it.",
    )
    synchronous: StrictBool = Field(
        default=False,
        description="Multi-fidelity only: wait at each rung for all trials of its bracket. The"
        " generations of PBT always wait.",
    )


class EarlyStopping(ApiModel):
    """Which running trials are not worth finishing."""

    type: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[A-Za-z][A-Za-z0-9\-]*$",
        description="The rule: Median, Percentile, Threshold, Patience or Wilcoxon.",
    )
    settings: AnyObject | None = Field(default=None, description="Settings of the rule, by name.")


class Discard(StrEnum):
    """When the remaining folds of a trial are not run."""

    FORGIVING = "Forgiving"
    NONE = "None"


class FoldExecution(StrEnum):
    """Where the folds of a trial run."""

    POD_PER_FOLD = "PodPerFold"
    ONE_POD = "OnePod"


class CrossValidation(ApiModel):
    """Evaluates each trial on several splits; the objective is the mean."""

    folds: StrictInt = Field(ge=2, le=20, description="How many folds.")
    seed: StrictInt = Field(default=0, ge=0, le=2**31, description="Seed of the split.")
    stratified: StrictBool = Field(default=True, description="Keep the classes' shares per fold.")
    discard: Discard = Field(
        default=Discard.FORGIVING,
        description="Forgiving: leave out the remaining folds of a trial that so far is worse than"
        " the best trial on the same folds, by more than one standard error of the best trial's"
        " mean. None: run every fold of every trial.",
    )
    execution: FoldExecution = Field(
        default=FoldExecution.POD_PER_FOLD,
        description="PodPerFold: each fold is a run of its own. OnePod: one run trains all folds of"
        " a trial, one after another, and names the fold in each report.",
    )


class Confirm(ApiModel):
    """Runs the best trials again with other seeds, once the search has ended."""

    seeds: StrictInt = Field(
        ge=1, le=20, description="With how many other seeds each of them is run again."
    )
    top: StrictInt = Field(
        default=3, ge=1, le=20, description="How many of the best are run again."
    )


class Budget(ApiModel):
    """How much a Study may spend; each field may be edited while it runs."""

    parallelism: StrictInt = Field(
        default=1, ge=1, le=MAX_PARALLELISM, description="How many runs may go on at once."
    )
    max_trials: StrictInt | None = Field(
        default=None, ge=1, le=MAX_TRIALS, description="How many trials to run in all."
    )
    max_failed_trials: StrictInt | None = Field(
        default=None,
        ge=0,
        le=MAX_TRIALS,
        description="The Study fails when more trials than this have failed. Where it is not"
        " set, a Study fails when its first 5 trials have all failed, or its first 3 by the same"
        " error of the user's.",
    )
    max_trials_without_improvement: StrictInt | None = Field(
        default=None,
        ge=1,
        le=MAX_TRIALS,
        description="The Study ends when this many trials have finished since the last improvement;"
        " trials that still run are finished, and if one of them is an improvement, the Study goes"
        " on.",
    )
    min_improvement: JsonNumber | None = Field(
        default=None,
        description="With maxTrialsWithoutImprovement: by how much an objective must get better for"
        " that to be an improvement; any amount where it is not set.",
    )
    timeout: Duration | None = Field(
        default=None, description="Wall time of the whole Study, such as 12h or 1d."
    )
    max_gpu_hours: JsonNumber | None = Field(
        default=None,
        alias="maxGPUHours",
        description="GPU-hours that all runs together may use.",
    )

    rules: ClassVar = (
        Rule(
            "!has(self.maxGPUHours) || self.maxGPUHours > 0.0",
            lambda s: s.max_gpu_hours is None or s.max_gpu_hours > 0,
            "maxGPUHours",
            "must be above 0; leave it out for no limit",
        ),
        Rule(
            "!has(self.minImprovement) || self.minImprovement >= 0.0",
            lambda s: s.min_improvement is None or s.min_improvement >= 0,
            "minImprovement",
            "must not be below 0",
        ),
        Rule(
            "!has(self.minImprovement) || has(self.maxTrialsWithoutImprovement)",
            lambda s: s.min_improvement is None or s.max_trials_without_improvement is not None,
            "minImprovement",
            "goes together with maxTrialsWithoutImprovement",
        ),
    )


class EnvVar(ApiModel):
    """An environment variable of the trial's container."""

    name: str = Field(min_length=1, max_length=253, description="Name of the variable.")
    value: StrictStr | None = Field(default=None, max_length=32768, description="Its value.")
    value_from: AnyObject | None = Field(
        default=None, description="Where its value comes from, as in a Pod."
    )

    rules: ClassVar = (
        Rule(
            "!(has(self.value) && has(self.valueFrom))",
            lambda s: s.value is None or s.value_from is None,
            "value",
            "cannot be combined with valueFrom",
        ),
        Rule(
            "!self.name.startsWith('KUBESTUDY_')",
            lambda s: not s.name.startswith("KUBESTUDY_"),
            "name",
            "names that begin with KUBESTUDY_ are set by the controller",
        ),
    )


class VolumeFolder(ApiModel):
    """A folder on a persistent volume claim, shared by the trials of a Study."""

    claim_name: str = Field(
        min_length=1, max_length=253, description="Name of the PersistentVolumeClaim."
    )


class TrialTemplate(ApiModel):
    """What runs a trial: the short form, a whole pod template, or a manifest."""

    image: StrictStr | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="The container image; kubestudy's own trial image where none is given.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="As in a container."
    )
    command: list[Annotated[StrictStr, Field(max_length=32768)]] | None = Field(
        default=None,
        max_length=128,
        description="The command; the image's own where none is given.",
        json_schema_extra=ATOMIC,
    )
    args: list[Annotated[StrictStr, Field(max_length=32768)]] | None = Field(
        default=None,
        max_length=256,
        description="Arguments; the parameters follow as --name=value, unless a"
        " ${parameters.name} placeholder is used anywhere in command, args or env.",
        json_schema_extra=ATOMIC,
    )
    env: list[EnvVar] | None = Field(
        default=None,
        max_length=128,
        description="Environment variables.",
        json_schema_extra=list_map("name"),
    )
    gpus: StrictInt = Field(default=0, ge=0, le=1024, description="GPUs of each run.")
    gpu_resource: str = Field(
        default="nvidia.com/gpu",
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9.\-]+/[A-Za-z0-9._\-]+$",
        description="The extended resource that stands for a GPU, such as amd.com/gpu.",
    )
    resources: AnyObject | None = Field(
        default=None, description="Requests and limits, as in a container."
    )
    checkpoints: VolumeFolder | None = Field(
        default=None, description="Where checkpoints live, so that a run can go on from them."
    )
    outputs: VolumeFolder | None = Field(
        default=None, description="Where trained models are written."
    )
    timeout: Duration | None = Field(
        default=None, description="Longest time of one run, such as 2h; a longer one fails."
    )
    max_retries: StrictInt = Field(
        default=2,
        ge=0,
        le=100,
        description="How often an interrupted run is run again; what the cluster takes away is not"
        " counted.",
    )
    template: AnyObject | None = Field(
        default=None,
        description="A PodTemplateSpec, for all that the short form cannot say;"
        " ${parameters.name} stands for a parameter's value.",
    )
    manifest: AnyObject | None = Field(
        default=None, description="An object of another kind that runs the trial."
    )

    rules: ClassVar = (
        Rule(
            "!(has(self.template) && has(self.manifest))",
            lambda s: s.template is None or s.manifest is None,
            "template",
            "cannot be combined with manifest",
        ),
        Rule(
            "!(has(self.template) || has(self.manifest)) || !(has(self.image) ||"
            " has(self.imagePullPolicy) || has(self.command) || has(self.args) || has(self.env)"
            " || has(self.resources))",
            lambda s: (
                (s.template is None and s.manifest is None)
                or all(
                    v is None
                    for v in (
                        s.image,
                        s.image_pull_policy,
                        s.command,
                        s.args,
                        s.env,
                        s.resources,
                    )
                )
            ),
            "",
            "template or manifest replaces the short form: move image, command, args, env and"
            " resources into it",
        ),
    )


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
            "formats and regex belong to Logs",
        ),
        Rule(
            "self.type == 'Prometheus' || !(has(self.query) || has(self.lingerSeconds))",
            lambda s: (
                s.type == SourceType.PROMETHEUS or (s.query is None and s.linger_seconds is None)
            ),
            "type",
            "query and lingerSeconds belong to Prometheus",
        ),
        Rule(
            "(has(self.formats) && 'Regex' in self.formats) == has(self.regex)",
            lambda s: (LogFormat.REGEX in (s.formats or ())) == (s.regex is not None),
            "regex",
            "goes together with the format Regex",
        ),
    )

    @property
    def tells_folds(self) -> bool:
        """Whether one of its formats can say which fold a report is of."""
        if self.formats is None:
            return True
        named = {LogFormat.JSON, LogFormat.KEY_VALUE} & {*self.formats}
        return bool(named) or "(?P<fold>" in (self.regex or "")


class WarmStart(ApiModel):
    """Where a Study's knowledge begins."""

    studies: list[Annotated[StrictStr, Field(min_length=1, max_length=253)]] = Field(
        min_length=1,
        max_length=8,
        description="Names of other Studies of this namespace with the same objectives. Their"
        " trials that had succeeded when this Study started are known to its algorithm, as far"
        " as their parameters are a point of this search space.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )


_ONE_POD = "has(self.crossValidation) && self.crossValidation.execution == 'OnePod'"


class StudySpec(ApiModel):
    """What the user asks for."""

    objectives: list[Objective] = Field(
        min_length=1,
        max_length=3,
        description="What to optimise; several make a Pareto front, whose best trial by the first"
        " objective is status.best.",
        json_schema_extra=list_map("metric"),
    )
    constraints: list[MetricConstraint] | None = Field(
        default=None,
        max_length=8,
        description="Bounds on metrics. A trial whose last value is beyond one (with"
        " cross-validation: the mean over folds) is not feasible: it is never the best.",
        json_schema_extra=list_map("metric"),
    )
    parameters: list[Parameter] = Field(
        min_length=1,
        max_length=MAX_PARAMETERS,
        description="The search space.",
        json_schema_extra=list_map("name"),
    )
    parameter_constraints: list[ParameterConstraint] | None = Field(
        default=None,
        max_length=16,
        description="Conditions between parameters; a point that breaks one is never suggested.",
        json_schema_extra=ATOMIC,
    )
    initial_trials: list[dict[str, Any]] | None = Field(
        default=None,
        max_length=MAX_INITIAL_TRIALS,
        description="The first trials, as parameters and their values, before the algorithm"
        " goes on; it fills in what they leave out.",
        json_schema_extra=ATOMIC
        | {
            "items": {
                "type": "object",
                "maxProperties": MAX_PARAMETERS,
                "additionalProperties": {"x-kubernetes-preserve-unknown-fields": True},
            }
        },
    )
    warm_start: WarmStart | None = Field(
        default=None, description="Starts from what other Studies have found."
    )
    algorithm: Algorithm = Field(
        default_factory=Algorithm, description="How configurations are suggested; by TPE if unsaid."
    )
    early_stopping: EarlyStopping | None = Field(
        default=None,
        description="Stops running trials that are not worth finishing, by the first objective; not"
        " together with an algorithm that has rungs or generations. See docs/early-stopping.md.",
    )
    cross_validation: CrossValidation | None = Field(
        default=None, description="Evaluates each trial on several splits."
    )
    confirm: Confirm | None = Field(
        default=None,
        description="Runs the best feasible trials again with other seeds once the search has"
        " ended; the best is then the one with the best mean over its seeds. Each is one more"
        " trial, told its seed as KUBESTUDY_SEED, and as --seed where the parameters are arguments."
        " One objective only.",
    )
    budget: Budget = Field(default_factory=Budget, description="How much the Study may spend.")
    suspend: StrictBool = Field(
        default=False,
        description="Stops all runs and starts none until it is false again; a run that keeps"
        " checkpoints goes on from them.",
    )
    metrics: list[MetricsSource] | None = Field(
        default=None,
        min_length=1,
        max_length=3,
        description="Where metrics are read from, in order of preference; Logs where none is"
        " given.",
        json_schema_extra=list_map("type"),
    )
    trial: TrialTemplate = Field(description="What runs a trial.")

    rules: ClassVar = (
        Rule(
            "self.parameters.all(p, !has(p.when) ||"
            " self.parameters.exists(q, q.name == p.when.parameter))",
            lambda s: all(p.when is None or p.when.parameter in s.parameter for p in s.parameters),
            "parameters",
            "when.parameter must be the name of another parameter of this Study",
        ),
        Rule(
            "!has(self.confirm) || self.objectives.size() == 1",
            lambda s: s.confirm is None or len(s.objectives) == 1,
            "confirm",
            "is for one objective: with several there is no one best trial; leave it out",
        ),
        Rule(
            "!has(self.confirm) || !self.parameters.exists(p, p.name == 'seed')",
            lambda s: s.confirm is None or "seed" not in s.parameter,
            "confirm",
            "gives trials their seed, which is also one of the parameters: take the parameter seed"
            " out, or leave confirm out",
        ),
        Rule(
            f"!({_ONE_POD}) || !has(self.algorithm) || !has(self.algorithm.resource)",
            lambda s: not s.one_pod or s.algorithm.resource is None,
            "crossValidation.execution",
            "OnePod cannot be combined with algorithm.resource, at whose rungs all folds of a trial"
            " are judged side by side; use PodPerFold",
        ),
        Rule(
            f"!({_ONE_POD}) || !has(self.metrics) || self.metrics.all(m, m.type == 'Logs')",
            lambda s: not s.one_pod or {*s.sources} == {SourceType.LOGS},
            "metrics",
            "only Logs can be combined with crossValidation.execution OnePod, since what comes from"
            " Prometheus or Push names no fold; use Logs, or PodPerFold",
        ),
        Rule(
            f"!({_ONE_POD}) || !has(self.metrics) || self.metrics.all(m, !has(m.formats)"
            " || m.formats.exists(f, f == 'Json' || f == 'KeyValue')"
            " || (has(m.regex) && m.regex.contains('(?P<fold>')))",
            lambda s: not s.one_pod or all(m.tells_folds for m in s.metrics or ()),
            "metrics",
            "must tell the fold of each report with crossValidation.execution OnePod: add the"
            " format Json or KeyValue, or a group (?P<fold>...) to the regex",
        ),
    )

    @property
    def folds(self) -> int:
        """How many folds each trial has; 1 without cross-validation."""
        return self.cross_validation.folds if self.cross_validation else 1

    @property
    def one_pod(self) -> bool:
        """Whether one pod trains all folds of a trial."""
        validation = self.cross_validation
        return validation is not None and validation.execution == FoldExecution.ONE_POD

    @property
    def parameter(self) -> dict[str, Parameter]:
        """The parameters by name."""
        return {p.name: p for p in self.parameters}

    @property
    def sources(self) -> list[SourceType]:
        """Where metrics are read from, in order of preference."""
        return [s.type for s in self.metrics] if self.metrics else [SourceType.LOGS]

    @property
    def passed(self) -> dict[str, Parameter]:
        """What a container is given by name: the parameters, the resource, and the seed.

        The seed has no value but in trials that confirm another one.
        """
        passed = self.parameter
        if (resource := self.algorithm.resource) is not None:
            whole = Parameter(name=resource.name, values=[resource.max], type=ParameterType.INT)
            passed[resource.name] = whole
        if self.confirm is not None:
            passed[SEED] = Parameter(name=SEED, min=0, max=2**31, type=ParameterType.INT)
        return passed

    def passed_values(self, assignment: Assignment, seed: int | None = None) -> Assignment:
        """The values of what a container is given: a trial's own, the resource, and its seed."""
        resource = self.algorithm.resource
        values = {**assignment} if resource is None else {**assignment, resource.name: resource.max}
        return values if seed is None else {**values, SEED: seed}

    @property
    def objective(self) -> Objective:
        """The first objective, which decides what is best."""
        return self.objectives[0]

    @property
    def owed(self) -> list[str]:
        """The metrics that every trial must report: of its objectives, then of its constraints."""
        named = [*self.objectives, *(self.constraints or ())]
        return list(dict.fromkeys(n.metric for n in named))


class TrialCounts(ApiModel):
    """How many trials there are, by what became of them."""

    created: int = Field(default=0, ge=0, description="Trials made so far.")
    pending: int = Field(default=0, ge=0, description="Trials whose pod does not run yet.")
    running: int = Field(default=0, ge=0, description="Trials that run.")
    paused: int = Field(
        default=0, ge=0, description="Trials that wait at a rung, and may be gone on with."
    )
    succeeded: int = Field(default=0, ge=0, description="Trials that gave a value.")
    failed: int = Field(default=0, ge=0, description="Trials that gave none.")
    stopped: int = Field(default=0, ge=0, description="Trials stopped before their end.")

    @property
    def finished(self) -> int:
        """Trials that will not run any more."""
        return self.succeeded + self.failed + self.stopped


class MetricValue(ApiModel):
    """The value of one metric."""

    metric: str = Field(max_length=128, description="Name of the metric.")
    value: JsonNumber = Field(description="Its value; with cross-validation the mean over folds.")
    std: JsonNumber | None = Field(
        default=None,
        description="The standard deviation over what the value is a mean of: with cross-validation"
        " the folds; of a best trial that was confirmed, the seeds.",
    )


class BestTrial(ApiModel):
    """A trial, its parameters and its values."""

    trial: str = Field(max_length=253, description="Name of the Trial.")
    seeds: int | None = Field(
        default=None, ge=2, description="With confirm: how many seeds its values are the mean of."
    )
    objectives: list[MetricValue] = Field(
        max_length=3, description="Its values.", json_schema_extra=list_map("metric")
    )
    parameters: dict[str, Value] = Field(
        max_length=MAX_PARAMETERS,
        description="Its parameters.",
        json_schema_extra={
            "additionalProperties": {"x-kubernetes-preserve-unknown-fields": True},
        },
    )


class Hypervolume(ApiModel):
    """How good a whole Pareto front is, in one number."""

    value: JsonNumber = Field(
        description="The volume between the front and the reference point, in the product of the"
        " objectives' units. It is comparable only for the same reference point."
    )
    reference: list[MetricValue] = Field(
        max_length=3,
        description="The reference point: for each objective the worst value seen so far, and a"
        " tenth of the range seen so far beyond it.",
        json_schema_extra=list_map("metric"),
    )


class GpuSeconds(ApiModel):
    """What the runs cost."""

    used: int = Field(default=0, ge=0, description="GPU-seconds of all runs so far.")
    saved: int = Field(
        default=0, ge=0, description="GPU-seconds not spent, against running each trial to its end."
    )


class StudyStatus(ApiModel):
    """How it goes; written by the controller alone."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="The generation of the spec that this status follows."
    )
    conditions: list[Condition] | None = Field(
        default=None,
        max_length=16,
        description="Accepted, Progressing, Suspended, Complete, Failed.",
        json_schema_extra=list_map("type"),
    )
    seed: int | None = Field(
        default=None, ge=0, description="The seed that the suggestions are made from."
    )
    trials: TrialCounts | None = Field(default=None, description="Counts of trials.")
    progress: str | None = Field(
        default=None, max_length=64, description="Finished trials out of all, such as 12/18."
    )
    best: BestTrial | None = Field(
        default=None,
        description="The best feasible trial so far; with several objectives, the one on the Pareto"
        " front that is best by the first.",
    )
    pareto_front: list[BestTrial] | None = Field(
        default=None,
        max_length=MAX_FRONT,
        description="With several objectives: the feasible trials that no other dominates, the best"
        " by the first objective first. Of a larger front, those that stand for all of it.",
        json_schema_extra=list_map("trial"),
    )
    hypervolume: Hypervolume | None = Field(
        default=None, description="With several objectives: how much the Pareto front dominates."
    )
    gpu_seconds: GpuSeconds | None = Field(default=None, description="GPU-seconds used and saved.")
    start_time: Time | None = Field(default=None, description="When the Study was accepted.")
    completion_time: Time | None = Field(default=None, description="When it ended.")
    time_left: str | None = Field(
        default=None, max_length=32, description="Estimated time to the end, such as 1h20m."
    )


class Study(ApiModel):
    """Tunes the hyperparameters of a model: suggests trials, runs them as pods, tells the best."""

    api_version: ApiVersion = "kubestudy.dev/v1alpha1"
    kind: Literal["Study"] = "Study"
    metadata: ObjectMeta
    spec: StudySpec = Field(description="What the user asks for.")
    status: StudyStatus | None = Field(default=None, description="How it goes.")

    rules: ClassVar = (
        Rule(
            "self.metadata.name.size() <= 200",
            lambda s: len(s.metadata.name) <= 200,
            "metadata.name",
            "must be at most 200 characters, since the names of trials are made from it",
        ),
        Rule(
            "!has(self.spec.warmStart) || !(self.metadata.name in self.spec.warmStart.studies)",
            lambda s: s.spec.warm_start is None or s.metadata.name not in s.spec.warm_start.studies,
            "spec.warmStart.studies",
            "a Study cannot start from itself",
        ),
    )
    transitions: ClassVar = tuple(
        Transition(
            "!has(oldSelf.status) || !has(oldSelf.status.trials)"
            f" || oldSelf.status.trials.created == 0 || {unchanged}",
            f"spec.{field}",
            "cannot be changed once trials exist, since their results would no longer compare;"
            " make a new Study",
        )
        for field, unchanged in (
            ("parameters", "self.spec.parameters == oldSelf.spec.parameters"),
            ("objectives", "self.spec.objectives == oldSelf.spec.objectives"),
            *(
                (
                    field,
                    f"(has(self.spec.{field}) ? has(oldSelf.spec.{field}) &&"
                    f" self.spec.{field} == oldSelf.spec.{field} : !has(oldSelf.spec.{field}))",
                )
                for field in (
                    "constraints",
                    "parameterConstraints",
                    "warmStart",
                    "algorithm",
                    "crossValidation",
                    "confirm",
                )
            ),
        )
    )

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.metadata.namespace or 'default'}/{self.metadata.name}"

    @property
    def ended(self) -> bool:
        """Whether the Study has come to its end, good or bad."""
        conditions = self.status.conditions if self.status else None
        return is_true(conditions, "Complete") or is_true(conditions, "Failed")
