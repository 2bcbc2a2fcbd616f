"""How often a Study trains one configuration: on folds of the data, and with other seeds."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, StrictBool, StrictInt

from kubestudy.api.base import ApiModel


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
