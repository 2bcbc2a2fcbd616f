"""What is wrong with the ``${parameters.name}`` placeholders of a Study."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubestudy.api.study import SEED, StudySpec
from kubestudy.api.validation import FieldError, did_you_mean
from kubestudy.core import placeholders

# What users of other tools write; any other ${...} is a shell's, and none of our business.
_ALMOST_PARAMETERS = ("trialParameters", "parameter", "params", "param")


def placeholder_problems(spec: StudySpec) -> Iterator[FieldError]:
    """Lists placeholders that name nothing, and those that could be left without a value."""
    known = set(spec.passed)
    for field, template in _templates(spec):
        for name in placeholders.names(template):
            prefix, dot, plain = name.partition(".")
            if prefix in _ALMOST_PARAMETERS and dot:
                yield FieldError(
                    field, f"unknown placeholder ${{{name}}}; write ${{parameters.{plain}}}"
                )
            elif prefix == "parameters" and dot and plain not in known:
                yield FieldError(
                    field,
                    f"placeholder ${{{name}}} names no parameter{did_you_mean(plain, known)};"
                    f" there are {', '.join(spec.passed)}",
                )
    yield from _conditional_placeholders(spec)


def _conditional_placeholders(spec: StudySpec) -> Iterator[FieldError]:
    """A parameter that is not active has no value: whole arguments and variables can go without."""
    conditional = {p.name for p in spec.parameters if p.when is not None}
    if spec.confirm is not None:
        conditional.add(SEED)
    trial = spec.trial
    for i, text in enumerate(trial.args or ()):
        yield from _alone(f"trial.args[{i}]", text, conditional)
    elsewhere: list[tuple[str, Any]] = [
        ("trial.command", trial.command),
        ("trial.resources", trial.resources),
    ]
    pod = (trial.template or {}).get("spec")
    if isinstance(pod, dict):
        containers = [
            (f"trial.template.spec.{kind}[{i}]", c)
            for kind in ("containers", "initContainers")
            for i, c in enumerate(pod.get(kind) or ())
            if isinstance(c, dict)
        ]
        for path, container in containers:
            for i, text in enumerate(container.get("args") or ()):
                yield from _alone(f"{path}.args[{i}]", text, conditional)
            elsewhere += [
                (f"{path}.{f}", v) for f, v in container.items() if f not in ("args", "env")
            ]
        elsewhere += [
            (f"trial.template.spec.{f}", v)
            for f, v in pod.items()
            if f not in ("containers", "initContainers")
        ]
        elsewhere.append(("trial.template.metadata", (trial.template or {}).get("metadata")))
    for path, template in elsewhere:
        for name in sorted(placeholders.parameter_names(template) & conditional):
            yield FieldError(
                path,
                f"{name!r} is not always active, and then has no value to put here; use it in args"
                " or env, where what names it is left out",
            )


def _alone(path: str, text: Any, conditional: set[str]) -> Iterator[FieldError]:
    """The word before it, such as ``--momentum``, would stay behind without its value."""
    for name in conditional:
        if text == f"${{parameters.{name}}}":
            yield FieldError(
                path,
                f"{name!r} is not always active, and then this argument is left out: write"
                f" --{name}=${{parameters.{name}}} as one argument",
            )


def _templates(spec: StudySpec) -> Iterator[tuple[str, Any]]:
    """The parts of a Study that may hold placeholders, with their paths."""
    trial = spec.trial
    for field in ("command", "args"):
        for i, text in enumerate(getattr(trial, field) or ()):
            yield f"trial.{field}[{i}]", text
    for i, variable in enumerate(trial.env or ()):
        yield f"trial.env[{i}].value", variable.value
    yield "trial.resources", trial.resources
    yield "trial.template", trial.template
