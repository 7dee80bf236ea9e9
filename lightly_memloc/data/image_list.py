"""Lists of image files: text, CSV or JSONL files as data sets."""

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import Dataset

from lightly_memloc.data.image_file import load_image
from lightly_memloc.errors import MemorizationError

SUFFIXES = (".txt", ".csv", ".jsonl")

_SHOWN = 3


class ImageList(Dataset[tuple[Any, int, str]]):
    """The image files that a text, CSV or JSONL file lists.

    A text file has one path per line. CSV and JSONL files have a column ``filename``
    and, if they are known, ``label`` and ``group``. Relative paths start at the folder of
    the list. Items are ``(image, target, filename)`` with the filename as it is listed.

    Args:
        path: The list: a file that ends in ``.txt``, ``.csv`` or ``.jsonl``.
        transform: Applied to each image, for example to make training views. By default
            items contain the image itself, as measurements need it.

    Raises:
        MemorizationError: If the list cannot be read or is empty, has no column
            ``filename``, lacks values, lists a file twice, or lists a file that does not
            exist.

    Attributes:
        filenames: The file names as they are listed.
        targets: The class of each image; only if the list has labels. Integer labels
            from 0 are classes, other labels are numbered in ascending order. A negative
            label stands for none: the class is -1.
        classes: Names of the classes; only if the list has labels.
        groups: The group of each image; None if the list has no groups.
    """

    groups: NDArray[Any] | None = None

    def __init__(
        self,
        path: str | PathLike[str],
        transform: Callable[[Image.Image], Any] | None = None,
    ) -> None:
        table = read_list(path)
        self.transform = transform
        self.filenames: list[str] = table["filename"].tolist()
        self._paths = [Path(path).parent / name for name in self.filenames]
        missing = [str(of) for of in self._paths if not of.is_file()]
        if missing:
            raise MemorizationError(
                f"{path} lists {len(missing)} files that do not exist: "
                f"{_some(missing)}. Relative paths start at the folder of the list."
            )
        self._targets = [-1] * len(table)
        if "label" in table:
            self._targets, self.classes = _classes(table["label"])
            self.targets = self._targets
        if "group" in table:
            self.groups = table["group"].to_numpy()

    def __len__(self) -> int:
        return len(self.filenames)

    def __getitem__(self, index: int) -> tuple[Any, int, str]:
        image = load_image(self._paths[index])
        item = image if self.transform is None else self.transform(image)
        return item, self._targets[index], self.filenames[index]


def is_list(source: str | PathLike[str]) -> bool:
    """Whether a path has the name of a list of image files."""
    return Path(source).suffix.lower() in SUFFIXES


def read_list(path: str | PathLike[str]) -> pd.DataFrame:
    """Read a list of image files.

    Args:
        path: A file that ends in ``.txt``, ``.csv`` or ``.jsonl``, in UTF-8.

    Returns:
        One row per image with ``filename`` and, if the list has them, ``label`` and
        ``group``, all as strings.

    Raises:
        MemorizationError: If the list cannot be read or is empty, has no column
            ``filename``, lacks values or lists a file twice.
    """
    path = Path(path)
    table = _read(path)
    if "filename" not in table:
        raise MemorizationError(
            f"{path} has no column 'filename', but {', '.join(map(repr, table.columns))}. "
            "Expected the columns filename and, if they are known, label and group."
        )
    if table.empty:
        raise MemorizationError(f"{path} lists no images.")
    table = table[[name for name in ("filename", "label", "group") if name in table]]
    for name in table.columns:
        empty = np.flatnonzero(table[name].isna() | (table[name].str.strip() == ""))
        if len(empty):
            whose = "" if name == "filename" else f" ({table['filename'][empty[0]]})"
            none = " (-1 for an image without one)" if name == "label" else ""
            raise MemorizationError(
                f"{path} has no {name} for image {empty[0] + 1}{whose} and "
                f"{len(empty) - 1} more. Fill in the column{none}, or leave it out."
            )
    twice = table["filename"][table["filename"].duplicated()].tolist()
    if twice:
        raise MemorizationError(
            f"{path} lists {len(twice)} files more than once: {_some(twice)}."
        )
    return table


def read_groups(path: str | PathLike[str], filenames: list[str]) -> NDArray[Any]:
    """Read the group of each image of a data set.

    Args:
        path: A CSV or JSONL file with the columns ``filename`` and ``group``. It may
            list more images than the data set has.
        filenames: File names of the data set's images, as results show them.

    Returns:
        The groups, as strings, in the order of the file names.

    Raises:
        MemorizationError: If the file cannot be read or lacks an image or a group.
    """
    table = read_list(path)
    if "group" not in table:
        raise MemorizationError(
            f"{path} has no column 'group'. Expected the columns filename and group."
        )
    group_of = dict(zip(table["filename"], table["group"], strict=True))
    missing = [name for name in filenames if name not in group_of]
    if missing:
        raise MemorizationError(
            f"{path} has no group for {len(missing)} of {len(filenames)} images: "
            f"{_some(missing)}. List each image by its path below the data set's folder."
        )
    return np.array([group_of[name] for name in filenames])


def _read(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise MemorizationError(
            f"{path} is no list of images: expected a file that ends in "
            f"{', '.join(SUFFIXES)}."
        )
    try:
        if suffix == ".txt":
            lines = path.read_text(encoding="utf-8-sig").splitlines()
            names = [line.strip() for line in lines if line.strip()]
            return pd.DataFrame({"filename": pd.Series(names, dtype=str)})
        if suffix == ".csv":
            return pd.read_csv(
                path, dtype=str, keep_default_na=False, encoding="utf-8-sig"
            )
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("a line is no JSON object")
        texts = [
            {name: str(value) for name, value in row.items() if value is not None}
            for row in rows
        ]
        return pd.DataFrame(texts, dtype=object)
    except OSError as error:
        raise MemorizationError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise MemorizationError(
            f"{path} cannot be read as a list of images ({error}). Expected UTF-8 text "
            f"in the format of its ending, {suffix}."
        ) from error


def _classes(labels: "pd.Series[str]") -> tuple[list[int], list[str]]:
    labels = labels.mask(labels.str.fullmatch("-[0-9]+"), "-1")
    if labels.str.fullmatch("-1|[0-9]+").all():
        targets = labels.astype(int).tolist()
        return targets, [str(target) for target in range(max(targets) + 1)]
    classes = sorted(set(labels) - {"-1"})
    number = {"-1": -1} | {name: position for position, name in enumerate(classes)}
    return [number[label] for label in labels], classes


def _some(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
