"""Targets of a data set's images, without reading the images."""

from typing import Any

import numpy as np
from lightly.data import LightlyDataset
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset, Subset


def targets_of(dataset: Any) -> NDArray[np.int64] | None:
    """Return the targets of all images, or None if the data set does not list them.

    Supports data sets with a ``targets`` attribute (such as torchvision's),
    LightlyDataset, and torch's Subset and ConcatDataset of these.

    Args:
        dataset: A map-style data set.

    Returns:
        Class indices, shape ``(N,)``.
    """
    if isinstance(dataset, Subset):
        targets = targets_of(dataset.dataset)
        return None if targets is None else targets[np.asarray(dataset.indices)]
    if isinstance(dataset, ConcatDataset):
        parts = [targets_of(part) for part in dataset.datasets]
        known = [part for part in parts if part is not None]
        return np.concatenate(known) if len(known) == len(parts) else None
    if isinstance(dataset, LightlyDataset):
        return targets_of(dataset.dataset)
    targets = getattr(dataset, "targets", None)
    return None if targets is None else np.asarray(targets, dtype=np.int64)
