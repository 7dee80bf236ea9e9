"""A table as a file, with a description that makes it load exactly.

Tables of many rows are ``.npz`` files: as CSV, they would take minutes to write, and
several times the room.
"""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.results.column_file import Column, read_columns, write_columns
from lightly_memloc.runtime import to_json

MANY_ROWS = 100_000

# Types of columns by numpy's kinds. All others are texts, or anything as JSON.
_TYPES = {"f": "float64", "i": "int64", "u": "int64", "b": "bool"}


def write_table(table: pd.DataFrame, path: Path) -> dict[str, Any]:
    """Write a table to a file of the format that :func:`format_of` says.

    Args:
        table: The table.
        path: The file.

    Returns:
        What :func:`read_table` needs to load it exactly: the file's ``format``, the
        names of its ``columns``, their ``types``, the number of ``rows``, and the file's
        ``sha256``.
    """
    columns = [_column(table.iloc[:, i]) for i in range(table.shape[1])]
    kind_of_file = format_of(len(table))
    if kind_of_file == "csv":
        _write_csv(table, columns, path)
    else:
        write_columns(
            {
                name: values if isinstance(values, np.ndarray) else values.tolist()
                for name, (_, values) in zip(_members(table), columns, strict=True)
            },
            path,
        )
    return {
        "format": kind_of_file,
        "columns": list(table.columns),
        "types": [kind for kind, _ in columns],
        "rows": len(table),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def read_table(path: Path, description: dict[str, Any]) -> pd.DataFrame:
    """Read a table that :func:`write_table` wrote.

    Args:
        path: The file.
        description: What ``write_table`` returned.

    Returns:
        The table, with the values that were written. Numbers have double precision.

    Raises:
        MemorizationError: If the file is missing or is not the one that was written.
    """
    refuse_missing(path)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != description["sha256"]:
        raise MemorizationError(
            f"{path} is not the table that the result beside it was saved with: the file "
            "was changed, or saving was interrupted. Restore the file, or measure again."
        )
    columns, types = description["columns"], description["types"]
    if not columns:
        return pd.DataFrame(index=range(description["rows"]))
    if file_format(description) == "csv":
        read = _read_csv(content, len(columns))
    else:
        read = list(read_columns(content).values())
    table = pd.DataFrame(
        {
            i: of.astype(kind) if isinstance(of, np.ndarray) else _loaded(of, kind)
            for i, (of, kind) in enumerate(zip(read, types, strict=True))
        }
    )
    table.columns = pd.Index(columns)
    return table


def format_of(n_rows: int) -> str:
    """Return the format of a table's file, which is also the end of its name."""
    return "npz" if n_rows >= MANY_ROWS else "csv"


def file_format(description: dict[str, Any]) -> str:
    """Return the format of the file that a description is of."""
    # Files were CSV before descriptions said so.
    return str(description.get("format", "csv"))


def refuse_missing(path: Path) -> None:
    """Refuse a table without its file.

    Args:
        path: The file.

    Raises:
        MemorizationError: If there is no such file.
    """
    if not path.is_file():
        raise MemorizationError(
            f"{path} is missing, a table of the result beside it. Restore the file, or "
            "measure again."
        )


def _column(column: "pd.Series[Any]") -> tuple[str, Any]:
    """Type of a column, and its values as they are written."""
    values = column.to_numpy()
    kind = _TYPES.get(values.dtype.kind)
    if kind is not None and np.can_cast(values.dtype, kind):
        return kind, values.astype(kind)
    listed = values.tolist()
    if all(isinstance(value, str) for value in listed):
        return "str", pd.Series(listed, dtype=object)
    # Missing values among texts, or texts among numbers.
    known = [
        None if pd.api.types.is_scalar(value) and pd.isna(value) else value
        for value in listed
    ]
    texts = [to_json(value) for value in known]
    return "json", pd.Series(texts, dtype=object)


def _write_csv(table: pd.DataFrame, columns: list[tuple[str, Any]], path: Path) -> None:
    written = pd.DataFrame({i: values for i, (_, values) in enumerate(columns)})
    written.columns = table.columns
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        written.to_csv(
            file, index=False, lineterminator="\n", quoting=_quoting(written, columns)
        )


def _read_csv(content: bytes, n_columns: int) -> list[Column]:
    """The columns as texts, by position: names need not be unique, "NA" is a name."""
    read = pd.read_csv(
        io.BytesIO(content),
        header=0,
        names=[str(i) for i in range(n_columns)],
        index_col=False,
        dtype="object",
        na_filter=False,
        skip_blank_lines=False,
        encoding="utf-8",
        encoding_errors="surrogateescape",
    )
    return [read[str(i)].tolist() for i in range(n_columns)]


def _members(table: pd.DataFrame) -> list[str]:
    """Names of the columns in an archive: their own, unless these do not fit in one."""
    names = [str(name) for name in table.columns]
    fit = all(name.isprintable() for name in names) and len({*names}) == len(names)
    return names if fit else [str(i) for i in range(len(names))]


def _loaded(texts: list[str], kind: str) -> "pd.Series[Any]":
    """The values of a column of texts; Python parses each number exactly."""
    if kind == "float64":
        known = [text or "nan" for text in texts]
        return pd.Series(known, dtype=object).astype("float64")
    if kind == "int64":
        return pd.Series(texts, dtype=object).astype("int64")
    if kind == "bool":
        return pd.Series([text == "True" for text in texts], dtype="bool")
    if kind == "str":
        return pd.Series(texts, dtype=None if texts else "str")
    loaded = pd.Series([json.loads(text) for text in texts])
    return loaded.astype("float64") if loaded.isna().all() else loaded


def _quoting(table: pd.DataFrame, columns: list[tuple[str, Any]]) -> Any:
    """How texts are quoted: all, if a carriage return alone would end a line."""
    texts = [values for kind, values in columns if kind == "str"]
    names = any("\r" in str(name) for name in table.columns)
    if names or any("\r" in text for values in texts for text in values):
        return csv.QUOTE_NONNUMERIC
    return csv.QUOTE_MINIMAL
