"""Manifests: YAML read exactly as kubectl reads it, and written so that everybody reads the same.

kubectl reads YAML by rules of its own (go-yaml v2, neither YAML 1.1 nor 1.2), and turns it into
JSON as Go writes it: ``1e-4`` is a number, ``yes`` and ``y`` are booleans, ``010`` is eight,
``1_000`` a thousand, dates stay strings, and ``1.0`` arrives as the integer 1. A file must mean
the same here as in the cluster.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import yaml

try:
    from yaml import CSafeDumper as _BaseDumper
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # PyYAML was built without libyaml.
    from yaml import SafeDumper as _BaseDumper  # type: ignore[assignment]
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]

_TAG = "tag:yaml.org,2002:"
_STR, _MERGE = f"{_TAG}str", f"{_TAG}merge"

_WORDS: dict[str, Any] = {"": None, "~": None}
for _value, _spellings in (
    (None, "null"),
    (True, "y yes true on"),
    (False, "n no false off"),
):
    for _word in _spellings.split():
        _WORDS |= {_word: _value, _word.capitalize(): _value, _word.upper(): _value}
for _sign, _number in (("", math.inf), ("+", math.inf), ("-", -math.inf)):
    _WORDS |= {f"{_sign}.{w}": _number for w in ("inf", "Inf", "INF")}
_WORDS |= dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan)

_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INTEGERS = (
    (re.compile(r"[-+]?0[xX][0-9a-fA-F]+"), 16),
    (re.compile(r"[-+]?0[bB][01]+"), 2),
    (re.compile(r"[-+]?0[oO][0-7]+"), 8),
    (re.compile(r"[-+]?0[0-7]+"), 8),
    (re.compile(r"[-+]?[0-9]+"), 10),
)


MAX_DEPTH = 100
"""How deep a document may be nested; the API server takes hardly more of a pod template."""

MAX_NODES = 200_000
"""How many values a document may have once its aliases are filled in; an object of 1.5 MB, the most
that etcd takes, has fewer."""


MAX_DIGITS = 400
"""More characters than any number needs: no float is larger than 10^308."""


@dataclass(frozen=True)
class Document:
    """One document of a file.

    Attributes:
        data: As JSON data.
        line: The line that it begins on, from 1.
    """

    data: Any
    line: int


class ManifestError(ValueError):
    """Text that is no YAML, or that JSON cannot say.

    Attributes:
        line: Where, from 1; None where it is not known.
        column: The same.
    """

    def __init__(self, message: str, mark: Any = None):
        super().__init__(message)
        self.line: int | None = mark.line + 1 if mark else None
        self.column: int | None = mark.column + 1 if mark else None

    def __str__(self) -> str:
        where = f"line {self.line}, column {self.column}: " if self.line else ""
        return where + super().__str__()


def load_all(text: str) -> list[Document]:
    """Reads all documents of a file; empty ones are left out.

    Raises:
        ManifestError: It is no YAML.
    """
    if text.lstrip().startswith("{"):
        try:  # JSON may be indented by tabs, which YAML refuses.
            return [Document(_go_numbers(json.loads(text)), 1)]
        except ValueError:
            pass
    documents = []
    try:
        loader = _Loader(text)
        try:
            while loader.check_node():
                node: Any = loader.get_node()
                _measure(node, {}, MAX_DEPTH)
                data = loader.construct_document(node)
                if data is not None:
                    documents.append(Document(data, node.start_mark.line + 1))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise _worded(error, text) from error
    except yaml.YAMLError as error:
        raise ManifestError("a character that YAML does not allow; remove it") from error
    except RecursionError as error:
        raise ManifestError("is nested too deeply") from error
    return documents


def _measure(node: Any, known: dict[int, tuple[int, int]], depth: int) -> tuple[int, int]:
    """Counts the values of a node and how deep it is; an alias counts as what it stands for.

    Args:
        node: The node.
        known: What was found of nodes so far, by their identity: an alias is its very node.
        depth: How deep it may be.

    Returns:
        How many values it has, and how deep it is.

    Raises:
        ManifestError: There are too many, or they are nested too deeply.
    """
    if id(node) not in known:
        if depth == 0:
            raise ManifestError(f"is nested deeper than {MAX_DEPTH}", node.start_mark)
        _check_tag(node)
        parts: list[Any] = []
        if isinstance(node, yaml.SequenceNode):
            parts = node.value
        elif isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        found = [_measure(part, known, depth - 1) for part in parts]
        size = 1 + sum(size for size, _ in found)
        if size > MAX_NODES:
            raise ManifestError(
                f"has more than {MAX_NODES} values, those that aliases stand for included",
                node.start_mark,
            )
        known[id(node)] = size, 1 + max((deep for _, deep in found), default=0)
    if known[id(node)][1] > depth:
        raise ManifestError(f"is nested deeper than {MAX_DEPTH}", node.start_mark)
    return known[id(node)]


def _check_tag(node: Any) -> None:
    """That a tag which is written before a value is one of such values."""
    kinds = {"map": yaml.MappingNode, "seq": yaml.SequenceNode}
    tag = node.tag.removeprefix(_TAG)
    wanted = kinds.get(tag, yaml.ScalarNode if node.tag.startswith(_TAG) else type(node))
    if not isinstance(node, wanted):
        raise ManifestError(f"the tag !!{tag} does not fit what stands after it", node.start_mark)


def _worded(error: yaml.MarkedYAMLError, text: str) -> ManifestError:
    """What is wrong with YAML; of a tab the reader says that it cannot start any token."""
    mark: Any = error.problem_mark or error.context_mark
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    blank = line[: len(line) - len(line.lstrip())]
    at = line.find("\t") if "\t" in blank else mark.column if mark else 0
    if line[at : at + 1] == "\t":
        tab = yaml.Mark("", 0, mark.line, at, None, 0)
        return ManifestError("a tab, which YAML does not allow here: use blanks", tab)
    problem = error.problem or ""
    if "cannot start any token" in problem and line[at:]:
        return ManifestError(f"{line[at]!r} cannot begin a value: put it in quotes", mark)
    if "mapping values are not allowed" in problem:
        return ManifestError(
            "a colon where no field may begin: put the value in quotes, or mend the indentation",
            mark,
        )
    return ManifestError(", ".join(p for p in (error.context, problem) if p), mark)


def load(text: str) -> Any:
    """Reads a file of one document.

    Raises:
        ManifestError: It is no YAML, or more than one document.
    """
    documents = load_all(text)
    if len(documents) != 1:
        raise ManifestError(f"{len(documents)} documents where one is expected")
    return documents[0].data


def dump(data: Any) -> str:
    """Writes JSON data as YAML."""
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return text


def plain(text: str) -> Any:
    """The value of a plain scalar: one that is written without quotes or a tag."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == ".":
        return _float(text, text) if _FLOAT.fullmatch(text) else text
    if not (text[0] in "+-" or (text[0].isascii() and text[0].isdigit())):
        return text
    digits = text.replace("_", "")
    if len(digits) > MAX_DIGITS:
        return text
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(digits):
            number = int(digits, base)
            if -(2**63) <= number < (2**63 if digits[0] in "+-" else 2**64):
                return number
            break
    return _float(digits, text) if _FLOAT.fullmatch(digits) else text


def _float(digits: str, text: str) -> float | str:
    number = float(digits)
    return number if math.isfinite(number) else text


def _go_numbers(data: Any) -> Any:
    """Numbers as they are after Go has written and read them as JSON."""
    if isinstance(data, dict):
        return {k: _go_numbers(v) for k, v in data.items()}
    if isinstance(data, list):
        return [_go_numbers(v) for v in data]
    return _go_number(data)


def _go_number(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        whole = int(Decimal(repr(value)))  # By its shortest digits, as Go writes it.
        return whole if _fits(whole) else value
    return float(value) if isinstance(value, int) and not _fits(value) else value


def _fits(number: int) -> bool:
    return -(2**63) <= number < 2**63


def _tag_of(text: str) -> str:
    if text == "<<":
        return _MERGE
    value = plain(text)
    return _TAG + ("null" if value is None else type(value).__name__)


class _Loader(_BaseLoader):
    """Composes nodes as usual; the meaning of scalars and keys is kubectl's."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is not yaml.ScalarNode:
            return _TAG + ("seq" if kind is yaml.SequenceNode else "map")
        return _tag_of(value) if implicit[0] else _STR

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        result: dict[Hashable, Any] = {}
        own: set[Hashable] = set()
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                # Where it stands, it overrides what stands before it.
                for merged in reversed(self._merged(value_node)):
                    result |= self.construct_mapping(merged, deep=True)
                continue
            key = self._key(key_node)
            if key in own:
                raise ManifestError(f"key {key!r} stands twice in one object", key_node.start_mark)
            own.add(key)
            result[key] = self.construct_object(value_node, deep=deep)
        return result

    def _merged(self, node: Any) -> list[Any]:
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for item in nodes:
            if not isinstance(item, yaml.MappingNode):
                raise ManifestError("<< needs an object, or a list of them", item.start_mark)
        return list(nodes)

    def _key(self, node: Any) -> str:
        key = self.construct_object(node, deep=True)
        if isinstance(key, bool):
            return str(key).lower()
        if isinstance(key, int):
            return str(key)
        if isinstance(key, float):
            return f"{key:g}"
        if not isinstance(key, str):
            raise ManifestError(
                "{{ ... }} is a template, not YAML: render it first, as by `helm template`"
                if isinstance(key, dict)
                else f"{key!r} cannot be the key of an object; put it in quotes",
                node.start_mark,
            )
        return key


def _scalar(loader: Any, node: Any) -> Any:
    """A scalar whose tag was found by its text or was written before it."""
    text, tag = node.value, node.tag.removeprefix(_TAG)
    value = plain(text)
    if tag == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if tag != ("null" if value is None else type(value).__name__):
        raise ManifestError(f"{text!r} is no {tag}", node.start_mark)
    if isinstance(value, float) and not math.isfinite(value):
        raise ManifestError(f"{text} cannot be said in JSON", node.start_mark)
    return _go_number(value)


def _text(loader: Any, node: Any) -> str:
    return str(node.value)


def _binary(loader: Any, node: Any) -> str:
    try:
        return base64.b64decode(node.value).decode(errors="replace")
    except binascii.Error as error:
        raise ManifestError(f"!!binary: {error}", node.start_mark) from error


def _untagged(loader: Any, suffix: str, node: Any) -> Any:
    """A tag of somebody else's means nothing here."""
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_mapping(node, deep=True)


for _name in ("null", "bool", "int", "float"):
    _Loader.add_constructor(_TAG + _name, _scalar)
_Loader.add_constructor(_STR, _text)
_Loader.add_constructor(f"{_TAG}timestamp", _text)
_Loader.add_constructor(f"{_TAG}binary", _binary)
_Loader.add_constructor(_MERGE, _text)
_Loader.add_multi_constructor("", _untagged)


class _Dumper(_BaseDumper):
    """Quotes every string that kubectl, or any usual YAML reader, would take for something else."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        usual: str = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        if kind is yaml.ScalarNode and implicit[0] and usual == _STR:
            return _tag_of(value)
        return usual

    def ignore_aliases(self, data: Any) -> bool:
        return True
