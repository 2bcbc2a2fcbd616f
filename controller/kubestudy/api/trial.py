"""The kind Trial: one configuration of parameters, its runs and what they measured.

Trials are written by the controller alone. The spec of a Trial is the suggestion: it is stored
before any run of it exists, and is never changed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictStr
from pydantic.dataclasses import dataclass

from kubestudy.api.base import ApiModel, Transition
from kubestudy.api.meta import ApiVersion, Condition, ConditionStatus, ObjectMeta, Time
from kubestudy.api.parameters import MAX_PARAMETERS, JsonNumber, Value
from kubestudy.api.schema import ATOMIC, list_map
from kubestudy.api.study_status import MetricValue

MAX_METRICS = 64
MAX_METRIC_NAME = 128
MAX_POINTS = 100
MAX_CURVE = 400
MAX_RUNS = 128
MAX_RUNGS = 32

SUCCEEDED = "Succeeded"
FAILED = "Failed"
STOPPED = "Stopped"
RUNNING = "Running"
PENDING = "Pending"
PAUSED = "Paused"
FINISHED = frozenset({SUCCEEDED, FAILED, STOPPED})


class TrialSpec(ApiModel):
    """The suggestion."""

    study: str = Field(min_length=1, max_length=253, description="Name of the Study.")
    index: int = Field(ge=0, description="Place in the Study's sequence of suggestions, from 0.")
    bracket: int | None = Field(
        default=None, ge=0, description="Bracket of Hyperband; 0 is the one with the most rungs."
    )
    inherits: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="With PBT: name of the Trial whose last checkpoint this one goes on from.",
    )
    until: int | None = Field(
        default=None,
        ge=1,
        description="With PBT: how much of the resource is spent at the trial's end, what it"
        " inherits included.",
    )
    confirms: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="With confirm: name of the Trial that this one repeats with another seed.",
    )
    seed: int | None = Field(
        default=None, ge=0, le=2**31, description="With confirm: the seed to train with."
    )
    parameters: dict[str, Value] = Field(
        max_length=MAX_PARAMETERS,
        description="The values of the parameters.",
        json_schema_extra={
            "additionalProperties": {"x-kubernetes-preserve-unknown-fields": True},
        },
    )


class MetricSummary(ApiModel):
    """What was seen of one metric."""

    metric: str = Field(max_length=MAX_METRIC_NAME, description="Name of the metric.")
    latest: JsonNumber = Field(description="The value reported last.")
    min: JsonNumber = Field(description="The smallest value reported.")
    max: JsonNumber = Field(description="The largest value reported.")
    step: JsonNumber | None = Field(default=None, description="Training step of the latest value.")
    count: int = Field(ge=0, description="How many values were reported.")


# Slots: a Trial may have 400 of them, each of which would have eight times as many bytes.
@dataclass(config=ApiModel.model_config, slots=True, kw_only=True)
class CurvePoint:
    """One value of the first objective over the course of training."""

    step: JsonNumber = Field(
        description="Training step, or the report's number where none is told."
    )
    value: JsonNumber = Field(description="The metric's value there.")
    fold: int | None = Field(default=None, ge=0, description="With cross-validation: which fold's.")
    best: JsonNumber | None = Field(
        default=None, description="With early stopping: the best value reported up to there."
    )
    mean: JsonNumber | None = Field(
        default=None, description="With early stopping: the mean of all values up to there."
    )
    reports: int | None = Field(
        default=None, ge=0, description="With early stopping: how many values those are."
    )


class RungValue(ApiModel):
    """The first objective when a trial had spent as much of the resource as a rung asks for."""

    resource: int = Field(ge=1, description="The resource of the rung.")
    value: JsonNumber = Field(
        description="The objective's value there; with cross-validation the mean over folds."
    )


class FoldValues(ApiModel):
    """What a fold gave that is done."""

    fold: int = Field(ge=0, description="Which fold, counted from 0.")
    objectives: list[MetricValue] = Field(
        max_length=3, description="Its values.", json_schema_extra=list_map("metric")
    )
    constraints: list[MetricValue] | None = Field(
        default=None,
        max_length=8,
        description="The last values of the constrained metrics.",
        json_schema_extra=list_map("metric"),
    )


class Run(ApiModel):
    """One execution of the trial as a Job."""

    job: str = Field(max_length=253, description="Name of the Job.")
    job_uid: Annotated[StrictStr, Field(max_length=64)] | None = Field(
        default=None,
        alias="jobUID",
        description="UID of the Job: pods of another are not believed.",
    )
    rung: int = Field(default=0, ge=0, description="Rung of a multi-fidelity algorithm.")
    fold: int = Field(
        default=0, ge=0, description="Fold of the cross-validation; 0 where one pod trains all."
    )
    attempt: int = Field(default=0, ge=0, description="0 for the first, 1 after one retry, ...")
    outcome: str = Field(
        max_length=63, description="Pending, Running, Paused, Succeeded, Failed or Stopped."
    )
    reason: str | None = Field(default=None, max_length=1024, description="Why it ended so.")
    pod: str | None = Field(default=None, max_length=253, description="Name of the pod.")
    pod_uid: Annotated[StrictStr, Field(max_length=64)] | None = Field(
        default=None, alias="podUID", description="UID of the pod that the metrics are bound to."
    )
    node: str | None = Field(default=None, max_length=253, description="Where it ran.")
    start_time: Time | None = Field(default=None, description="When its container started.")
    completion_time: Time | None = Field(default=None, description="When it ended.")
    duration_seconds: int | None = Field(
        default=None,
        ge=0,
        description="Seconds that its container was at work, rounded up: of all its pods that have"
        " ended, so that the time for which the Study was suspended does not count.",
    )
    gpu_seconds: int = Field(default=0, ge=0, description="GPU-seconds that it used.")
    objectives: list[MetricValue] | None = Field(
        default=None,
        max_length=3,
        description="The values that it gave.",
        json_schema_extra=list_map("metric"),
    )
    constraints: list[MetricValue] | None = Field(
        default=None,
        max_length=8,
        description="The last values of the constrained metrics.",
        json_schema_extra=list_map("metric"),
    )
    rungs: list[RungValue] | None = Field(
        default=None,
        max_length=MAX_RUNGS,
        description="What it reported at the rungs that it came to.",
        json_schema_extra=ATOMIC,
    )
    folds: list[FoldValues] | None = Field(
        default=None,
        max_length=20,
        description="With crossValidation.execution OnePod: what the folds gave that it has done.",
        json_schema_extra=list_map("fold"),
    )

    def worked(self, now: datetime | None = None) -> timedelta | None:
        """How long it was at work; None if it never was.

        Args:
            now: Up to when, if it is at work; without it only what has ended counts.
        """
        end = self.completion_time or now
        current = end - self.start_time if self.start_time and end else timedelta()
        if self.duration_seconds is None:  # stored by a controller that did not count it
            return current if self.start_time else None
        ended = timedelta(seconds=self.duration_seconds)
        if self.outcome == RUNNING:
            return ended + current
        return ended if self.start_time or ended else None


class TrialStatus(ApiModel):
    """What became of the trial."""

    conditions: list[Condition] | None = Field(
        default=None,
        max_length=16,
        description="One of Pending, Running, Paused, Succeeded, Failed and Stopped is True;"
        " ObservationsComplete is False where reports of the trial were never seen.",
        json_schema_extra=list_map("type"),
    )
    objectives: list[MetricValue] | None = Field(
        default=None,
        max_length=3,
        description="The values of the objectives, once the trial has finished.",
        json_schema_extra=list_map("metric"),
    )
    constraints: list[MetricValue] | None = Field(
        default=None,
        max_length=8,
        description="The values of the constrained metrics, once the trial has finished.",
        json_schema_extra=list_map("metric"),
    )
    feasible: bool | None = Field(
        default=None,
        description="With constraints: whether the trial keeps to all of them.",
    )
    metrics: list[MetricSummary] | None = Field(
        default=None,
        max_length=MAX_METRICS,
        description="What was seen of each metric.",
        json_schema_extra=list_map("metric"),
    )
    curve: list[CurvePoint] | None = Field(
        default=None,
        max_length=MAX_CURVE,
        description="The first objective over training, fold by fold, thinned to a bounded number"
        " of points.",
        json_schema_extra=ATOMIC,
    )
    runs: list[Run] | None = Field(
        default=None,
        max_length=MAX_RUNS,
        description="The runs of this trial.",
        json_schema_extra=list_map("job"),
    )
    rungs: list[RungValue] | None = Field(
        default=None,
        max_length=MAX_RUNGS,
        description="With Hyperband, BOHB and ASHA: the first objective at each rung so far.",
        json_schema_extra=ATOMIC,
    )
    start_time: Time | None = Field(default=None, description="When its first run started.")
    completion_time: Time | None = Field(default=None, description="When it ended.")

    @property
    def state(self) -> str:
        """The one condition that is True, such as Running, Paused or Succeeded."""
        for c in self.conditions or ():
            if c.status == ConditionStatus.TRUE:
                return c.type
        return PENDING

    @property
    def finished(self) -> bool:
        """Whether the trial will not run any more."""
        return self.state in FINISHED

    def worked(self, now: datetime | None = None) -> timedelta | None:
        """How long its runs were at work, all together; None if none ever was.

        The waits at rungs, between attempts and while the Study was suspended do not count. What
        runs side by side, as folds do, is added up.

        Args:
            now: Up to when, if it runs; without it only what has ended counts.
        """
        times = [time for run in self.runs or () if (time := run.worked(now)) is not None]
        return sum(times, timedelta()) if times else None

    @property
    def folds(self) -> dict[int, FoldValues]:
        """What each fold that is done gave, by its number; without cross-validation, fold 0."""
        found: dict[int, FoldValues] = {}
        for run in self.runs or ():
            if run.objectives is not None:
                found[run.fold] = FoldValues(
                    fold=run.fold, objectives=run.objectives, constraints=run.constraints
                )
            found |= {f.fold: f for f in run.folds or ()}
        return found

    def value(self, metric: str) -> float | None:
        """The value of an objective, None where the trial gave none."""
        for v in self.objectives or ():
            if v.metric == metric:
                return v.value
        return None


class Trial(ApiModel):
    """One configuration of a Study's parameters, its runs and what they measured."""

    api_version: ApiVersion = "kubestudy.dev/v1alpha1"
    kind: Literal["Trial"] = "Trial"
    metadata: ObjectMeta
    spec: TrialSpec = Field(description="The suggestion; never changed.")
    status: TrialStatus | None = Field(default=None, description="What became of it.")

    transitions: ClassVar = (
        Transition("self.spec == oldSelf.spec", "spec", "of a Trial cannot be changed"),
    )

    @property
    def state(self) -> str:
        """The one condition that is True, such as Running, Paused or Succeeded."""
        return self.status.state if self.status else PENDING

    @property
    def finished(self) -> bool:
        """Whether the trial will not run any more."""
        return self.status is not None and self.status.finished

    def value(self, metric: str) -> float | None:
        """The value of an objective, None where the trial gave none."""
        return self.status.value(metric) if self.status else None
