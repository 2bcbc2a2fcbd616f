"""Tables in files: CSV, TSV, JSON lines. Read as they are: "NA" and "null" stay words."""

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubestudy_trial.failures import DataUnavailable, InvalidArgument

Table = dict[str, list[Any]]
"""Columns by name, all of the same length."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON = {".json", ".jsonl", ".ndjson"}


def read_table(path: Path) -> Table:
    """Read a file by its ending.

    Raises:
        DataUnavailable: It cannot be read.
        InvalidArgument: It is not what its ending says.
    """
    ending = path.suffix.lower()
    if ending not in _DELIMITERS and ending not in _JSON:
        known = ", ".join([*_DELIMITERS, *sorted(_JSON)])
        raise InvalidArgument(f"{path}: a data file ends in one of {known}")
    try:
        rows = list(_csv(path, _DELIMITERS[ending]) if ending in _DELIMITERS else _json(path))
    except OSError as error:
        raise DataUnavailable(
            f"{path}: {error.strerror or error} (seen from {Path.cwd()}; "
            "is the volume mounted that holds it?)"
        ) from None
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{path}: is not UTF-8: {error}") from None
    if not rows:
        raise InvalidArgument(f"{path}: has no rows")
    columns = list(rows[0])
    for number, row in enumerate(rows, start=1):
        if row.keys() != rows[0].keys():
            raise InvalidArgument(
                f"{path}: row {number} has the columns {', '.join(row)}, not {', '.join(columns)}"
            )
    return {column: [row[column] for row in rows] for column in columns}


def _csv(path: Path, delimiter: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(sys.maxsize)
    with path.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.reader(lines, delimiter=delimiter)
        try:
            header = next(reader, [])
            for row in filter(None, reader):
                if len(row) != len(header):
                    raise InvalidArgument(
                        f"{path}:{reader.line_num}: {len(row)} values for {len(header)} columns; "
                        "a text with a delimiter, quote or line break in it must be quoted"
                    )
                yield dict(zip(header, row, strict=True))
        except csv.Error as error:
            raise InvalidArgument(f"{path}:{reader.line_num}: {error}") from None


def _json(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InvalidArgument(f"{path}:{number}: {error}") from None
            if not isinstance(row, dict):
                raise InvalidArgument(f"{path}:{number}: each line must be one JSON object")
            yield row
