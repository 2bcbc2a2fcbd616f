"""How much a Study may spend."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, StrictInt

from kubestudy.api.base import ApiModel, Rule
from kubestudy.api.durations import Duration
from kubestudy.api.parameters import (
    JsonNumber,
)

MAX_PARALLELISM = 1000


MAX_TRIALS = 100_000


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
            "must not be below 0; leave it out for any improvement",
        ),
        Rule(
            "!has(self.minImprovement) || has(self.maxTrialsWithoutImprovement)",
            lambda s: s.min_improvement is None or s.max_trials_without_improvement is not None,
            "minImprovement",
            "goes together with maxTrialsWithoutImprovement: set that too, or leave this out",
        ),
    )
