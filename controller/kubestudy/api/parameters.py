"""The search space: what a parameter may be, and how its values are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, StrictFloat, StrictInt, StrictStr

from kubestudy.api.base import ApiModel, Rule

MAX_PARAMETERS = 64
MAX_VALUES = 128
MOST_STEPS = 2**53
"""A range with a step has fewer values: a float tells so many apart."""

Number = StrictInt | StrictFloat
Value = StrictInt | StrictFloat | StrictStr
"""The value of one parameter: a number or a string."""

Assignment = dict[str, Value]
"""A point of the search space: the values of its active parameters, by name."""


def _number(value: object) -> object:
    """JSON as Go writes it has no 16.0: a whole number is an integer, here as in the cluster."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


JsonNumber = Annotated[
    Number, BeforeValidator(_number), Field(json_schema_extra={"type": "number"})
]


def float_text(number: float) -> str:
    """Writes a finite number in its shortest digits, so that every usual reader has it again.

    Python writes ``1e-05``, which YAML 1.1 (PyYAML, OmegaConf) takes for a string: there a number
    has a point, and its exponent a sign. ``1.0e-05`` is the same number in Python, C, Java, JSON
    and both versions of YAML.
    """
    digits, e, exponent = repr(number).partition("e")
    return f"{digits}.0e{exponent}" if e and "." not in digits else repr(number)


class ParameterType(StrEnum):
    """What kind of number a range holds."""

    DOUBLE = "Double"
    INT = "Int"


class Scale(StrEnum):
    """How a range is spread: evenly, or evenly in the logarithm."""

    LINEAR = "Linear"
    LOG = "Log"


class When(ApiModel):
    """Makes a parameter depend on another's value."""

    parameter: str = Field(
        min_length=1, max_length=63, description="Name of the parameter that this one depends on."
    )
    values: list[JsonNumber] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_VALUES,
        description="Active while the other parameter has one of these numbers.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    choices: list[Annotated[StrictStr, Field(max_length=1024)]] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_VALUES,
        description="Active while the other parameter has one of these strings.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )

    rules: ClassVar = (
        Rule(
            "has(self.values) != has(self.choices)",
            lambda s: (s.values is None) != (s.choices is None),
            "",
            "must have either values (numbers) or choices (strings)",
        ),
        Rule(
            "!has(self.values) || self.values.all(v, self.values.exists_one(w, w == v))",
            lambda s: s.values is None or len(set(s.values)) == len(s.values),
            "values",
            "must not hold a number twice; remove one",
        ),
    )

    @property
    def allowed(self) -> Sequence[Value]:
        """The values of the other parameter at which this one is active."""
        return self.values or self.choices or ()

    def holds(self, assignment: Assignment) -> bool:
        """Whether the other parameter is active itself, and has one of these values."""
        return self.parameter in assignment and assignment[self.parameter] in self.allowed


def _whole(number: float) -> bool:
    return float(number).is_integer()


class Parameter(ApiModel):
    """One parameter of the search space: a list of values or choices, or a range."""

    name: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]*$",
        description="Name of the parameter; the container gets it as --name=value.",
    )
    values: list[JsonNumber] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_VALUES,
        description="The numbers to choose from. Strings go to choices.",
        # Not a set: the API server finds a set with a whole number in it unequal to itself.
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    choices: list[Annotated[StrictStr, Field(max_length=1024)]] | None = Field(
        default=None,
        min_length=1,
        max_length=MAX_VALUES,
        description="The strings to choose from. Numbers go to values.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    min: JsonNumber | None = Field(default=None, description="Smallest value of the range.")
    max: JsonNumber | None = Field(default=None, description="Largest value of the range.")
    type: ParameterType | None = Field(
        default=None, description="Double (the default of a range) or Int."
    )
    scale: Scale | None = Field(
        default=None, description="Linear (the default) or Log: evenly in the logarithm."
    )
    step: JsonNumber | None = Field(
        default=None,
        description="Distance between neighbouring values of the range, counted from min.",
    )
    when: When | None = Field(
        default=None, description="Makes this parameter depend on another one's value."
    )

    rules: ClassVar = (
        Rule(
            "(has(self.values) ? 1 : 0) + (has(self.choices) ? 1 : 0)"
            " + (has(self.min) || has(self.max) ? 1 : 0) == 1",
            lambda s: (
                (s.values is not None)
                + (s.choices is not None)
                + (s.min is not None or s.max is not None)
                == 1
            ),
            "",
            "must have exactly one of values (numbers), choices (strings), or min and max",
            seen=lambda s: (
                "it has "
                + (
                    ", ".join(
                        n for n in ("values", "choices", "min", "max") if getattr(s, n) is not None
                    )
                    or "none of them"
                )
            ),
        ),
        Rule(
            "!has(self.values) || self.values.all(v, self.values.exists_one(w, w == v))",
            lambda s: s.values is None or len(set(s.values)) == len(s.values),
            "values",
            "must not hold a number twice; remove one",
        ),
        Rule(
            "!has(self.max) || has(self.min)",
            lambda s: s.max is None or s.min is not None,
            "max",
            "a range needs min as well; for a single number use values",
        ),
        Rule(
            "!has(self.min) || has(self.max)",
            lambda s: s.min is None or s.max is not None,
            "min",
            "a range needs max as well; for a single number use values",
        ),
        Rule(
            "!has(self.min) || !has(self.max) || self.min < self.max",
            lambda s: s.min is None or s.max is None or s.min < s.max,
            "min",
            "must be below max: swap them, or list the numbers in values",
        ),
        Rule(
            "!has(self.scale) || self.scale != 'Log' || !has(self.min) || self.min > 0.0",
            lambda s: s.scale != Scale.LOG or s.min is None or s.min > 0,
            "min",
            "must be above 0 on a Log scale, which has no zero; use a small positive min",
        ),
        Rule(
            "!has(self.type) || self.type != 'Int' ||"
            " ((!has(self.min) || self.min == double(int(self.min)))"
            " && (!has(self.max) || self.max == double(int(self.max)))"
            " && (!has(self.step) || self.step == double(int(self.step)))"
            " && (!has(self.values) || self.values.all(v, v == double(int(v)))))",
            lambda s: (
                s.type != ParameterType.INT
                or all(
                    _whole(n) for n in (s.min, s.max, s.step, *(s.values or ())) if n is not None
                )
            ),
            "type",
            "Int needs whole numbers in min, max, step and values; use Double for fractions",
        ),
        Rule(
            "!has(self.step) || self.step > 0.0",
            lambda s: s.step is None or s.step > 0,
            "step",
            "must be above 0; leave it out for any number of the range",
        ),
        Rule(
            "!has(self.step) ||"
            " (has(self.min) && has(self.max) && self.step <= self.max - self.min)",
            lambda s: (
                s.step is None
                or (s.min is not None and s.max is not None and s.step <= s.max - s.min)
            ),
            "step",
            "needs min and max, and must not exceed max - min",
        ),
        Rule(
            f"!has(self.step) || !has(self.min) || !has(self.max) || self.step <= 0.0 ||"
            f" (self.max - self.min) / self.step < {float(MOST_STEPS)}",
            lambda s: (
                s.step is None
                or s.min is None
                or s.max is None
                or s.step <= 0
                or (s.max - s.min) / s.step < MOST_STEPS
            ),
            "step",
            f"is too small for this range: min, max and step make {MOST_STEPS} values or more; give"
            " a larger step, or none for a continuous range",
        ),
        Rule(
            "!has(self.step) || !has(self.scale) || self.scale != 'Log'",
            lambda s: s.step is None or s.scale != Scale.LOG,
            "step",
            "cannot be combined with a Log scale; list the numbers in values instead",
        ),
        Rule(
            "!has(self.scale) || has(self.min) || has(self.max)",
            lambda s: s.scale is None or s.min is not None or s.max is not None,
            "scale",
            "belongs to a range (min and max), not to values or choices",
        ),
        Rule(
            "!has(self.type) || !has(self.choices)",
            lambda s: s.type is None or s.choices is None,
            "type",
            "belongs to numbers; choices are strings, so leave it out",
        ),
        Rule(
            "!has(self.when) || self.when.parameter != self.name",
            lambda s: s.when is None or s.when.parameter != s.name,
            "when",
            "a parameter cannot depend on itself; name another one, or leave when out",
        ),
    )

    @property
    def is_int(self) -> bool:
        """Whether every value of this parameter is a whole number, by type or by its values."""
        if self.type is not None:
            return self.type == ParameterType.INT
        return self.values is not None and all(isinstance(v, int) for v in self.values)

    def text(self, value: Value) -> str:
        """Writes a value of this parameter as a program reads it from its arguments.

        A Double always has a point (``1.0``, ``1.0e-05``), an Int never has one, and a string is
        itself.
        """
        typed = self.typed(value)
        return float_text(typed) if isinstance(typed, float) else str(typed)

    def json_text(self, value: Value) -> str:
        """Writes a value of this parameter as JSON, a number as in :meth:`text`."""
        typed = self.typed(value)
        return json.dumps(typed, ensure_ascii=False) if isinstance(typed, str) else self.text(value)

    def typed(self, value: Value) -> Value:
        """Gives a value that came through JSON its parameter's own type again."""
        if isinstance(value, str):
            return value
        return int(value) if self.is_int else float(value)


class ParameterConstraint(ApiModel):
    """A condition that every suggested point keeps."""

    expression: str = Field(
        min_length=1,
        max_length=512,
        description="A condition on the parameters, such as layers * hidden <= 4096, in a part of"
        " CEL (see docs/search-space.md). It holds where it hangs on a parameter that is not"
        " active.",
    )
    message: str | None = Field(
        default=None, max_length=1024, description="Why, for who reads that a point breaks it."
    )
