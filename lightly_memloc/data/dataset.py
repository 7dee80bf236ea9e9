"""Map-style data sets: opening, reading, file names, targets and fingerprints."""

import hashlib
import os
from collections.abc import Callable
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightly.data import LightlyDataset
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import ConcatDataset, Subset

from lightly_memloc.data.digits import Digits
from lightly_memloc.data.image_file import load_image
from lightly_memloc.data.image_list import ImageList, is_list
from lightly_memloc.errors import MemorizationError, UnreadableImageError
from lightly_memloc.runtime import generators_restored, seed_generators

_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_NAMES, _IMAGES = 10_000, 64


def open_dataset(source: str | PathLike[str]) -> Any:
    """Open the embedded data set (``"digits"``), a folder or a list of images.

    Args:
        source: ``"digits"``; a folder with images or with one subfolder per class; or a
            text, CSV or JSONL file that lists image files, as
            :class:`~lightly_memloc.data.ImageList` reads it.

    Returns:
        A map-style data set of ``(image, target, filename)``.

    Raises:
        MemorizationError: If the folder does not exist or contains no images, or the
            list cannot be read or lists files that do not exist.
    """
    if source == "digits":
        return Digits()
    if is_list(source) and not Path(source).is_dir():
        return ImageList(source)
    folder = Path(source)
    if not folder.is_dir():
        raise MemorizationError(
            f"{source} is not a folder. Expected a folder of images; a .txt, .csv or "
            ".jsonl file that lists image files; or 'digits' for the embedded data set."
        )
    try:
        dataset = LightlyDataset(str(folder))
    except (FileNotFoundError, RuntimeError) as error:
        raise MemorizationError(f"{source} contains no images: {error}") from error
    if not len(dataset):
        raise MemorizationError(f"{source} contains no images.")
    if hasattr(dataset.dataset, "loader"):
        dataset.dataset.loader = load_image
    return dataset


def read_image(dataset: Any, index: int) -> tuple[Any, Any, str]:
    """Read an image with its target (-1 if unknown) and its file name.

    Args:
        dataset: A map-style data set of images.
        index: Index of the image.

    Raises:
        UnreadableImageError: If the image cannot be read. The message names the file.
        MemorizationError: If the item of the data set is not an image.
    """
    try:
        item = dataset[index]
        image, *rest = item if isinstance(item, tuple | list) and item else (item,)
        if isinstance(image, Image.Image):
            image.load()
    except _UNREADABLE as error:
        filename = filename_of(dataset, index)
        reason = str(error) or type(error).__name__
        raise UnreadableImageError(
            f"{filename}: cannot be read as an image ({reason}). Repair or remove the "
            "file, or skip unreadable images with skip_unreadable (--skip-unreadable)."
        ) from error
    gives_views = bool(rest) and isinstance(rest[0], Image.Image | Tensor)
    if not isinstance(image, Image.Image | Tensor | np.ndarray) or (
        gives_views and np.ndim(rest[0]) > 1
    ):
        what = "several images" if gives_views else f"a {type(image).__name__}"
        raise MemorizationError(
            f"The data set returned {what} for image {index}; expected a PIL image or a "
            "tensor. If the data set applies a transform, remove it there and pass it as "
            "transform=... instead."
        )
    target = rest[0] if rest else -1
    filename = str(rest[1]) if len(rest) > 1 else filename_of(dataset, index)
    return image, target, filename


def unreadable_images(dataset: Any) -> list[int]:
    """Read every image once and return the indices of the unreadable ones.

    Args:
        dataset: A map-style data set of images.
    """

    def is_unreadable(index: int) -> bool:
        try:
            read_image(dataset, index)
        except UnreadableImageError:
            return True
        return False

    return [index for index in range(len(dataset)) if is_unreadable(index)]


def filename_of(dataset: Any, index: int) -> str:
    """Return the name of an image: its path below the data set's root, else its index.

    Supports LightlyDataset, torchvision's folder data sets, data sets with a
    ``filenames`` attribute, and torch's Subset and ConcatDataset of these.

    Args:
        dataset: A map-style data set.
        index: Index of the image.
    """
    if isinstance(dataset, Subset):
        return filename_of(dataset.dataset, int(dataset.indices[index]))
    if isinstance(dataset, ConcatDataset):
        for part in dataset.datasets:
            if index < len(part):  # type: ignore[arg-type]
                return filename_of(part, index)
            index -= len(part)  # type: ignore[arg-type]
    if isinstance(dataset, LightlyDataset):
        return str(dataset.index_to_filename(dataset.dataset, index))
    if hasattr(dataset, "filenames"):
        return str(dataset.filenames[index])
    if hasattr(dataset, "samples") and hasattr(dataset, "root"):
        return str(os.path.relpath(dataset.samples[index][0], dataset.root))
    return str(index)


def targets_of(dataset: Any) -> NDArray[np.int64] | None:
    """Return the targets of all images, or None if the data set does not list them.

    Supports data sets with a ``targets`` attribute (such as torchvision's),
    LightlyDataset, and torch's Subset and ConcatDataset of these.

    Args:
        dataset: A map-style data set.

    Returns:
        Class indices, shape ``(N,)``; -1 for images without a label, whose target is
        negative, None, NaN or an empty string. None as well if the targets are no
        class indices, but paths, names, real numbers or several values per image.
    """
    if isinstance(dataset, Subset | ConcatDataset):
        return _of_parts(dataset, targets_of)
    if isinstance(dataset, LightlyDataset):
        return targets_of(dataset.dataset)
    targets = getattr(dataset, "targets", None)
    return None if targets is None else _class_indices(targets)


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, NA or an empty string."""
    return np.ndim(value) == 0 and bool(pd.isna(value) or value == "")


def _class_indices(targets: Any) -> NDArray[np.int64] | None:
    try:
        given = np.asarray(targets)
    except ValueError:
        return None
    if given.ndim != 1:
        return None
    if not np.issubdtype(given.dtype, np.integer):
        # As they were given: numpy turns numbers beside a text into texts.
        listed = np.asarray(targets, dtype=object)
        numbers = [-1.0 if is_missing(of) else of for of in listed]
        if not all(_is_whole(number) for number in numbers):
            return None
        given = np.array([int(number) for number in numbers])
    return np.maximum(given.astype(np.int64), -1)


def _is_whole(number: Any) -> bool:
    is_single = np.ndim(number) == 0 and isinstance(number, Real | Tensor)
    return is_single and bool(number % 1 == 0)


def groups_of(dataset: Any) -> NDArray[Any] | None:
    """Return the groups of all images, or None if the data set does not list them.

    Supports data sets with an attribute ``groups`` that has one value per image, such
    as those of :func:`open_dataset` for a list of image files with a column ``group``,
    and torch's Subset and ConcatDataset of these. The same group in two data sets of a
    ConcatDataset is one group.

    Args:
        dataset: A map-style data set.

    Returns:
        Groups, shape ``(N,)``: patients, scenes, bursts, ...
    """
    if isinstance(dataset, Subset | ConcatDataset):
        return _of_parts(dataset, groups_of)
    listed: Any = getattr(dataset, "groups", None)
    has_one_per_image = hasattr(listed, "__len__") and len(listed) == len(dataset)
    return np.asarray(listed) if has_one_per_image else None


def _of_parts(
    dataset: "Subset[Any] | ConcatDataset[Any]",
    listed: Callable[[Any], NDArray[Any] | None],
) -> NDArray[Any] | None:
    """What is listed of the images of a subset, or of all parts of a concatenation."""
    if isinstance(dataset, Subset):
        whole = listed(dataset.dataset)
        return None if whole is None else whole[np.asarray(dataset.indices)]
    parts = [listed(part) for part in dataset.datasets]
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None


def fingerprint(dataset: Any) -> str:
    """Compute the fingerprint of a data set; equal images in equal order share one.

    It covers the number of images, up to 10,000 file names and the pixels of up to 64
    images, evenly spread. Different fingerprints prove that data sets differ; equal
    ones do not prove that they are equal. Moving a folder does not change the
    fingerprint.

    Args:
        dataset: Map-style data set of images without a transform of its own.

    Returns:
        16 hexadecimal digits.

    Raises:
        MemorizationError: If an item of the data set is not an image.
    """
    digest = hashlib.sha256(str(len(dataset)).encode())
    for index in _spread(len(dataset), _NAMES):
        digest.update(os.fsencode(filename_of(dataset, index)) + b"\0")
    with generators_restored():
        for index in _spread(len(dataset), _IMAGES):
            seed_generators(index)
            digest.update(_pixels(dataset, index))
    return digest.hexdigest()[:16]


def _spread(n: int, at_most: int) -> list[int]:
    spread: list[int] = np.linspace(0, n - 1, min(n, at_most)).astype(int).tolist()
    return spread


def _pixels(dataset: Any, index: int) -> bytes:
    try:
        image, *_ = read_image(dataset, index)
    except UnreadableImageError:
        return b"unreadable"
    mode = image.mode if isinstance(image, Image.Image) else ""
    pixels = np.asarray(image)
    return f"{mode}{pixels.shape}{pixels.dtype}".encode() + pixels.tobytes()
