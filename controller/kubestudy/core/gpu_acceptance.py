"""Whether the GPUs of a Study can be counted: a budget of GPU-hours that is not kept is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubestudy.api.field_errors import shown
from kubestudy.api.parameters import Parameter
from kubestudy.api.quantities import parse_quantity
from kubestudy.api.study import StudySpec
from kubestudy.api.validation import FieldError
from kubestudy.core import placeholders
from kubestudy.core.accounts import gpu_amounts, most_gpus


def gpu_problems(spec: StudySpec) -> Iterator[FieldError]:
    """Lists amounts of GPUs that are none, and what holds GPUs that nobody here can count."""
    for asked in gpu_amounts(spec):
        path, amount = asked.path, asked.amount
        named = placeholders.parameter_names(amount)
        if named:
            yield from _placeholder(spec, path, amount, named)
        elif not _is_whole(amount):
            yield FieldError(
                path, f"must be a whole number of GPUs, not {shown(amount)}; write it as in 2"
            )
    yield from _given_twice(spec)
    if spec.budget.max_gpu_hours is None:
        return
    if most_gpus(spec) == 0 and not any(_claims(spec)):
        yield FieldError(
            "budget.maxGPUHours",
            f"no run holds a GPU, as none asks for {spec.trial.gpu_resource}, so it would never be"
            " used up; ask for GPUs by resources.limits, name the resource that your GPUs are in"
            " trial.gpuResource, or set budget.timeout in its place",
        )
    for path in _claims(spec):
        yield FieldError(
            path,
            "what a resource claim holds is not known here, so that budget.maxGPUHours could not be"
            f" kept; ask for GPUs by resources.limits ({spec.trial.gpu_resource}), or set"
            " budget.timeout in place of maxGPUHours",
        )


def _placeholder(spec: StudySpec, path: str, amount: Any, named: set[str]) -> Iterator[FieldError]:
    (name, *others) = sorted(named)
    parameter = spec.passed.get(name)
    if parameter is None:
        return  # is reported as a placeholder that names nothing
    if others or amount != f"${{parameters.{name}}}" or not _counts(parameter):
        yield FieldError(
            path,
            f"must be a whole number of GPUs in every trial, and {shown(amount)} may be another;"
            f" use one parameter of type Int, or whole values, as in ${{parameters.{name}}}",
        )


def _given_twice(spec: StudySpec) -> Iterator[FieldError]:
    """Finds GPUs of the short form's own resources that trial.gpus would replace."""
    trial = spec.trial
    for kind in ("limits", "requests"):
        amount = ((trial.resources or {}).get(kind) or {}).get(trial.gpu_resource)
        if trial.gpus and amount is not None and parse_quantity(amount) != trial.gpus:
            yield FieldError(
                f"trial.resources.{kind}.{trial.gpu_resource}",
                f"is {shown(amount)}, while trial.gpus is {trial.gpus}; leave one of them out",
            )


def _counts(parameter: Parameter) -> bool:
    """Whether all values of a parameter are whole and not negative."""
    listed = parameter.values or parameter.choices
    if listed is not None:
        return all(_is_whole(value) for value in listed)
    return parameter.is_int and (parameter.min or 0) >= 0


def _is_whole(amount: Any) -> bool:
    quantity = parse_quantity(amount)
    return quantity is not None and quantity >= 0 and quantity.denominator == 1


def _claims(spec: StudySpec) -> Iterator[str]:
    if (spec.trial.resources or {}).get("claims"):
        yield "trial.resources.claims"
    if ((spec.trial.template or {}).get("spec") or {}).get("resourceClaims"):
        yield "trial.template.spec.resourceClaims"
