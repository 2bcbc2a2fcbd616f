"""How a Study searches, and which trials it stops early."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StrictBool, StrictInt, StrictStr

from kubestudy.api.base import ApiModel, Rule
from kubestudy.api.meta import AnyObject
from kubestudy.api.objectives import METRIC_NAME


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
        description="One trial in eta goes on from a rung to the next. max must be at least eta"
        " times min, with PBT too, which has no other use for it.",
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
