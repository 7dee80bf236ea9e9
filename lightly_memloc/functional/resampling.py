"""Resampling images: bootstrap draws and permutations, in bounded memory."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

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
    labels: NDArray[np.bool_], n_resamples: int, rng: np.random.Generator
) -> Iterator[NDArray[np.bool_]]:
    """Blocks of shape (block, N) of the labels, permuted over the images."""
    for size in block_sizes(n_resamples, len(labels)):
        yield rng.permuted(np.tile(labels, (size, 1)), axis=1)


def percentile_interval(resampled: Array, confidence: float) -> tuple[Array, Array]:
    """The central interval of resampled statistics, over dimension 0."""
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail], axis=0)
    return low, high


def as_far(resampled: Array, value: Array | float) -> NDArray[np.bool_]:
    """Whether resampled statistics are as far from 0 as the value, ties included."""
    return np.asarray(np.abs(resampled) >= np.abs(value) * (1 - 1e-9) - 1e-15)
