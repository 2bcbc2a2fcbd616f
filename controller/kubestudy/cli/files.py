"""The Studies in a manifest file, each checked as the API server and the controller would."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubestudy.api.base import GROUP
from kubestudy.api.manifests import ManifestError, load_all
from kubestudy.api.study import Study
from kubestudy.api.validation import FieldError, InvalidObject, parse_study
from kubestudy.core.acceptance import problems


@dataclass
class Checked:
    """One document of a file.

    Attributes:
        label: The file, and which document where there are several.
        title: Its kind and name.
        study: The Study; None where it is none, or not a valid one.
        errors: What is wrong with it.
    """

    label: str
    title: str
    study: Study | None = None
    errors: list[FieldError] = field(default_factory=list)


def check(file: str) -> list[Checked]:
    """Reads a file, ``-`` being standard input, and checks every document of it."""
    label = "stdin" if file == "-" else file
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        documents = [item for d in load_all(text) for item in _items(d.data)]
    except ManifestError as error:
        return [Checked(label, "", errors=[FieldError("", str(error))])]
    except UnicodeDecodeError as error:
        return [Checked(label, "", errors=[FieldError("", f"is not UTF-8: {error.reason}")])]
    except OSError as error:
        return [Checked(label, "", errors=[FieldError("", error.strerror or str(error))])]
    if not documents:
        return [Checked(label, "", errors=[FieldError("", "holds no object")])]
    many = len(documents) > 1
    return [
        _check(f"{label}[{i}]" if many else label, document) for i, document in enumerate(documents)
    ]


def _items(data: Any) -> Iterator[Any]:
    """The objects of a document, which may be a List."""
    if isinstance(data, dict) and data.get("kind") == "List":
        yield from data.get("items") or ()
    else:
        yield data


def _check(label: str, document: Any) -> Checked:
    if not isinstance(document, dict):
        return Checked(label, "", errors=[FieldError("", "is not an object")])
    kind, group = document.get("kind"), str(document.get("apiVersion", "")).split("/")[0]
    metadata = document.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    checked = Checked(label, f"{kind} {name}".strip())
    katib = group == "kubeflow.org" and kind == "Experiment"
    if (
        not katib
        and kind != "Study"
        and group != GROUP
        and {"apiVersion", "kind"} <= document.keys()
    ):
        return checked  # Somebody else's object: kubectl takes it along.
    try:
        checked.study = parse_study(document)
        checked.errors = problems(checked.study)
    except InvalidObject as error:
        checked.errors = error.errors
    return checked
