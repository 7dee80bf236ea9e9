"""The tables of a result; large ones are read from their files when asked for."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lightly_memloc.results.table_file import MANY_ROWS, read_table, refuse_missing


@dataclass(frozen=True)
class SavedTable:
    """A table in a file that was not read yet.

    Attributes:
        path: The file.
        description: What ``write_table`` returned.
    """

    path: Path
    description: dict[str, Any]

    def __len__(self) -> int:
        return int(self.description["rows"])

    def read(self) -> pd.DataFrame:
        """Read the table.

        Raises:
            MemorizationError: If the file is missing or is not the one that was written.
        """
        return read_table(self.path, self.description)


class Tables(Mapping[str, pd.DataFrame]):
    """Tables by name, read-only.

    Args:
        tables: The tables, which are copied. Those that were not read are read when
            they are asked for.
    """

    def __init__(self, tables: "Mapping[str, pd.DataFrame | SavedTable]") -> None:
        given = tables._tables if isinstance(tables, Tables) else tables
        self._tables: dict[str, pd.DataFrame | SavedTable] = {
            name: table if isinstance(table, SavedTable) else table.copy()
            for name, table in given.items()
        }

    def __getitem__(self, name: str) -> pd.DataFrame:
        table = self._tables[name]
        if isinstance(table, SavedTable):
            table = self._tables[name] = table.read()
        return table

    def __contains__(self, name: object) -> bool:
        return name in self._tables

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def __or__(self, other: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        return {**self, **other}

    def types(self, name: str) -> dict[str, str]:
        """Return the type of each column of a table, without reading it.

        Args:
            name: The table's name.

        Returns:
            By column, ``"number"`` or ``"other"``.
        """
        table = self._tables[name]
        if isinstance(table, SavedTable):
            kinds = zip(
                table.description["columns"], table.description["types"], strict=True
            )
            return {c: "other" if t in ("str", "json") else "number" for c, t in kinds}
        return {
            str(column): "number" if dtype.kind in "biuf" else "other"
            for column, dtype in table.dtypes.items()
        }

    def n_rows(self, name: str) -> int:
        """Return the number of rows of a table, without reading it."""
        return len(self._tables[name])


def saved_table(path: Path, description: dict[str, Any]) -> pd.DataFrame | SavedTable:
    """Return a saved table, or, if it has many rows, where to read it.

    Args:
        path: The file.
        description: What ``write_table`` returned.

    Raises:
        MemorizationError: If the file is missing; or, if it is read, if it is not the
            one that was written.
    """
    saved = SavedTable(path, description)
    if len(saved) < MANY_ROWS:
        return saved.read()
    refuse_missing(path)
    return saved
