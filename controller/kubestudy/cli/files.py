"""The Studies in a manifest file, each checked as the API server and the controller would."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubestudy.api.base import API_VERSION, GROUP
from kubestudy.api.field_errors import did_you_mean, listed
from kubestudy.api.manifests import ManifestError, load_all
from kubestudy.api.study import Study
from kubestudy.api.validation import FieldError, InvalidObject, parse_study
from kubestudy.core.acceptance import problems

_BEGINNING = f"a Study begins with apiVersion: {API_VERSION} and kind: Study"


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
    label = "stdin" if file == "-" else file or "''"
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        documents = [item for d in load_all(text) for item in _items(d.data)]
    except ManifestError as error:
        return [Checked(label, "", errors=[FieldError("", str(error))])]
    except UnicodeDecodeError as error:
        wrong = f"is not UTF-8: {error.reason}; save it as UTF-8"
        return [Checked(label, "", errors=[FieldError("", wrong)])]
    except OSError as error:
        return [Checked(label, "", errors=[FieldError("", _no_file(Path(file), error))])]
    if not documents:
        return [Checked(label, "", errors=[FieldError("", f"holds no object; {_BEGINNING}")])]
    many = len(documents) > 1
    return [
        _check(f"{label}[{i}]" if many else label, document) for i, document in enumerate(documents)
    ]


def _no_file(file: Path, error: OSError) -> str:
    """Why a file cannot be read, and which one may be meant."""
    why = error.strerror or str(error)
    folder = file if file.is_dir() else file.parent
    beside = [p.name for p in folder.iterdir() if _is_manifest(p)] if folder.is_dir() else []
    if not file.name or not isinstance(error, FileNotFoundError | IsADirectoryError):
        return f"{why}; give a file with a Study"
    if file.is_dir():
        return f"{why}; give a file{f' of it: {listed(sorted(beside))}' if beside else ''}"
    return f"{why}{did_you_mean(file.name, beside)}"


def _is_manifest(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml", ".json") and path.is_file()


def _items(data: Any) -> Iterator[Any]:
    """The objects of a document, which may be a List."""
    items = data.get("items") if isinstance(data, dict) and data.get("kind") == "List" else None
    if isinstance(items, list):
        yield from items
    else:
        yield data


def _check(label: str, document: Any) -> Checked:
    if not isinstance(document, dict):
        return Checked(label, "", errors=[FieldError("", f"is not an object; {_BEGINNING}")])
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
