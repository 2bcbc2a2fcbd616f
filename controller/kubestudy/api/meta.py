"""The parts of Kubernetes' own API that Study and Trial carry."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, PlainSerializer

from kubestudy.api.base import ApiModel


def rfc3339(moment: datetime) -> str:
    """Writes a moment as Kubernetes' Time: UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


Time = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    Field(json_schema_extra={"type": "string", "format": "date-time"}),
]


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(ApiModel):
    """One aspect of an object's state, as in ``metav1.Condition``."""

    type: str = Field(max_length=316, description="The aspect, in CamelCase.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(max_length=1024, description="Why, as one CamelCase word for programs.")
    message: str = Field(default="", max_length=4096, description="Why, for a person.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="The generation of the spec that this was said of."
    )
    last_transition_time: Time = Field(description="When status last changed.")


class OwnerReference(ApiModel):
    """Who an object belongs to; garbage collection follows it."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(ApiModel):
    """The metadata that kubestudy reads or writes; the rest is kept out of the way."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    generate_name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    owner_references: list[OwnerReference] | None = None

    @property
    def owner(self) -> OwnerReference | None:
        """The one owner that controls the object."""
        return next((o for o in self.owner_references or () if o.controller), None)


def condition(conditions: list[Condition] | None, type_: str) -> Condition | None:
    """Finds the condition of a type, None where it was never said."""
    return next((c for c in conditions or () if c.type == type_), None)


def is_true(conditions: list[Condition] | None, type_: str) -> bool:
    """Whether the condition of a type is said to hold."""
    found = condition(conditions, type_)
    return found is not None and found.status == ConditionStatus.TRUE


AnyObject = Annotated[
    dict[str, Any],
    Field(json_schema_extra={"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
]
"""A JSON object whose fields the schema leaves open."""

ApiVersion = Literal["kubestudy.dev/v1alpha1"]
