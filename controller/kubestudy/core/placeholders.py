"""Puts parameter values where a template says ``${parameters.name}``.

The template is parsed first, and a value goes in as a whole typed value. Where the placeholder is
all of a string, the string is replaced by the value itself, a number staying a number; within a
longer string the value's text is put in. A value is never parsed again: not as YAML, not as
a placeholder, and (see ``escape``) not as a reference to a variable by the kubelet.

A conditional parameter that is not active has no value: an argument or a variable that names it is
left out. Nowhere else may it be named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubestudy.api.parameters import Parameter, Value

PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
_PREFIX = "parameters."


def names(template: Any) -> Iterator[str]:
    """Lists what the placeholders of a template say between their braces."""
    if isinstance(template, str):
        yield from PLACEHOLDER.findall(template)
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from names(value)
    elif isinstance(template, list):
        for item in template:
            yield from names(item)


def parameter_names(template: Any) -> set[str]:
    """Names the parameters that a template asks for."""
    return {n.removeprefix(_PREFIX) for n in names(template) if n.startswith(_PREFIX)}


def without_inactive(
    items: list[Any], values: Mapping[str, Value], space: Mapping[str, Parameter]
) -> list[Any]:
    """Leaves out the arguments or variables that name a parameter which is not active."""
    inactive = set(space) - set(values)
    return [item for item in items if not parameter_names(item) & inactive]


def fill(
    template: Any,
    values: Mapping[str, Value],
    space: Mapping[str, Parameter],
    *,
    for_container: bool = False,
) -> Any:
    """Returns a copy of a template with its placeholders filled.

    Args:
        template: JSON data.
        values: The parameters' values.
        space: The parameters, which know how their values are written.
        for_container: Whether the strings are a container's command, arguments or environment:
            they stay strings, and the kubelet expands ``$(NAME)`` in them.
    """
    if isinstance(template, str):
        return _fill_text(template, values, space, for_container)
    if isinstance(template, Mapping):
        return {k: fill(v, values, space, for_container=for_container) for k, v in template.items()}
    if isinstance(template, list):
        return [fill(v, values, space, for_container=for_container) for v in template]
    return template


def _fill_text(
    text: str,
    values: Mapping[str, Value],
    space: Mapping[str, Parameter],
    for_container: bool,
) -> Any:
    def value_text(match: re.Match[str]) -> str:
        name = match[1].removeprefix(_PREFIX)
        if not match[1].startswith(_PREFIX) or name not in values:
            return match[0]
        written = space[name].text(values[name])
        if not for_container:
            return written
        # A lone $ of the template would join with a value such as (HOME) or $(HOME).
        before = text[: match.start()]
        lone = (len(before) - len(before.rstrip("$"))) % 2 == 1
        return ("$" if lone else "") + escape(written)

    whole = PLACEHOLDER.fullmatch(text)
    if whole and not for_container and (name := whole[1].removeprefix(_PREFIX)) in values:
        return space[name].typed(values[name])
    return PLACEHOLDER.sub(value_text, text)


def escape(text: str) -> str:
    """Keeps the kubelet from expanding ``$(NAME)`` in a value: it reads ``$$`` as ``$``."""
    return text.replace("$", "$$")
