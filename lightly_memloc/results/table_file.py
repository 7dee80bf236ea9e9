"""A table as a CSV file, with a description that makes it load exactly."""

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lightly_memloc.errors import MemorizationError

# Types of columns by numpy's kinds. All others are texts, or anything as JSON.
_TYPES = {"f": "float64", "i": "int64", "u": "int64", "b": "bool"}


def write_table(table: pd.DataFrame, path: Path) -> dict[str, Any]:
    """Write a table to a CSV file.

    Args:
        table: The table.
        path: The file.

    Returns:
        What :func:`read_table` needs to load it exactly: the names of its ``columns``,
        their ``types``, the number of ``rows``, and the file's ``sha256``.
    """
    columns = [_column(table.iloc[:, i]) for i in range(table.shape[1])]
    written = pd.DataFrame({i: values for i, (_, values) in enumerate(columns)})
    written.columns = table.columns
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        written.to_csv(
            file, index=False, lineterminator="\n", quoting=_quoting(written, columns)
        )
    return {
        "columns": list(table.columns),
        "types": [kind for kind, _ in columns],
        "rows": len(table),
        "sha256": _digest(path),
    }


def read_table(path: Path, description: dict[str, Any]) -> pd.DataFrame:
    """Read a table that :func:`write_table` wrote.

    Args:
        path: The CSV file.
        description: What ``write_table`` returned.

    Returns:
        The table, with the values that were written. Numbers have double precision.

    Raises:
        MemorizationError: If the file is missing or is not the one that was written.
    """
    if not path.is_file():
        raise MemorizationError(
            f"{path} is missing, a table of the result beside it. Restore the file, or "
            "measure again."
        )
    if _digest(path) != description["sha256"]:
        raise MemorizationError(
            f"{path} is not the table that the result beside it was saved with: the file "
            "was changed, or saving was interrupted. Restore the file, or measure again."
        )
    columns = description["columns"]
    if not columns:
        return pd.DataFrame(index=range(description["rows"]))
    # As texts, by position: names need not be unique, and "NA" is a file name.
    read = pd.read_csv(
        path,
        header=0,
        names=[str(i) for i in range(len(columns))],
        index_col=False,
        dtype="object",
        na_filter=False,
        skip_blank_lines=False,
        encoding="utf-8",
        encoding_errors="surrogateescape",
    )
    table = pd.DataFrame(
        {i: _loaded(read[str(i)], kind) for i, kind in enumerate(description["types"])}
    )
    table.columns = pd.Index(columns)
    return table


def json_number(value: Any) -> Any:
    """Return the plain numbers of numpy ones, for ``json.dumps(default=...)``."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be saved as JSON.")


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
    plain = [
        None if pd.api.types.is_scalar(value) and pd.isna(value) else value
        for value in listed
    ]
    texts = [json.dumps(value, default=json_number) for value in plain]
    return "json", pd.Series(texts, dtype=object)


def _loaded(texts: "pd.Series[Any]", kind: str) -> "pd.Series[Any]":
    """The values of a column; Python parses each number exactly."""
    if kind == "float64":
        return texts.where(texts != "", "nan").astype("float64")
    if kind == "int64":
        return texts.astype("int64")
    if kind == "bool":
        return texts == "True"
    if kind == "str":
        return pd.Series(texts.tolist()) if len(texts) else texts.astype("str")
    loaded = pd.Series([json.loads(text) for text in texts])
    return loaded.astype("float64") if loaded.isna().all() else loaded


def _quoting(table: pd.DataFrame, columns: list[tuple[str, Any]]) -> Any:
    """How texts are quoted: all, if a carriage return alone would end a line."""
    texts = [values for kind, values in columns if kind == "str"]
    names = any("\r" in str(name) for name in table.columns)
    if names or any("\r" in text for values in texts for text in values):
        return csv.QUOTE_NONNUMERIC
    return csv.QUOTE_MINIMAL


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
