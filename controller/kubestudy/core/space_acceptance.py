"""What is wrong with a search space that its schema could not say at ``kubectl apply``."""

from __future__ import annotations

from collections.abc import Iterator

from kubestudy.algorithms.space import Dimension
from kubestudy.api.parameters import Parameter, When
from kubestudy.api.study import StudySpec
from kubestudy.api.validation import FieldError


def space_problems(spec: StudySpec) -> Iterator[FieldError]:
    """Lists what keeps the search space of a Study from being searched."""
    for i, parameter in enumerate(spec.parameters):
        if parameter.when is not None:
            yield from _condition(f"parameters[{i}].when", parameter, parameter.when, spec)


def _condition(
    path: str, parameter: Parameter, when: When, spec: StudySpec
) -> Iterator[FieldError]:
    """That a parameter depends on another which can have the values named."""
    other = spec.parameter.get(when.parameter)
    if other is None:
        return  # A rule of the schema says so.
    if ring := _ring(parameter, spec):
        yield FieldError(path, f"parameters depend on each other in a ring: {' -> '.join(ring)}")
        return
    axis = Dimension(other)
    strings = other.choices is not None
    field, wrong, kind = (
        ("choices", "values", "choices") if strings else ("values", "choices", "numbers")
    )
    if getattr(when, wrong) is not None:
        yield FieldError(f"{path}.{wrong}", f"{other.name!r} has {kind}: name them in when.{field}")
        return
    if axis.size is None:
        yield FieldError(
            f"{path}.parameter",
            f"the continuous range of {other.name!r} hardly ever has exactly such a value; give"
            " it values, a step or type Int",
        )
        return
    for i, value in enumerate(when.allowed):
        if axis.place(value) is None:
            yield FieldError(
                f"{path}.{field}[{i}]",
                f"{other.name!r} never has the value {value!r}; it has {_possible(other)}",
            )


def _ring(parameter: Parameter, spec: StudySpec) -> list[str]:
    """The parameters that a parameter depends on, if it is among them itself."""
    names = [parameter.name]
    current: Parameter | None = parameter
    while current is not None and current.when is not None and len(names) <= len(spec.parameters):
        names.append(current.when.parameter)
        if names[-1] == parameter.name:
            return names
        current = spec.parameter.get(names[-1])
    return []


def _possible(parameter: Parameter) -> str:
    """The values of a discrete parameter, for a person."""
    listed = parameter.values or parameter.choices
    if listed is not None:
        shown = ", ".join(map(repr, listed[:8]))
        return shown if len(listed) <= 8 else f"{shown}, ..."
    step = f" in steps of {parameter.step:g}" if parameter.step is not None else ""
    kind = "whole numbers " if parameter.is_int else "numbers "
    return f"{kind}from {parameter.min} to {parameter.max}{step}"
