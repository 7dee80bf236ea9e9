"""Opening a data set by its name or its folder."""

from os import PathLike
from pathlib import Path
from typing import Any

from lightly.data import LightlyDataset

from lightly_memloc.data.digits import Digits
from lightly_memloc.errors import MemorizationError


def open_dataset(source: str | PathLike[str]) -> Any:
    """Open the embedded data set (``"digits"``) or a folder of images.

    Args:
        source: ``"digits"``, or a folder with images or with one subfolder per class.

    Returns:
        A map-style data set of ``(image, target, filename)``.

    Raises:
        MemorizationError: If the folder does not exist or contains no images.
    """
    if source == "digits":
        return Digits()
    folder = Path(source)
    if not folder.is_dir():
        raise MemorizationError(
            f"{source} is not a folder. Expected a folder of images, or 'digits' for the "
            "embedded data set."
        )
    try:
        dataset = LightlyDataset(str(folder))
    except (FileNotFoundError, RuntimeError) as error:
        raise MemorizationError(f"{source} contains no images: {error}") from error
    if not len(dataset):
        raise MemorizationError(f"{source} contains no images.")
    return dataset
