"""Columns in an ``.npz`` file of NumPy: numbers in their bits, texts as JSON."""

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any] | list[str]

# Types that take half the room, where they have the same values.
_SMALLER = {"f": np.float32, "i": np.int32}

# Almost random bits are hardly smaller at the higher levels, but take longer.
_LEVEL = 1


def write_columns(columns: Mapping[str, Column], path: Path) -> None:
    """Write columns to a file, which ``numpy.load`` opens, too.

    Args:
        columns: Numbers as an array and texts as a list, by a name that a file may have.
        path: The file.
    """
    with zipfile.ZipFile(
        path, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL
    ) as archive:
        for name, values in columns.items():
            if isinstance(values, list):
                with archive.open(f"{name}.json", "w", force_zip64=True) as member:
                    member.write(json.dumps(values).encode())
            else:
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(
                        member, _in_less_room(values), allow_pickle=False
                    )


def read_columns(content: bytes) -> dict[str, Column]:
    """Read columns that :func:`write_columns` wrote.

    Args:
        content: What the file contains.

    Returns:
        The columns in their order. Numbers have the values that were written, but maybe
        a smaller type.
    """
    columns: dict[str, Column] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for member in archive.namelist():
            name, kind = member.rsplit(".", 1)
            with archive.open(member) as file:
                columns[name] = (
                    json.load(file)
                    if kind == "json"
                    else np.lib.format.read_array(file, allow_pickle=False)
                )
    return columns


def _in_less_room(values: NDArray[Any]) -> NDArray[Any]:
    smaller = _SMALLER.get(values.dtype.kind)
    if smaller is None:
        return values
    with np.errstate(over="ignore"):
        of_smaller = values.astype(smaller)
    is_same = np.array_equal(of_smaller, values, equal_nan=values.dtype.kind == "f")
    return of_smaller if is_same else values
