"""Sums over groups of images, of which the means of any labelling are made."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightly_memloc.functional.resampling import Array

# A variance that is smaller relative to the sum of squares is due to rounding.
_ROUNDING = 1e-12


class GroupSums:
    """Sums over the images of each group, of which resampled means are made.

    Args:
        values: Shape ``(N, L)``.
        group: Number of each image's group, shape ``(N,)``.
        deviations: What the standard error is made of, shape ``(N, L)``; by default
            the values.

    Attributes:
        number: Number of groups.
        total: Sums over all groups.
    """

    def __init__(
        self, values: Array, group: NDArray[np.int64], deviations: Array | None = None
    ) -> None:
        by_group, order = np.sort(group), np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(by_group, prepend=-1))
        sizes = np.bincount(group).astype(np.float64)[:, None]
        sums = np.add.reduceat(values[order], starts, axis=0)
        spread = sums
        if deviations is not None:
            spread = np.add.reduceat(deviations[order], starts, axis=0)
        parts = [np.ones_like(sizes), sizes, sizes**2]
        parts += [sums, spread, spread**2, spread * sizes]
        self._of_groups = np.concatenate(parts, axis=1)
        self.number = len(sizes)
        self.total = self._of_groups.sum(axis=0)

    def drawn(self, times: NDArray[Any]) -> Array:
        """Return the sums over groups that are drawn so often.

        Args:
            times: Shape ``(B, G)``.
        """
        return times.astype(np.float64) @ self._of_groups

    @staticmethod
    def means_and_errors(summed: Array) -> tuple[Array, Array]:
        """Return means over images, and their standard errors over groups.

        Args:
            summed: Sums over some of the groups, of any leading shape.
        """
        n_groups, n_images, squared_sizes = (summed[..., i, None] for i in range(3))
        values, spread, squares, products = np.split(summed[..., 3:], 4, axis=-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            center = spread / n_images
            variance = squares - 2 * center * products + center**2 * squared_sizes
            variance = np.where(variance > _ROUNDING * squares, variance, 0)
            variance *= n_groups / (n_groups - 1)
            return values / n_images, np.sqrt(variance) / n_images


def stratum_means(values: Array, stratum: NDArray[np.int64]) -> Array:
    """Return the mean over the stratum of each image.

    Args:
        values: Shape ``(N, L)``.
        stratum: Number of each image's stratum, shape ``(N,)``.
    """
    sizes = np.maximum(np.bincount(stratum), 1)
    means = [np.bincount(stratum, of_layer) / sizes for of_layer in values.T]
    return np.stack(means, axis=1)[stratum]
