"""How a Study goes."""

from __future__ import annotations

from pydantic import Field

from kubestudy.api.base import ApiModel
from kubestudy.api.meta import Condition, Time
from kubestudy.api.parameters import (
    MAX_PARAMETERS,
    JsonNumber,
    Value,
)
from kubestudy.api.schema import list_map

MAX_FRONT = 100


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
