"""Estimates of means and of contrasts of two means, with interval and p-value."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lightly_memloc.functional.resampling import (
    Array,
    as_far,
    bootstrap_means,
    percentile_interval,
    permuted_labels,
)


class Estimate(NamedTuple):
    """An estimate with its confidence interval and p-value, one entry per layer.

    Attributes:
        value: The estimate.
        low: Lower end of the confidence interval.
        high: Upper end of the confidence interval.
        p: Two-sided p-value.
    """

    value: Array
    low: Array
    high: Array
    p: Array


def mean_estimate(
    values: ArrayLike, n_resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Estimate means over images.

    The interval is the percentile bootstrap over images, the p-value Student's
    one-sample t-test against 0.

    Args:
        values: Shape ``(N,)`` or ``(N, L)``: one value per image (and layer), N >= 2.
        n_resamples: Bootstrap resamples.
        confidence: Coverage of the interval.
        seed: Seed of the bootstrap.

    Returns:
        Estimate with fields of shape ``(L,)``.

    Raises:
        ValueError: If there are fewer than two images.

    Examples:
        >>> from lightly_memloc.functional import mean_estimate
        >>> float(mean_estimate([1.0, 2.0, 3.0]).value[0])
        2.0
    """
    columns = _columns(values, "values")
    rng = np.random.default_rng(seed)
    low, high = percentile_interval(
        bootstrap_means(columns, n_resamples, rng), confidence
    )
    value = columns.mean(axis=0)
    error = columns.std(axis=0, ddof=1) / np.sqrt(len(columns))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(value == 0, 0.0, value / error)
    p = 2 * stats.t.sf(np.abs(t), df=len(columns) - 1)
    return Estimate(value, low, high, p)


def contrast_estimate(
    first: ArrayLike,
    second: ArrayLike,
    contrast: Callable[[Array, Array], Array],
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Estimate a contrast of the means of two sets of images.

    The interval is the percentile bootstrap over the images of each set, the p-value
    comes from permuting the images' set labels (two-sided, by the absolute contrast).

    Args:
        first: Shape ``(N,)`` or ``(N, L)``: one value per image (and layer), N >= 2.
        second: Shape ``(M,)`` or ``(M, L)``, M >= 2.
        contrast: The contrast of two arrays of means, such as their difference; 0 for
            equal means.
        n_resamples: Bootstrap resamples, and permutations.
        confidence: Coverage of the interval.
        seed: Seed of the bootstrap and the permutations.

    Returns:
        Estimate with fields of shape ``(L,)``. The p-value is at least
        ``1 / (n_resamples + 1)``.

    Raises:
        ValueError: If a set has fewer than two images or the shapes do not fit.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional import contrast_estimate
        >>> estimate = contrast_estimate([3.0, 3.0], [1.0, 1.0], np.subtract)
        >>> float(estimate.value[0]), float(estimate.low[0]), float(estimate.high[0])
        (2.0, 2.0, 2.0)
    """
    first, second = _columns(first, "first"), _columns(second, "second")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            "Expected as many columns in both sets, got "
            f"{first.shape[1]} and {second.shape[1]}."
        )
    rng = np.random.default_rng(seed)
    value = contrast(first.mean(axis=0), second.mean(axis=0))
    low, high = percentile_interval(
        contrast(
            bootstrap_means(first, n_resamples, rng),
            bootstrap_means(second, n_resamples, rng),
        ),
        confidence,
    )
    pooled = np.concatenate([first, second])
    is_first = np.arange(len(pooled)) < len(first)
    n_as_far = np.zeros(pooled.shape[1])
    for labels in permuted_labels(is_first, n_resamples, rng):
        total_first = labels.astype(np.float64) @ pooled
        permuted = contrast(
            total_first / len(first),
            (pooled.sum(axis=0) - total_first) / len(second),
        )
        n_as_far += as_far(permuted, value).sum(axis=0)
    return Estimate(value, low, high, (1 + n_as_far) / (1 + n_resamples))


def _columns(values: ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or len(array) < 2:
        raise ValueError(
            f"Expected {name} of shape (N,) or (N, L) with N >= 2, got "
            f"{np.shape(values)}."
        )
    return array
