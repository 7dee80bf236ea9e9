"""Resampling images: bootstrap draws and permutations, in bounded memory."""

from collections.abc import Iterator
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Resampled entries held at a time, whatever the number of images or resamples.
_BLOCK = 1 << 17

# More groups than this are resampled in blocks of groups: about so many, and at least so
# many of each of two sets. The mean of random blocks has the variance and the skewness of
# the mean of their groups.
MANY_GROUPS = 20_000
_N_BLOCKS = 5_000
_N_BLOCKS_OF_SET = 500


class ResamplingArguments(TypedDict, total=False):
    """How images are resampled.

    Attributes:
        n_resamples: Number of permutations or bootstrap resamples, 2000 by default.
        seed: Seed of these, 0 by default.
        groups: Group of each image, such as its patient: images of a group are
            resampled together. By default, each image is a group of its own.
        strata: Stratum of each image, such as its class, if sets were drawn within
            strata: they are permuted within strata, too.
    """

    n_resamples: int
    seed: int
    groups: ArrayLike | None
    strata: ArrayLike | None


class Assignment(NamedTuple):
    """How labels were assigned: to whole groups of images, within strata.

    Attributes:
        label: Label of each of G groups, shape ``(G,)``.
        group: Number of each image's group, shape ``(N,)``.
        stratum: Number of each group's stratum, shape ``(G,)``.
    """

    label: NDArray[np.bool_]
    group: NDArray[np.int64]
    stratum: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        labels: NDArray[np.bool_],
        groups: ArrayLike | None = None,
        strata: ArrayLike | None = None,
    ) -> "Assignment":
        """Describe how labels were assigned to images.

        Groups whose images are in several strata form a stratum together. It includes
        the strata of a single label, within which there is nothing to permute.

        Args:
            labels: Shape ``(N,)``.
            groups: Group of each image, shape ``(N,)``.
            strata: Stratum of each image, shape ``(N,)``.

        Raises:
            ValueError: If a group has images of both labels.
        """
        group, first = group_numbers(groups, len(labels))
        label = labels[first]
        divided = np.flatnonzero(label[group] != labels)
        if len(divided):
            raise ValueError(
                f"Group {np.asarray(groups)[divided[0]]} has images of both sets, but "
                "groups are exchanged as a whole: assign each group to one set."
            )
        if strata is None:
            return cls(label, group, np.zeros(len(label), dtype=np.int64))
        of_image = np.unique(np.asarray(strata), return_inverse=True)[1] + 1
        stratum = of_image[first]
        stratum[group[stratum[group] != of_image]] = 0
        size = int(stratum.max()) + 1
        of_either = [np.bincount(stratum[label == of], minlength=size) for of in (0, 1)]
        stratum[np.min(of_either, axis=0)[stratum] == 0] = 0
        return cls(label, group, stratum)

    def permuted(
        self, n_resamples: int, rng: np.random.Generator
    ) -> Iterator[NDArray[np.bool_]]:
        """Blocks of shape (block, G) of the groups' labels, permuted within strata."""
        strata = [
            np.flatnonzero(self.stratum == stratum)
            for stratum in np.unique(self.stratum)
        ]
        for size in block_sizes(n_resamples, len(self.label)):
            permuted = np.empty((size, len(self.label)), dtype=bool)
            for of_stratum in strata:
                tiled = np.tile(self.label[of_stratum], (size, 1))
                permuted[:, of_stratum] = rng.permuted(tiled, axis=1)
            yield permuted

    def in_blocks(self, rng: np.random.Generator) -> "Assignment":
        """Join many groups to blocks, at random; few remain as they are.

        Blocks have groups of one label and stratum. Within a stratum they have equally
        many, so that all permutations of blocks are equally likely under the null, as
        those of groups are. Groups that are left over from the blocks of a stratum are
        permuted among themselves.

        Args:
            rng: Generator of the blocks.
        """
        n = len(self.label)
        if n <= MANY_GROUPS:
            return self
        cell = 2 * self.stratum + self.label
        sizes = np.bincount(cell, minlength=2 * int(self.stratum.max()) + 2)
        least = min(self.label.sum(), n - self.label.sum())
        most = max(1, min(n // _N_BLOCKS, int(least) // _N_BLOCKS_OF_SET))
        size = _block_lengths(sizes.reshape(-1, 2), most)
        shuffled = rng.permutation(n)
        order = shuffled[np.argsort(cell[shuffled], kind="stable")]
        place = np.arange(n) - (np.cumsum(sizes) - sizes)[cell[order]]
        size = size[self.stratum[order]]
        is_rest = place >= sizes[cell[order]] // size * size
        starts = is_rest | (place % size == 0)
        block = np.empty(n, dtype=np.int64)
        block[order] = np.cumsum(starts) - 1
        stratum = (2 * self.stratum[order] + is_rest)[starts]
        return Assignment(self.label[order[starts]], block[self.group], stratum)


def group_numbers(
    groups: ArrayLike | None, n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each image's group, and the first image of each group.

    Args:
        groups: Group of each image, shape ``(n,)``; None if each is its own.
        n: Number of images.

    Raises:
        ValueError: If there are not as many groups as images.
    """
    if groups is None:
        return np.arange(n), np.arange(n)
    given = np.asarray(groups)
    if given.shape != (n,):
        raise ValueError(f"Expected a group for each of {n} images, got {given.shape}.")
    _, first, numbers = np.unique(given, return_index=True, return_inverse=True)
    return numbers, first


def groups_in_blocks(
    group: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Join many groups to blocks of equally many, at random; few remain as they are.

    Args:
        group: Number of each image's group, shape ``(N,)``.
        rng: Generator of the blocks.

    Returns:
        Number of each image's block, shape ``(N,)``.
    """
    n = int(group.max()) + 1
    if n <= MANY_GROUPS:
        return group
    return (rng.permutation(n) % _N_BLOCKS)[group]


def block_sizes(n_resamples: int, n: int) -> Iterator[int]:
    """Split resamples of n entries each into blocks that fit into bounded memory."""
    per_block = max(1, _BLOCK // max(1, n))
    for done in range(0, n_resamples, per_block):
        yield min(per_block, n_resamples - done)


def bootstrap_counts(
    n: int, n_resamples: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Blocks of shape (block, n): how often each is drawn, with replacement."""
    for size in block_sizes(n_resamples, n):
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)


def _block_lengths(sizes: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """How many groups a block has in each stratum, so that there are few blocks.

    Args:
        sizes: Number of groups of either label in each stratum, shape ``(S, 2)``.
        most: Largest number of groups of a block.
    """
    lengths = np.arange(1, most + 1)
    parts = np.stack(np.divmod(sizes[..., None], lengths))
    # What only one of the labels has cannot be exchanged.
    is_alone = np.any(parts.any(axis=2) & ~parts.all(axis=2), axis=0)
    is_refused = np.logical_and(is_alone, sizes.all(axis=1, keepdims=True))
    number = np.where(is_refused, sizes.sum() + 1, parts.sum(axis=(0, 2)))
    return np.asarray(lengths[number.argmin(axis=1)])


def permuted_labels(
    labels: NDArray[np.bool_],
    n_resamples: int,
    rng: np.random.Generator,
    groups: ArrayLike | None = None,
    strata: ArrayLike | None = None,
) -> Iterator[NDArray[np.bool_]]:
    """Blocks of shape (block, N) of the labels, permuted as they were assigned.

    Args:
        labels: Shape ``(N,)``.
        n_resamples: Number of permutations.
        rng: Generator of the permutations.
        groups: Group of each image, shape ``(N,)``.
        strata: Stratum of each image, shape ``(N,)``.

    Raises:
        ValueError: If a group has images of both labels.
    """
    assigned = Assignment.of(labels, groups, strata)
    for block in assigned.permuted(n_resamples, rng):
        yield block[:, assigned.group]


def percentile_interval(resampled: Array, confidence: float) -> tuple[Array, Array]:
    """The central interval of resampled statistics, over dimension 0."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail], axis=0)
    return low, high


def as_far(resampled: Array, value: Array | float) -> NDArray[np.bool_]:
    """Whether resampled statistics are as far from 0 as the value, ties included."""
    return np.asarray(np.abs(resampled) >= np.abs(value) * (1 - 1e-9) - 1e-15)


def step_down_p(resampled: Array, observed: Array) -> Array:
    """Adjust p-values for the number of statistics tested [0].

    Step-down maxT: the p-value of a statistic counts how often the largest of all
    statistics that are not larger than itself is as large under the null. It allows for
    dependence: a statistic that repeats another costs nothing.

    - [0]: Resampling-Based Multiple Testing, Westfall and Young, 1993

    Args:
        resampled: Absolute statistics under the null, shape ``(B, L)``.
        observed: Absolute statistics, shape ``(L,)``; NaN where there is none.

    Returns:
        Adjusted p-values of shape ``(L,)``, at least ``1 / (B + 1)``.
    """
    adjusted = np.full(len(observed), np.nan)
    known = np.flatnonzero(~np.isnan(observed))
    ascending = known[np.argsort(observed[known], kind="stable")]
    largest = np.maximum.accumulate(np.nan_to_num(resampled[:, ascending]), axis=1)
    n_as_far = as_far(largest, observed[ascending]).sum(axis=0)
    p = (1 + n_as_far) / (1 + len(resampled))
    adjusted[ascending] = np.maximum.accumulate(p[::-1])[::-1]
    return adjusted
