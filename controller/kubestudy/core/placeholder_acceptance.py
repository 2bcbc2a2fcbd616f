"""What is wrong with the ``${parameters.name}`` placeholders of a Study."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from kubestudy.api.field_errors import shortened
from kubestudy.api.parameters import Parameter
from kubestudy.api.study import SEED, StudySpec
from kubestudy.api.validation import FieldError, did_you_mean
from kubestudy.core import placeholders
from kubestudy.core.shell_scripts import Script
from kubestudy.core.template_texts import (
    StartedContainer,
    Text,
    TextKind,
    containers,
    texts,
)

# What other tools call their parameters, before a dot.
_ALMOST_PARAMETERS = {
    *("parameters", "parameter", "params", "param", "trialparameters"),
    *("hyperparameters", "hyperparameter", "hparams"),
}
_STARTED = (TextKind.WORD, TextKind.ARGUMENT, TextKind.VARIABLE)
_NAME = re.compile(r"[A-Za-z_]\w{0,63}")
_DOTTED = re.compile(r"[A-Za-z_][\w.-]{0,127}")
_TEMPLATE = re.compile(r"\{\{([^{}]*)\}\}")
_REFERENCE = re.compile(r"(?<!\$)(\$+)\(([^()]*)\)")
_SHELL_VARIABLE = re.compile(r"(?<!\$)(\$+)([A-Za-z_][\w.]*)")
_MOST = 8  # Of one text that is wrong all over.
_FLAG = re.compile(r"--?[A-Za-z]")
_OPTION = re.compile(r"--?[A-Za-z][^=]*")


def placeholder_problems(spec: StudySpec) -> Iterator[FieldError]:
    """Lists placeholders that name nothing, that are none, and that could be without a value."""
    for text in texts(spec):
        if text.kind is TextKind.KEY:
            yield from _key(text)
        elif text.kind is TextKind.UNFILLED:
            yield from _unfilled(text)
        else:
            yield from _braces(text, spec)
            yield from _other_spellings(text, spec)
    yield from _conditional_placeholders(spec)


def _key(text: Text) -> Iterator[FieldError]:
    if placeholders.parameter_names(text.value):
        yield FieldError(
            text.path, "a placeholder is filled in a value only, and not in the name of a field"
        )


def _unfilled(text: Text) -> Iterator[FieldError]:
    if placeholders.parameter_names(text.value):
        yield FieldError(
            text.path, "no placeholder is filled here; the folder of each trial is made by itself"
        )


def _braces(text: Text, spec: StudySpec) -> Iterator[FieldError]:
    """``${...}``: a parameter's, a shell's in its script, or nobody's."""
    known = spec.passed
    for inner in _first(placeholders.names(text.value)):
        prefix, dot, plain = inner.partition(".")
        name, written = plain or inner, f"${{{inner}}}"
        if prefix == "parameters" and dot:
            if plain in known:
                continue
            if plain.strip() not in known:
                yield FieldError(
                    text.path,
                    f"placeholder {shortened(written)} names no parameter{near(plain, known)};"
                    f" there are {', '.join(known)}",
                )
                continue
        if meant := _meant(inner, known, or_a_variable=text.is_script):
            message = f"unknown placeholder {shortened(written)}; write {meant}"
        elif text.is_script:
            continue
        elif inner.startswith("args"):
            message = (
                f"unknown placeholder {shortened(written)}; leave it out, since the parameters"
                " follow as --name=value where no placeholder is used"
            )
        else:
            message = (
                f"{shortened(written)} is no placeholder, and would be passed on as it stands;"
                f" write ${{parameters.NAME}} for a parameter{near(name, known)}"
            )
            if text.kind in _STARTED and _NAME.fullmatch(inner):
                message += f", $({inner}) for a variable"
        yield FieldError(text.path, f"{message}, or {shortened('$' + written)} for this text")


def _other_spellings(text: Text, spec: StudySpec) -> Iterator[FieldError]:
    """``{{lr}}``, ``$(parameters.lr)`` and ``$lr``, where they can only mean a parameter."""
    if text.kind not in _STARTED:
        return
    known, variables = spec.passed, text.variables
    for inner in _first(_TEMPLATE.findall(text.value)):
        if meant := _meant(inner.partition("|")[0].strip("- "), known):
            yield FieldError(
                text.path,
                f"{shortened(f'{{{{{inner}}}}}')} is no placeholder, and would be passed on as it"
                f" stands; write {meant}",
            )
    for inner in _first(_unescaped(_REFERENCE, text.value)):
        if variables is None or inner in variables:
            continue
        if meant := _meant(inner, known, or_a_variable=text.is_script):
            yield FieldError(
                text.path,
                f"$({inner}) is the value of a variable, and env has none of this name; write"
                f" {meant}, or $$({inner}) for this text",
            )
    for name in () if text.is_script else _first(_unescaped(_SHELL_VARIABLE, text.value)):
        variable = name.partition(".")[0]
        if variables is not None and variable in variables:
            meant, seen = f"$({variable})", variable
        elif variable in known:
            meant, seen = f"${{parameters.{variable}}}", variable
        elif variable in _ALMOST_PARAMETERS and (found := _meant(name, known)):
            meant, seen = found, name
        else:
            continue
        yield FieldError(
            text.path,
            f"${seen} is passed on as it stands, since no shell reads it; write {meant}, or"
            f" $${seen} for this text",
        )


def _meant(inner: str, known: Collection[str], *, or_a_variable: bool = False) -> str | None:
    """The placeholder that somebody must have meant; None if it may be something else.

    Args:
        inner: What stands between the braces.
        known: The parameters.
        or_a_variable: Whether a plain name may also be that of a shell's variable.
    """
    name = inner.strip().lstrip(".$")
    if not _DOTTED.fullmatch(name):
        return None
    if name in known:
        return None if or_a_variable else f"${{parameters.{name}}}"
    words = name.split(".")
    # Whatever stands before the dot, such as in trialParameters.lr or inputs.parameters.lr.
    for plain in (".".join(words[i:]) for i in range(1, len(words))):
        if plain in known:
            return f"${{parameters.{plain}}}"
    almost = [i for i, word in enumerate(words[:-1]) if word.lower() in _ALMOST_PARAMETERS]
    if not almost:
        return None
    plain = ".".join(words[almost[-1] + 1 :])
    return f"${{parameters.{plain}}}{near(plain, known)}"


def near(name: str, known: Collection[str]) -> str:
    """The parameter that is meant by a name, in parentheses; empty if none is close to it."""
    plain = _DOTTED.search(name)
    return did_you_mean(plain[0], known) if plain else ""


def _unescaped(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    return (inner for dollars, inner in pattern.findall(text) if len(dollars) % 2)


def _first(found: Iterable[str]) -> Iterator[str]:
    return islice(dict.fromkeys(found), _MOST)


def _conditional_placeholders(spec: StudySpec) -> Iterator[FieldError]:
    """A parameter that is not active has no value: whole arguments and variables can go without."""
    conditional = {p.name for p in spec.parameters if p.when is not None}
    if spec.confirm is not None:
        conditional.add(SEED)
    if not conditional:
        return
    for container in containers(spec):
        yield from _arguments_that_may_go(container, spec, conditional)
    for text in texts(spec):
        if text.can_be_left_out or text.kind in (TextKind.KEY, TextKind.UNFILLED):
            continue
        for name in sorted(placeholders.parameter_names(text.value) & conditional):
            yield FieldError(
                text.path,
                f"{name!r} is not always active, and then has no value to put here; use it in args"
                " or env, where what names it is left out",
            )


def _arguments_that_may_go(
    container: StartedContainer, spec: StudySpec, conditional: set[str]
) -> Iterator[FieldError]:
    """An argument that is left out must not leave a word behind, or move others into its place."""
    words = container.words
    script = next((i for i in reversed(range(len(words))) if words[i].is_script), None)
    # The word after the script is $0, so that there are as many numbers as words after it.
    numbers = Script(words[script].value).numbers if script is not None else set()
    given = len(words) - 1 - script if script is not None else 0
    for i, word in enumerate(words):
        names = placeholders.parameter_names(word.value) & conditional
        if not names or not word.can_be_left_out:
            continue
        name = min(names)
        gone = f"{name!r} is not always active, and then this argument is left out"
        if script is not None and (moved := {n for n in numbers if i - script <= n < given}):
            yield FieldError(
                word.path,
                f"{gone}, so that ${min(moved)} of the script is another one: put it last, or give"
                " it by env",
            )
        elif placeholders.whole(word.value) is None or _is_flag(spec.passed[name]):
            continue
        elif _OPTION.fullmatch(before := words[i - 1].value if i else ""):
            joined = before + ("" if len(before) == 2 else "=") + word.value
            yield FieldError(
                word.path,
                f"{gone}, but not {shortened(before)} before it: write {shortened(joined)} as one"
                " argument, or give it by env",
            )
        elif not all(_stays_itself(words[j - 1], words[j], spec) for j in range(i + 1, len(words))):
            yield FieldError(
                word.path,
                f"{gone}, and those after it move into its place: put it last, write"
                f" --{name}={word.value}, or give it by env",
            )


def _is_flag(parameter: Parameter) -> bool:
    """Whether each value of a parameter is an option of its own, such as ``--amp``."""
    return all(map(_FLAG.match, parameter.choices or [""]))


def _stays_itself(before: Text, word: Text, spec: StudySpec) -> bool:
    """Whether a program reads a word by its name and not by its place."""
    if word.value.startswith("-") or _OPTION.fullmatch(before.value):
        return True
    name = placeholders.whole(word.value)
    return name is not None and name in spec.passed and _is_flag(spec.passed[name])
