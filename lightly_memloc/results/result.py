"""What a measurement returns: settings and named tables, which are saved and loaded."""

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version as installed_version
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
import pandas as pd

from lightly_memloc.errors import MemorizationError
from lightly_memloc.results.table_file import (
    file_format,
    format_of,
    write_table,
)
from lightly_memloc.results.tables import Tables, saved_table
from lightly_memloc.runtime import not_finite, plain, replacing, to_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FILE = "result.json"

# Raised when the layout of a saved result changes. Schema 1 did not name itself; 1 and 2
# contain the tables' rows in the JSON file, 3 describes the CSV files.
_SCHEMA = 3
_FIRST_VERSION = "0.1.0"

# Columns of text; others that are required contain numbers.
_TEXTS = {
    *("layer", "kind", "other", "index", "filename", "role", "class"),
    *("strategy", "trial", "where", "encoder", "probe", "score", "run"),
}

# Tables that list images, of which there may be none.
_LISTS = {"samples", "distances", "images", "top_images"}

# Columns that results of some versions lack, but which contain numbers.
_NUMBERS = {"null", "agreement", "weak", "q", "by_chance", "reliability"}
_ENDINGS = (
    "_difference",
    "_effect",
    "_low",
    "_high",
    "_p",
    "_p_adjusted",
    "_q",
    "_error",
    "_shrunk",
)

_BELONGS = ("fingerprints", "source")

# Members and held-out images whose blind test has a smaller p-value differ in kind.
_DIFFERENT = 0.05

R = TypeVar("R", bound="Result")


def estimated(*names: str) -> tuple[str, ...]:
    """Return the columns of estimates: each with interval and p-value.

    Args:
        names: Their names.
    """
    return tuple(f"{n}{end}" for n in names for end in ("", "_low", "_high", "_p"))


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Result(ABC):
    """A measurement's result.

    Settings and tables are copied and read-only: ``dataclasses.replace`` makes a result
    with others.

    Attributes:
        settings: Everything the measurement was asked for, and what it left out.
        tables: The result's tables by name. Copy a table before you change it, or take
            it from :meth:`to_pandas`.
        version: Version of lightly-memloc that made the result.
    """

    kind: ClassVar[str] = ""
    first: ClassVar[str] = ""
    # What every version has saved: settings, and columns by table. Tables that a result
    # may lack are in ``optional``.
    required_settings: ClassVar[tuple[str, ...]] = ()
    required: ClassVar[dict[str, tuple[str, ...]]] = {}
    optional: ClassVar[dict[str, tuple[str, ...]]] = {}
    kinds: ClassVar[dict[str, type["Result"]]] = {}

    settings: Mapping[str, Any]
    tables: Tables
    version: str

    def __init__(
        self,
        settings: Mapping[str, Any],
        tables: Mapping[str, pd.DataFrame],
        version: str | None = None,
    ) -> None:
        fields = {
            "settings": MappingProxyType(copy.deepcopy(dict(settings))),
            "tables": Tables(tables),
            "version": version or installed_version("lightly-memloc"),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __init_subclass__(cls) -> None:
        Result.kinds[cls.kind] = cls

    def __reduce__(self) -> tuple[Any, ...]:
        # Read-only mappings cannot be pickled.
        return type(self), (dict(self.settings), dict(self.tables), self.version)

    def __repr__(self) -> str:
        tables = ", ".join(
            f"{name}: {self.tables.n_rows(name)} rows" for name in self.tables
        )
        return f"{type(self).__name__}({tables})"

    def to_pandas(self, table: str | None = None) -> pd.DataFrame:
        """Return a copy of one of the result's tables.

        Args:
            table: The table's name; by default the first of those that the class lists.

        Raises:
            MemorizationError: If the result has no such table.
        """
        name = table or self.first or next(iter(self.tables), "")
        if name not in self.tables:
            raise MemorizationError(
                f"This result of {self.kind} has no table {name!r}: expected one of "
                f"{list(self.tables)}."
            )
        return self.tables[name].copy()

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

    def belongs_to(self) -> dict[str, Any]:
        """Return the settings that say what the result is of, for results made from it.

        They are ``fingerprints`` of weights, images and split; none, if it has none.
        """
        return {name: self.settings[name] for name in _BELONGS if name in self.settings}

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a document of plain JSON types.

        Numbers that are not finite are null. Those of the settings, and infinite ones of
        the tables, are listed in ``not_finite``, such as ``tables.layers.delta``; in
        tables, NaN stands for what was not measured.
        """
        tables: dict[str, Any] = {}
        infinite = []
        for name, table in self.tables.items():
            tables[name] = {"columns": list(table.columns), "rows": _rows(table)}
            infinite += [f"tables.{name}.{column}" for column in _infinite(table)]
        return self._document(tables, infinite)

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the result to a folder: each table as a file, and ``result.json``.

        Tables are CSV files. Those of 100,000 rows or more are ``.npz`` files of NumPy,
        with the columns as arrays; ``to_pandas(table).to_csv(file)`` exports one.
        The JSON file contains the settings and describes the tables' files. It is
        written last: :func:`load_result` refuses a folder that an interrupted ``save``
        left with files of two results.

        Args:
            folder: The folder. It is created if need be; an earlier result there is
                replaced.
        """
        path = Path(folder)
        before = _table_files(path)
        written = {
            name: f"{name}.{format_of(self.tables.n_rows(name))}"
            for name in self.tables
        }
        # Files are replaced once all are written, in reverse order.
        with ExitStack() as files:
            head = files.enter_context(replacing(path / _FILE))
            described = {
                name: write_table(
                    self.tables[name], files.enter_context(replacing(path / file))
                )
                for name, file in written.items()
            }
            document = self._document(described)
            head.write_text(to_json(document) + "\n", encoding="utf-8")
        for file in before.difference(written.values()):
            (path / file).unlink(missing_ok=True)

    @property
    def differs_in_kind(self) -> bool:
        """Whether the blind test tells members from held-out images.

        A classifier on covariates, which know nothing of the encoder's training, then
        separates them with p < 0.05. False if they were not tested.
        """
        blind = self.settings.get("blind")
        return blind is not None and bool(blind["auc_p"] < _DIFFERENT)

    def lacks(self) -> str | None:
        """Say what a saved result lacks that every version has saved, if anything.

        It may have more: settings, tables and columns that are unknown are kept.
        """
        for name in self.required_settings:
            if name not in self.settings:
                return f"the setting {name!r}"
        for name, columns in (self.required | self.optional).items():
            if name not in self.tables:
                if name in self.required:
                    return f"the table {name!r}"
                continue
            if name not in _LISTS and not self.tables.n_rows(name):
                return f"rows in the table {name!r}"
            types = self.tables.types(name)
            upper = [f"{of[:-4]}_high" for of in types if of.endswith("_low")]
            for column in (*columns, *upper):
                if column not in types:
                    return f"the column {column!r} of the table {name!r}"
            for column, of_type in types.items():
                is_number = (
                    column in columns
                    or column in _NUMBERS
                    or f"{column}_low" in types
                    or column.endswith(_ENDINGS)
                )
                if is_number and column not in _TEXTS and of_type != "number":
                    return f"numbers in the column {column!r} of the table {name!r}"
        return None

    def _document(
        self, tables: dict[str, Any], infinite: Sequence[str] = ()
    ) -> dict[str, Any]:
        settings = dict(self.settings)
        lost = [*not_finite(settings, "settings"), *infinite]
        return {
            "result": self.kind,
            "schema": _SCHEMA,
            "version": self.version,
            "settings": plain(settings),
            **({"not_finite": lost} if lost else {}),
            "tables": tables,
        }

    def _by_layer(self, metric: str, column: str) -> dict[str, float]:
        """Scalars of a column of the table of layers."""
        table = self.tables["layers"]
        values = table.set_index("layer")[column].dropna()
        return {f"{metric}/{layer}": float(value) for layer, value in values.items()}


def load_result(folder: str | PathLike[str]) -> Result:
    """Read a result that was saved to a folder.

    Results of earlier versions are read, too.

    Args:
        folder: The folder given to ``save``.

    Returns:
        The result, of the class it had.

    Raises:
        MemorizationError: If the folder contains no result, one of an unknown kind or
            schema, or tables that are missing or were changed.
    """
    path = Path(folder) / _FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        written_by = str(document.get("version", _FIRST_VERSION))
        schema = document.get("schema", 1)
        if schema not in range(1, _SCHEMA + 1):
            raise MemorizationError(
                f"{path} was written by lightly-memloc {written_by} with result schema "
                f"{schema}, but this version reads schemas up to {_SCHEMA}. Install "
                f"lightly-memloc {written_by} or newer to read it."
            )
        if document["result"] not in Result.kinds:
            raise MemorizationError(
                f"{folder} contains no saved result of a known kind: expected one of "
                f"{sorted(Result.kinds)}, got {document['result']!r}. If another package "
                "defines it, import that package first."
            )
        tables = {
            name: _table(table["rows"], table["columns"])
            if schema < _SCHEMA
            else saved_table(path.with_name(f"{name}.{file_format(table)}"), table)
            for name, table in document["tables"].items()
        }
        kind = Result.kinds[document["result"]]
        result = kind(_migrated(document["settings"]), Tables(tables), written_by)
        lacks = result.lacks()
        if lacks is not None:
            raise MemorizationError(
                f"{path} lacks {lacks}, which every version of lightly-memloc saves: the "
                "file was changed. Restore it, or measure again."
            )
        return result
    except MemorizationError:
        raise
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise MemorizationError(
            f"{folder} contains no saved result: expected a file {_FILE} as the results' "
            f"save() writes it ({error})."
        ) from error


def _migrated(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the names that they have now."""
    # Curations of version 0.1.0 named what they were made from; now it is what the
    # user gave.
    is_old = isinstance(settings.get("source"), str)
    return {k: v for k, v in settings.items() if not (is_old and k == "source")}


def find_result(folder: str | PathLike[str], result_class: type[R]) -> R | None:
    """Read a result from a folder that may contain none.

    Args:
        folder: The folder.
        result_class: The class of the result.

    Returns:
        The result; None if the folder contains none, or one of another class.

    Raises:
        MemorizationError: If the folder's result cannot be read.
    """
    if not (Path(folder) / _FILE).is_file():
        return None
    result = load_result(folder)
    return result if isinstance(result, result_class) else None


def _table_files(path: Path) -> set[str]:
    """The tables' files of a result that was saved to a folder."""
    try:
        tables = json.loads((path / _FILE).read_text(encoding="utf-8"))["tables"]
        return {f"{name}.{file_format(table)}" for name, table in tables.items()}
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return set()


def _table(rows: list[list[Any]], columns: list[str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=columns)
    empty = [column for column in columns if table[column].isna().all()]
    return table.astype(dict.fromkeys(empty, "float64"))


def _rows(table: pd.DataFrame) -> list[list[Any]]:
    columns = [_values(table[column].to_numpy()) for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _values(values: Any) -> list[Any]:
    listed: list[Any] = values.tolist()
    is_plain = isinstance(values, np.ndarray) and values.dtype.kind in "biu"
    return listed if is_plain else plain(listed)


def _infinite(table: pd.DataFrame) -> list[str]:
    return [
        str(table.columns[i])
        for i, kind in enumerate(table.dtypes)
        if kind.kind == "f" and np.isinf(table.iloc[:, i].to_numpy()).any()
    ]
