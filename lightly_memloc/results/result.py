"""What a measurement returns: named tables and the settings that led to them."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FILE = "result.json"

# Raised when what a saved result means changes; schema 1 did not name itself.
_SCHEMA = 2
_FIRST_VERSION = "0.1.0"

R = TypeVar("R", bound="Result")


@dataclass(frozen=True, eq=False, repr=False)
class Result(ABC):
    """A measurement's result.

    Attributes:
        settings: Everything the measurement was asked for, and what it left out.
        tables: The result's tables by name.
        version: Version of lightly-memloc that made the result.
    """

    kind: ClassVar[str] = ""
    kinds: ClassVar[dict[str, type["Result"]]] = {}

    settings: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    version: str = field(default_factory=lambda: version("lightly-memloc"))

    def __init_subclass__(cls) -> None:
        Result.kinds[cls.kind] = cls

    def __repr__(self) -> str:
        tables = ", ".join(
            f"{name}: {len(of)} rows" for name, of in self.tables.items()
        )
        return f"{type(self).__name__}({tables})"

    @abstractmethod
    def scalars(self) -> dict[str, float]:
        """Return numbers to log, named ``metric/layer``; NaN ones are left out."""

    def figures(self) -> "Mapping[str, Figure]":
        """Return the result's figures by name, the main one first.

        Each is drawn when it is first asked for. ``lightly_memloc.report`` has a file
        per result that says which figures there are.
        """
        figures: Mapping[str, Figure] = self._report().figures()
        return figures

    def plot(
        self, name: str | None = None, ax: "Axes | None" = None
    ) -> "tuple[Figure, Axes]":
        """Draw a figure of the result, as ``torchmetrics.Metric.plot`` does.

        Args:
            name: One of ``figures()``; by default the first.
            ax: The matplotlib axes to draw on; by default those of a new figure.

        Returns:
            The figure and its axes.

        Raises:
            MemorizationError: If there is no such figure.
        """
        drawn: tuple[Figure, Axes] = self._report().plot(name, ax)
        return drawn

    def _report(self) -> Any:
        # By name: results are measured and read without what draws them.
        return import_module("lightly_memloc.report").report_of(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a document of plain JSON types (NaN becomes null)."""
        document = {
            "result": self.kind,
            "schema": _SCHEMA,
            "version": self.version,
            "settings": self.settings,
            "tables": {
                name: {"columns": list(table.columns), "rows": _rows(table)}
                for name, table in self.tables.items()
            },
        }
        plain: dict[str, Any] = json.loads(json.dumps(document, default=_number))
        return plain

    def _by_layer(self, metric: str, column: str) -> dict[str, float]:
        """Scalars of a column of the table of layers."""
        table = self.tables["layers"]
        values = table.set_index("layer")[column].dropna()
        return {f"{metric}/{layer}": float(value) for layer, value in values.items()}

    def _stale(self, path: Path) -> list[Path]:
        """CSV files of tables that an earlier result there had and this one lacks."""
        if not (path / _FILE).is_file():
            return []
        try:
            before = load_result(path).tables
        except MemorizationError:
            return []
        return [path / f"{name}.csv" for name in before if name not in self.tables]

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the result to a folder: ``result.json``, and each table as CSV."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for name, table in self.tables.items():
            # A file name may hold bytes that are no text.
            table.to_csv(path / f"{name}.csv", index=False, errors="surrogateescape")
        for stale in self._stale(path):
            stale.unlink(missing_ok=True)
        # The JSON file is what gets loaded: it appears whole or not at all.
        with replacing(path / _FILE) as partial:
            partial.write_text(json.dumps(self.to_dict()) + "\n", encoding="utf-8")


def load_result(folder: str | PathLike[str]) -> Result:
    """Read a result that was saved to a folder.

    Args:
        folder: The folder given to ``save``.

    Returns:
        The result, of the class it had.

    Raises:
        MemorizationError: If the folder contains no result, or one that a newer
            version wrote in a way unknown to this one.
    """
    path = Path(folder) / _FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        written_by = str(document.get("version", _FIRST_VERSION))
        schema = int(document.get("schema", 1))
        if schema > _SCHEMA:
            raise MemorizationError(
                f"{path} was written by lightly-memloc {written_by} with result schema "
                f"{schema}, but this version reads schemas up to {_SCHEMA}. Install "
                f"lightly-memloc {written_by} or newer to read it."
            )
        result = Result.kinds[document["result"]]
        tables = {
            name: _table(table["rows"], table["columns"])
            for name, table in document["tables"].items()
        }
        return result(document["settings"], tables, written_by)
    except MemorizationError:
        raise
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise MemorizationError(
            f"{folder} holds no saved result: expected a file {_FILE} as the results' "
            f"save() writes it ({error})."
        ) from error


def find_result(folder: str | PathLike[str], result_class: type[R]) -> R | None:
    """Read a result from a folder that may hold none.

    Args:
        folder: The folder.
        result_class: The class of the result that is looked for.

    Returns:
        The result; None if the folder holds none, or one of another class.

    Raises:
        MemorizationError: If the folder's result cannot be read.
    """
    if not (Path(folder) / _FILE).is_file():
        return None
    result = load_result(folder)
    return result if isinstance(result, result_class) else None


def _number(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be saved as JSON.")


def _table(rows: list[list[Any]], columns: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=columns)
    empty = [column for column in columns if table[column].isna().all()]
    return table.astype(dict.fromkeys(empty, "float64"))


def _rows(table: pd.DataFrame) -> list[list[Any]]:
    columns = [_plain(table[column].to_numpy()) for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _plain(values: Any) -> list[Any]:
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return [None if np.isnan(value) else value for value in values.tolist()]
    return list(values.tolist())
