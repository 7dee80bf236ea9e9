"""Resampling images: bootstrap draws and permutations, in bounded memory."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Resampled entries held at a time, whatever the number of images or resamples.
_BLOCK = 1 << 17


def block_sizes(n_resamples: int, n: int) -> Iterator[int]:
    """Split resamples of n entries each into blocks that fit into bounded memory."""
    per_block = max(1, _BLOCK // max(1, n))
    for done in range(0, n_resamples, per_block):
        yield min(per_block, n_resamples - done)


def bootstrap_counts(
    n: int, n_resamples: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Blocks of shape (block, n): how often each image is drawn, with replacement."""
    for size in block_sizes(n_resamples, n):
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)


def bootstrap_means(values: Array, n_resamples: int, rng: np.random.Generator) -> Array:
    """Means of shape (n_resamples, L) of images drawn with replacement from (N, L)."""
    counts = bootstrap_counts(len(values), n_resamples, rng)
    return np.concatenate([times @ values / len(values) for times in counts])


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
        groups: Group of each image, shape ``(N,)``. Images of a group have one label
            and keep it together.
        strata: Stratum of each image, shape ``(N,)``: labels are exchanged within it. A
            group whose images are in several strata belongs to the stratum of all such
            groups.

    Raises:
        ValueError: If a group has images of both labels.
    """
    group_of, first = _codes(groups, len(labels))
    of_group = labels[first]
    divided = np.flatnonzero(of_group[group_of] != labels)
    if len(divided):
        raise ValueError(
            f"Group {np.asarray(groups)[divided[0]]} has images of both sets, but groups "
            "are exchanged as a whole: assign each group to one set."
        )
    stratum_of_group = _stratum_of_groups(strata, group_of, first)
    members = [
        np.flatnonzero(stratum_of_group == stratum)
        for stratum in np.unique(stratum_of_group)
    ]
    for size in block_sizes(n_resamples, len(labels)):
        permuted = np.empty((size, len(of_group)), dtype=bool)
        for of_stratum in members:
            tiled = np.tile(of_group[of_stratum], (size, 1))
            permuted[:, of_stratum] = rng.permuted(tiled, axis=1)
        yield permuted[:, group_of]


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


def _codes(
    groups: ArrayLike | None, n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of each image's group, and the first image of each group."""
    if groups is None:
        return np.arange(n), np.arange(n)
    _, first, codes = np.unique(
        np.asarray(groups), return_index=True, return_inverse=True
    )
    return codes, first


def _stratum_of_groups(
    strata: ArrayLike | None, group_of: NDArray[np.int64], first: NDArray[np.int64]
) -> NDArray[np.int64]:
    if strata is None:
        return np.zeros(len(first), dtype=np.int64)
    codes = np.unique(np.asarray(strata), return_inverse=True)[1]
    of_group = codes[first]
    of_group[group_of[of_group[group_of] != codes]] = -1
    return of_group


def percentile_interval(resampled: Array, confidence: float) -> tuple[Array, Array]:
    """The central interval of resampled statistics, over dimension 0."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail], axis=0)
    return low, high


def as_far(resampled: Array, value: Array | float) -> NDArray[np.bool_]:
    """Whether resampled statistics are as far from 0 as the value, ties included."""
    return np.asarray(np.abs(resampled) >= np.abs(value) * (1 - 1e-9) - 1e-15)
