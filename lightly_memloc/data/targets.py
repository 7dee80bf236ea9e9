"""Labels of a data set's images, without reading the images."""

from typing import Any

import numpy as np
from lightly.data import LightlyDataset
from numpy.typing import NDArray
from torch.utils.data import Subset


def targets_of(dataset: Any) -> NDArray[np.int64] | None:
    """Targets of all images, or None where the data set does not tell.

    Understood are data sets with a ``targets`` attribute (torchvision's), Subsets of
    them and LightlyDataset.

    Args:
        dataset: A map-style data set.
    """
    if isinstance(dataset, Subset):
        targets = targets_of(dataset.dataset)
        return None if targets is None else targets[np.asarray(dataset.indices)]
    if isinstance(dataset, LightlyDataset):
        return targets_of(dataset.dataset)
    targets = getattr(dataset, "targets", None)
    return None if targets is None else np.asarray(targets, dtype=np.int64)
