"""File names of a data set's images, without reading them."""

import os
from typing import Any

from lightly.data import LightlyDataset
from torch.utils.data import ConcatDataset, Subset


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
