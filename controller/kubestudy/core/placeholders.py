"""Puts parameter values where a template says ``${parameters.name}``.

The template is parsed first, and a value goes in as a whole typed value. Where the placeholder is
all of a string, the string is replaced by the value itself, a number staying a number; within a
longer string the value's text is put in. A value is never parsed again: not as YAML, not as
a placeholder, and (see ``escape``) not as a reference to a variable by the kubelet.

``$${parameters.name}`` stands for the text ``${parameters.name}``. In what a container is started
with, the kubelet makes ``$$`` a ``$`` anyway; elsewhere it is done here, before braces only.

A conditional parameter that is not active has no value: an argument or a variable that names it is
left out. Nowhere else may it be named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from kubestudy.api.parameters import Parameter, Value

_BRACES = re.compile(r"(?<!\$)(\$+)\{([^{}]*)\}")
_WHOLE = re.compile(r"\$\{parameters\.([^{}]*)\}")
_PREFIX = "parameters."


def names(template: Any) -> Iterator[str]:
    """Lists what the placeholders of a template say between their braces."""
    if isinstance(template, str):
        yield from (name for dollars, name in _BRACES.findall(template) if len(dollars) % 2)
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from names(value)
    elif isinstance(template, list):
        for item in template:
            yield from names(item)


def parameter_names(template: Any) -> set[str]:
    """Names the parameters that a template asks for."""
    return {n.removeprefix(_PREFIX) for n in names(template) if n.startswith(_PREFIX)}


def whole(text: str) -> str | None:
    """Names the parameter whose placeholder is all of a text; None where it is not."""
    match = _WHOLE.fullmatch(text)
    return match[1] if match else None


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
    def filled(match: re.Match[str]) -> str:
        dollars, inner = match[1], match[2]
        # In a container the kubelet halves the dollars before the last one.
        kept = "$" * (len(dollars) // 2 * (2 if for_container else 1))
        if len(dollars) % 2 == 0:
            return f"{kept}{{{inner}}}"
        name = inner.removeprefix(_PREFIX)
        if not inner.startswith(_PREFIX) or name not in values:
            return match[0]
        written = space[name].text(values[name])
        return kept + (escape(written) if for_container else written)

    if not for_container and (name := whole(text)) is not None and name in values:
        return space[name].typed(values[name])
    return _BRACES.sub(filled, text)


def escape(text: str) -> str:
    """Keeps the kubelet from expanding ``$(NAME)`` in a value: it reads ``$$`` as ``$``."""
    return text.replace("$", "$$")
