"""The kind Study: what to tune, how to search, how much to spend, and how it went."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, StrictBool
from pydantic.alias_generators import to_snake

from kubestudy.api.algorithm import Algorithm, EarlyStopping, WarmStart
from kubestudy.api.base import ApiModel, Rule, Transition
from kubestudy.api.budget import Budget
from kubestudy.api.meta import ApiVersion, ObjectMeta, is_true
from kubestudy.api.metrics_source import MetricsSource, SourceType
from kubestudy.api.objectives import MetricConstraint, Objective
from kubestudy.api.parameters import (
    MAX_PARAMETERS,
    Assignment,
    Parameter,
    ParameterConstraint,
    ParameterType,
)
from kubestudy.api.repeats import Confirm, CrossValidation, FoldExecution
from kubestudy.api.schema import ATOMIC, list_map
from kubestudy.api.study_status import StudyStatus
from kubestudy.api.trial_template import TrialTemplate

MAX_INITIAL_TRIALS = 64

IMMUTABLE = (
    "parameters",
    "objectives",
    "constraints",
    "parameterConstraints",
    "initialTrials",
    "warmStart",
    "algorithm",
    "crossValidation",
    "confirm",
)
"""Fields of the spec that must stay as they are once trials exist: their results would no longer
compare, or a suggestion would no longer follow from its index."""


SEED = "seed"


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
        " goes on; it fills in what they leave out. They cannot be changed once trials exist.",
        json_schema_extra=ATOMIC
        | {
            "items": {
                "type": "object",
                "maxProperties": MAX_PARAMETERS,
                # Not of the values, which no rule could compare then.
                "x-kubernetes-preserve-unknown-fields": True,
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
            seen=lambda s: (
                "; ".join(
                    f"{p.name} names {p.when.parameter!r}"
                    for p in s.parameters
                    if p.when is not None and p.when.parameter not in s.parameter
                )
                + f"; there are {', '.join(s.parameter)}"
            ),
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


def _unchanged(name: str) -> str:
    """Says in CEL that a field of a Study's spec is as it was, the order of a list included."""
    field = StudySpec.model_fields[to_snake(name)]
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    keys = extra.get("x-kubernetes-list-map-keys")
    new, old = (f"{of}.spec.{name}" for of in ("self", "oldSelf"))
    same = f"{new} == {old}"
    # Lists whose items have a key are equal to CEL in any order.
    for key in keys if isinstance(keys, list) else ():
        same = f"({same} && {new}.map(i, i.{key}) == {old}.map(i, i.{key}))"
    if field.is_required():
        return same
    return f"(has({new}) ? has({old}) && {same} : !has({old}))"


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
            seen=lambda s: f"it has {len(s.metadata.name)}",
        ),
        Rule(
            "!has(self.spec.warmStart) || !(self.metadata.name in self.spec.warmStart.studies)",
            lambda s: s.spec.warm_start is None or s.metadata.name not in s.spec.warm_start.studies,
            "spec.warmStart.studies",
            "a Study cannot start from itself; name others",
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
        for field, unchanged in ((field, _unchanged(field)) for field in IMMUTABLE)
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
