"""What every model of the API shares: camelCase names, and rules said in CEL and in Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

GROUP = "kubestudy.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

LABEL_STUDY = f"{GROUP}/study"
LABEL_TRIAL = f"{GROUP}/trial"
LABEL_RUN = f"{GROUP}/run"
ANNOTATION_PUSHED = f"{GROUP}/pushed"
ANNOTATION_LOG = f"{GROUP}/log"
ANNOTATION_SUSPENDED = f"{GROUP}/suspended"
"""On a Job that we hold back for its Study's suspension: whose hold it is."""
ANNOTATION_CONTAINER = f"{GROUP}/container"
ANNOTATION_PUSH_TOKEN = f"{GROUP}/push-token"
ANNOTATION_PUSH_CA = f"{GROUP}/push-ca"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_COMPONENT = "app.kubernetes.io/component"
MANAGER = "kubestudy"

LABEL_QUEUE = "kueue.x-k8s.io/queue-name"
"""Kueue's: the queue that a Job waits in; Kueue then says when it runs."""
LABEL_QUEUE_PRIORITY = "kueue.x-k8s.io/priority-class"


@dataclass(frozen=True)
class Rule:
    """One rule about a model, said twice: for the API server in CEL, offline in Python.

    Attributes:
        cel: The expression the API server evaluates; ``self`` is the model's object.
        holds: The same as a predicate of the model.
        field: The field to name in the error (its JSON name), relative to the model's object.
            Empty for the object itself.
        message: What is wrong and what to do.
        seen: What it is that breaks the rule, for a person: said offline after the message; by
            default the value of the field, if it is a number or a string.
    """

    cel: str
    holds: Callable[[Any], bool]
    field: str
    message: str
    seen: Callable[[Any], str] | None = None


@dataclass(frozen=True)
class Transition:
    """A rule about an update, which only the API server can check.

    Attributes:
        cel: The expression; ``oldSelf`` is the object before.
        field: The field to name in the error, relative to the model's object.
        message: What is wrong and what to do.
    """

    cel: str
    field: str
    message: str


class ApiModel(BaseModel):
    """Base of every object that a user or the controller writes to the API."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        # A number is written as a number: "1e-4" in quotes is a string, and is refused as one.
        strict=False,
        allow_inf_nan=False,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()
    transitions: ClassVar[tuple[Transition, ...]] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns the object as the API holds it: JSON names, fields that are not set left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def nested_model(annotation: Any) -> type[BaseModel] | None:
    """Finds the model in a field's type: its own, or that of its items."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if found := nested_model(argument):
            return found
    return None
