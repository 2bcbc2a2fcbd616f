"""What is wrong with a search space that its schema could not say at ``kubectl apply``."""

from __future__ import annotations

from collections.abc import Iterator

from kubestudy.algorithms.space import Dimension, SearchSpace
from kubestudy.api.field_errors import in_quotes, is_number, listed, shown
from kubestudy.api.parameters import Assignment, Parameter, Value, When
from kubestudy.api.study import StudySpec
from kubestudy.api.validation import FieldError, did_you_mean
from kubestudy.core.suggesting import search_space
from kubestudy.expressions import Expression, ExpressionError


def space_problems(spec: StudySpec) -> Iterator[FieldError]:
    """Lists what keeps the search space of a Study from being searched."""
    wrong = [
        *(
            error
            for i, parameter in enumerate(spec.parameters)
            if parameter.when is not None
            for error in _condition(f"parameters[{i}].when", parameter, parameter.when, spec)
        ),
        *_constraints(spec),
    ]
    yield from wrong
    if wrong:
        return
    space = search_space(spec)
    if space.size == 0:
        yield FieldError("parameterConstraints", "no point of the search space keeps all of them")
        return
    yield from _initial_trials(spec, space)


def _condition(
    path: str, parameter: Parameter, when: When, spec: StudySpec
) -> Iterator[FieldError]:
    """That a parameter depends on another which can have the values named."""
    other = spec.parameter.get(when.parameter)
    if other is None:
        return  # A rule of the schema says so.
    if ring := _ring(parameter, spec):
        yield FieldError(
            path, f"parameters depend on each other in a ring: {' -> '.join(ring)}; take a when out"
        )
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


def _other_form(parameter: Parameter, value: Value) -> str:
    """That a value is a number in quotes, or should be, where that is what is wrong."""
    if parameter.choices is None and isinstance(value, str):
        return ": remove the quotes" if is_number(value) else ""
    if parameter.choices and str(value) in parameter.choices and not isinstance(value, str):
        return f": {in_quotes(value)}"
    return ""


def _constraints(spec: StudySpec) -> Iterator[FieldError]:
    choices = {p.name: p.choices for p in spec.parameters}
    for i, constraint in enumerate(spec.parameter_constraints or ()):
        try:
            Expression(constraint.expression, choices)
        except ExpressionError as error:
            yield FieldError(f"parameterConstraints[{i}].expression", str(error))


def _initial_trials(spec: StudySpec, space: SearchSpace) -> Iterator[FieldError]:
    """That each initial trial is a point of the space, as far as it goes."""
    whole: list[Assignment] = []
    for i, given in enumerate(spec.initial_trials or ()):
        path = f"initialTrials[{i}]"
        wrong = list(_initial_values(path, given, spec, space))
        yield from wrong
        if wrong or not space.contains(given):
            continue
        constraint = space.broken_by(given)
        if constraint is not None:
            yield FieldError(
                path, f"breaks {constraint.message or constraint.expression!r}; change it"
            )
        if given in whole:
            yield FieldError(path, "stands twice in initialTrials; remove one")
        whole.append(given)
    number = len(spec.initial_trials or ())
    if space.size is not None and number > space.size:
        yield FieldError(
            "initialTrials", f"holds {number}, and the search space has {space.size} points"
        )


def _initial_values(
    path: str, given: Assignment, spec: StudySpec, space: SearchSpace
) -> Iterator[FieldError]:
    for name, value in given.items():
        here = f"{path}.{name}"
        parameter = spec.parameter.get(name)
        if parameter is None:
            near = did_you_mean(name, spec.parameter)
            if name in ("true", "false"):
                near = f": {in_quotes(name == 'true')}"
            yield FieldError(
                here, f"no parameter is named {name!r}{near}; there are {listed(spec.parameter)}"
            )
        elif isinstance(value, bool):
            advice = f": {in_quotes(value)}" if parameter.choices else ""
            yield FieldError(here, f"must be a number or a string, not {shown(value)}{advice}")
        elif not isinstance(value, int | float | str):
            yield FieldError(here, f"must be a number or a string, not {shown(value)}")
        elif space.dimension[name].place(value) is None:
            yield FieldError(
                here,
                f"{name!r} never has the value {value!r}; it has {_possible(parameter)}"
                + _other_form(parameter, value),
            )
        elif parameter.when is not None and not space.is_active(name, given):
            allowed = ", ".join(map(repr, parameter.when.allowed))
            yield FieldError(
                here,
                f"{name!r} is active only while {parameter.when.parameter!r} is {allowed}: give"
                f" that value as well, or leave {name!r} out",
            )
