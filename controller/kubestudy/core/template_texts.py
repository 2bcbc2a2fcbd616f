"""The texts of ``spec.trial``: each with its path, and with what will be read from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from kubestudy.api.pod_template import CONTAINER_LISTS
from kubestudy.api.study import StudySpec
from kubestudy.core.shell_scripts import scripts


class TextKind(Enum):
    """What becomes of a text."""

    WORD = "a word of a container's command"
    ARGUMENT = "a word of a container's args"
    VARIABLE = "the value of a container's environment variable"
    OTHER = "any other value of the pod template"
    KEY = "a key of an object of the pod template"
    UNFILLED = "a value outside the pod template, in which no placeholder is filled"


@dataclass(frozen=True)
class Text:
    """A text of a Study's trial.

    Attributes:
        path: The field, such as ``trial.args[0]``.
        value: What it says.
        kind: What becomes of it.
        is_script: Whether a shell runs it.
        variables: What the kubelet may put in for ``$(NAME)``; None where that is not known.
    """

    path: str
    value: str
    kind: TextKind
    is_script: bool = False
    variables: frozenset[str] | None = None

    @property
    def can_be_left_out(self) -> bool:
        """Whether a run goes without it if it names a parameter that is not active."""
        return self.kind in (TextKind.ARGUMENT, TextKind.VARIABLE)


@dataclass(frozen=True)
class StartedContainer:
    """What a container is started with; what is malformed is passed over.

    Attributes:
        path: The container's field, such as ``trial``.
        words: Its command and its arguments.
        variables: The values of its environment variables.
    """

    path: str
    words: Sequence[Text]
    variables: Sequence[Text]

    @property
    def line(self) -> list[str]:
        """Its command and its arguments as plain text."""
        return [w.value for w in self.words]


def containers(spec: StudySpec) -> list[StartedContainer]:
    """Lists the containers of a run; the first one trains."""
    trial = spec.trial
    if trial.template is None:
        env = [e.to_json() for e in trial.env or ()]
        return [_started("trial", {"command": trial.command, "args": trial.args, "env": env})]
    return [_started(path, c) for path, c in _containers(trial.template)]


def texts(spec: StudySpec) -> Iterator[Text]:
    """Lists all texts of a Study's trial that somebody might put a placeholder into."""
    trial = spec.trial
    for container in containers(spec):
        yield from container.words
        yield from container.variables
    if trial.image is not None:
        yield Text("trial.image", trial.image, TextKind.OTHER)
    yield from _walk("trial.resources", trial.resources)
    for field, folder in (("checkpoints", trial.checkpoints), ("outputs", trial.outputs)):
        if folder is not None:
            yield Text(f"trial.{field}.claimName", folder.claim_name, TextKind.UNFILLED)
    if trial.template is not None:
        for path, whole in _containers(trial.template):
            for key, value in whole.items():
                if key not in _STARTED_WITH or not isinstance(value, list):
                    yield from _walk(f"{path}.{key}", value)
        pod = trial.template.get("spec")
        rest = {k: v for k, v in trial.template.items() if k != "spec"}
        if isinstance(pod, dict):
            yield from _walk(
                "trial.template.spec", {k: pod[k] for k in pod if k not in CONTAINER_LISTS}
            )
        yield from _walk("trial.template", rest)


_STARTED_WITH = ("command", "args", "env")


def _containers(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    pod = template.get("spec")
    for kind in CONTAINER_LISTS if isinstance(pod, dict) else ():
        items = pod.get(kind) if isinstance(pod, dict) else None
        for i, container in enumerate(items if isinstance(items, list) else ()):
            if isinstance(container, dict):
                yield f"trial.template.spec.{kind}[{i}]", container


def _started(path: str, container: dict[str, Any]) -> StartedContainer:
    env = _list(container, "env")
    known = None if container.get("envFrom") else frozenset(_names(env))
    words = [
        (f"{path}.{field}[{i}]", word, kind)
        for field, kind in (("command", TextKind.WORD), ("args", TextKind.ARGUMENT))
        for i, word in enumerate(_list(container, field))
        if isinstance(word, str)
    ]
    of_shells = set(scripts([word for _, word, _ in words]))
    return StartedContainer(
        path,
        [Text(p, word, kind, i in of_shells, known) for i, (p, word, kind) in enumerate(words)],
        [
            replace(text, kind=TextKind.VARIABLE, variables=known)
            for i, variable in enumerate(env)
            for text in _walk(f"{path}.env[{i}]", variable)
            if text.kind is TextKind.OTHER
        ],
    )


def _names(env: list[Any]) -> Iterator[str]:
    for variable in env:
        if isinstance(variable, dict) and isinstance(variable.get("name"), str):
            yield variable["name"]


def _list(container: dict[str, Any], field: str) -> list[Any]:
    value = container.get(field)
    return value if isinstance(value, list) else []


def _walk(path: str, data: Any) -> Iterator[Text]:
    """The texts of JSON data; a list of words may be a probe's command with a shell's script."""
    if isinstance(data, str):
        yield Text(path, data, TextKind.OTHER)
    elif isinstance(data, dict):
        for key, value in data.items():
            yield Text(f"{path}.{key}", str(key), TextKind.KEY)
            yield from _walk(f"{path}.{key}", value)
    elif isinstance(data, list):
        of_shells = set(scripts([item if isinstance(item, str) else "" for item in data]))
        for i, item in enumerate(data):
            if isinstance(item, str):
                yield Text(f"{path}[{i}]", item, TextKind.OTHER, i in of_shells)
            else:
                yield from _walk(f"{path}[{i}]", item)
