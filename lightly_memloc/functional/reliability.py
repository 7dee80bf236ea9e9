"""Reliability of the scores of images over several runs."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from lightly_memloc.functional.resampling import Array

# Ten runs have 126 divisions.
_MOST_ENUMERATED, _RANDOM_DIVISIONS = 10, 100


def split_half_reliability(values: ArrayLike, seed: int = 0) -> float:
    """Estimate how well the means of images over runs would repeat in other runs.

    The runs are divided into two halves, and the images' means over each half are
    correlated. The Spearman-Brown formula extends the correlation, averaged over all
    divisions (100 random ones of more than ten runs), from a half to all runs. With an
    odd number of runs, each division leaves one run out. The reliability is the share of
    the variance of the means between images that is not noise of the runs.

    Args:
        values: Shape ``(K, N)``: scores of N images in K runs; NaN where a run does not
            score the image.
        seed: Seed of random divisions.

    Returns:
        The reliability, at most 1, and not above 0 if there is none; NaN with fewer than
        four runs, which have no halves of two, or if fewer than three images have scores
        in both halves.

    Examples:
        >>> from lightly_memloc.functional import split_half_reliability
        >>> split_half_reliability([[1.0, 2.0, 4.0]] * 4)
        1.0
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 4:
        return np.nan
    size = len(x) // 2
    r = [
        _correlation(_means(x[one]), _means(x[other]))
        for one, other in _halves(len(x), size, seed)
    ]
    return spearman_brown(float(np.mean(r)), len(x) / size)


def run_correlation(values: ArrayLike) -> float:
    """Compute how well the scores of images in one run agree with those in another.

    Args:
        values: Shape ``(K, N)``: scores of N images in K runs; NaN where a run does not
            score the image.

    Returns:
        Pearson's correlation over images, averaged over all pairs of runs that both
        score at least three images; NaN without such a pair.

    Examples:
        >>> from lightly_memloc.functional import run_correlation
        >>> run_correlation([[1.0, 2.0, 4.0], [3.0, 2.0, 0.0]])
        -1.0
    """
    x = np.asarray(values, dtype=np.float64)
    r = [_correlation(one, other) for one, other in combinations(x, 2)]
    known = [value for value in r if not np.isnan(value)]
    return float(np.mean(known)) if known else np.nan


def spearman_brown(r: float, times: float) -> float:
    """Extend the reliability of a mean to a mean of ``times`` as many values.

    A correlation that is not positive remains as it is.

    Examples:
        >>> from lightly_memloc.functional import spearman_brown
        >>> spearman_brown(0.5, 2)
        0.6666666666666666
    """
    return times * r / (1 + (times - 1) * r) if r > 0 else r


def _halves(n_runs: int, size: int, seed: int) -> Iterator[tuple[list[int], list[int]]]:
    """Divisions of runs into two halves of a size."""
    if n_runs > _MOST_ENUMERATED:
        rng = np.random.default_rng(seed)
        for _ in range(_RANDOM_DIVISIONS):
            order = rng.permutation(n_runs).tolist()
            yield order[:size], order[size : 2 * size]
        return
    for chosen in combinations(range(n_runs), 2 * size):
        for rest in combinations(chosen[1:], size - 1):
            half = [chosen[0], *rest]
            yield half, [run for run in chosen if run not in half]


def _means(x: Array) -> Array:
    """Means over runs, NaN where none scores the image."""
    n = np.sum(~np.isnan(x), axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(x, axis=0) / n)


def _correlation(one: Array, other: Array) -> float:
    both = ~np.isnan(one) & ~np.isnan(other)
    if both.sum() < 3 or not (np.ptp(one[both]) > 0 and np.ptp(other[both]) > 0):
        return np.nan
    return float(np.corrcoef(one[both], other[both])[0, 1].round(12))
