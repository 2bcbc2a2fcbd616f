"""Whether each parameter reaches the program, and as what the program reads.

Parameters follow a container's arguments as ``--name=value``; in the short form unless one of them
is named by a placeholder, in a pod template never. All of them are in ``KUBESTUDY_PARAMETERS`` too,
so that only a program which is given them as arguments and cannot read them is certain to be wrong;
the rest are warnings, which a Study that names the variable does not raise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from kubestudy.api.field_errors import shortened
from kubestudy.api.parameters import Parameter
from kubestudy.api.study import SEED, StudySpec
from kubestudy.api.trial_template import TrialTemplate
from kubestudy.api.validation import FieldError
from kubestudy.core import placeholders
from kubestudy.core.shell_scripts import Script
from kubestudy.core.template_texts import StartedContainer, Text, TextKind, containers, texts

PARAMETERS, STUDY_SEED = "KUBESTUDY_PARAMETERS", "KUBESTUDY_SEED"

_MOST = 8  # Of the names in one message.
_OPTION = re.compile(r"--?([A-Za-z][^=\s]*)(=.*)?", re.DOTALL)


def follow_as_arguments(trial: TrialTemplate) -> bool:
    """Whether the parameters follow the arguments: no placeholder says where they belong."""
    started_with = [trial.command or [], trial.args or [], [e.to_json() for e in trial.env or ()]]
    return trial.template is None and not placeholders.parameter_names(started_with)


@dataclass(frozen=True)
class _GivenScript:
    """A script that a container gives to a shell.

    Attributes:
        container: The container.
        word: Where it stands.
        script: What it says.
        after: The words after it, the first of which is its name.
    """

    container: StartedContainer
    word: Text
    script: Script
    after: Sequence[Text]


@dataclass(frozen=True)
class _Start:
    """What the containers of a run are started with.

    Attributes:
        spec: The Study's.
        passed: The parameters that it passes.
        containers: The containers; the first one trains.
        follow: Whether the parameters follow the arguments of each.
    """

    spec: StudySpec
    passed: Mapping[str, Parameter]
    containers: Sequence[StartedContainer]
    follow: bool

    @classmethod
    def of(cls, spec: StudySpec) -> _Start:
        return cls(spec, spec.passed, containers(spec), follow_as_arguments(spec.trial))

    @property
    def words(self) -> Iterator[Text]:
        return chain.from_iterable(container.words for container in self.containers)

    @property
    def scripts(self) -> Iterator[_GivenScript]:
        for container in self.containers:
            for i, word in enumerate(container.words):
                if word.is_script:
                    after = container.words[i + 1 :]
                    yield _GivenScript(container, word, Script(word.value), after)


def passing_problems(spec: StudySpec) -> Iterator[FieldError]:
    """Lists the scripts that lose their first argument: a shell takes it for the script's name."""
    start = _Start.of(spec)
    for given in start.scripts:
        if given.script.uses_its_name or not given.script.uses_arguments:
            continue
        if given.after:
            first = given.after[0].value
            lost = first if _is_argument(first) else None
        else:
            lost = f"--{next(iter(start.passed))}=..." if start.follow else None
        if lost is not None:
            yield FieldError(
                given.word.path,
                f"the shell takes the first word after its script, {shortened(lost)}, for the"
                " script's name $0, and not for an argument; put a word such as sh between"
                " them, as in [sh, -c, 'train \"$@\"', sh]",
            )


def passing_warnings(spec: StudySpec) -> Iterator[FieldError]:
    """Lists what is likely to keep a parameter from its program."""
    start = _Start.of(spec)
    yield from _scripts_without_arguments(start)
    yield from _unset_variables(start)
    yield from _named_nowhere(start)
    yield from _given_twice(start)
    yield from _empty_arguments(start)
    yield from _variables_of_the_first(start)


def _is_argument(word: str) -> bool:
    """Whether nobody would write a word as a script's name."""
    is_option = word.startswith("--") and _OPTION.fullmatch(word) is not None
    return is_option or bool(placeholders.parameter_names(word))


def _scripts_without_arguments(start: _Start) -> Iterator[FieldError]:
    for given in start.scripts:
        if given.script.uses_arguments or given.script.uses_its_name:
            continue
        after = placeholders.parameter_names([word.value for word in given.after])
        lost = list(start.passed) if start.follow else sorted(after)
        if not lost or _mentions(given.container, PARAMETERS):
            continue
        yield FieldError(
            given.word.path,
            f"the script uses none of its arguments, so the program has {_listed(lost)} only"
            f' if it reads {PARAMETERS}; hand them on by "$@", as in'
            f" [sh, -c, 'train \"$@\"', sh], or name {PARAMETERS} in the script",
        )


def _unset_variables(start: _Start) -> Iterator[FieldError]:
    for given in start.scripts:
        if given.word.variables is None:
            continue
        unset = given.script.unset_variables - given.word.variables
        for name in (n for n in start.passed if n in unset):
            yield FieldError(
                given.word.path,
                f"${name} is no variable of this container as far as is known here, and then"
                f" empty; set it by env, as in {{name: {name}, value:"
                f' "${{parameters.{name}}}"}}',
            )


def _named_nowhere(start: _Start) -> Iterator[FieldError]:
    """A placeholder, or a pod template, says which parameters are passed: it may forget some."""
    spec, main = start.spec, next(iter(start.containers), None)
    if start.follow or main is None or _mentions(main, PARAMETERS):
        return
    of_trial = [t for t in texts(spec) if t.kind not in (TextKind.KEY, TextKind.UNFILLED)]
    reached = placeholders.parameter_names([t.value for t in of_trial])
    # What decides whether another one is active is told by that one; the resource has its own
    # variables.
    for _ in spec.parameters:
        parents = {p.when.parameter for p in spec.parameters if p.name in reached and p.when}
        if parents <= reached:
            break
        reached |= parents
    wanted = [p.name for p in spec.parameters]
    if spec.confirm is not None and not _mentions(main, STUDY_SEED):
        wanted.append(SEED)
    missing = [name for name in wanted if name not in reached]
    if not missing:
        return
    first = next((t for t in of_trial if placeholders.parameter_names(t.value)), None)
    why = "with a placeholder here" if first is not None else "with a pod template"
    yield FieldError(
        first.path if first is not None else f"{main.path}.args",
        f"{why} no parameter follows as an argument by itself: the program has"
        f" {_listed(missing)} only if it reads {PARAMETERS}; write"
        f" --{missing[0]}=${{parameters.{missing[0]}}} in args, or name {PARAMETERS} in command,"
        " args or env if it does",
    )


def _given_twice(start: _Start) -> Iterator[FieldError]:
    follow = {_spelt(name): name for name in start.passed} if start.follow else {}
    for word in start.words:
        option = _OPTION.fullmatch(word.value)
        name = follow.get(_spelt(option[1])) if option else None
        if name is not None and word.value.startswith("--"):
            yield FieldError(
                word.path,
                f"{shortened(word.value)} is given as well as the parameter {name}, which follows"
                f" as --{name}=...; take one of them out",
            )


def _empty_arguments(start: _Start) -> Iterator[FieldError]:
    """A flag that is there or not, written as a choice between the flag and nothing."""
    for word in start.words:
        parameter = start.passed.get(placeholders.whole(word.value) or "")
        choices = parameter.choices if parameter is not None else None
        if choices and "" in choices and any(c.startswith("-") for c in choices):
            yield FieldError(
                word.path,
                'is an empty argument with the choice ""; for an argument that is there or not'
                " make its parameter depend on another one by when, which leaves it out",
            )


def _variables_of_the_first(start: _Start) -> Iterator[FieldError]:
    for container in start.containers[1:]:
        for text in (*container.words, *container.variables):
            if PARAMETERS in text.value and text.value != PARAMETERS:
                yield FieldError(
                    text.path,
                    f"only the first container, which trains, is given {PARAMETERS}; use"
                    " ${parameters.NAME} here",
                )


def _spelt(option: str) -> str:
    """An option as most programs compare it."""
    return option.replace("-", "_")


def _mentions(container: StartedContainer, variable: str) -> bool:
    return any(variable in text.value for text in chain(container.words, container.variables))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")
