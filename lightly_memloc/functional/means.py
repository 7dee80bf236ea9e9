"""Means, and contrasts of two means, with interval and p-value."""

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import (
    Array,
    as_far,
    bootstrap_means,
    percentile_interval,
    permuted_labels,
)


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


def student_mean(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Estimate means of few independent values, with Student's t intervals.

    The values are those of runs, trials or units. Two give no interval: with one degree
    of freedom it would span more than a dozen standard errors.

    Args:
        values: Shape ``(K, ...)``: K values of each mean; NaN values are ignored.
        confidence: Coverage of the interval.

    Returns:
        Estimate with fields of shape ``(...)``, with the number of values ``n`` and
        their standard error. The value is NaN without a value, the error with fewer
        than two, interval and p-value (Student's t-test against 0) with fewer than
        three.

    Examples:
        >>> from lightly_memloc.functional import student_mean
        >>> mean = student_mean([1.0, 2.0, 3.0])
        >>> float(mean.value), float(mean.error.round(3)), float(mean.low.round(3))
        (2.0, 0.577, -0.484)
    """
    x = np.asarray(values, dtype=np.float64)
    n = np.sum(~np.isnan(x), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.nansum(x, axis=0) / n
        variance = np.nansum((x - value) ** 2, axis=0) / (n - 1)
        error = np.where(n > 1, np.sqrt(variance / n), np.nan)
        enough = np.where(n > 2, error, np.nan)
        t = np.where(value == 0, 0.0 * enough, value / enough)
    freedom = np.maximum(n - 1, 1)
    half = stats.t.ppf((1 + confidence) / 2, freedom) * enough
    p = 2 * stats.t.sf(np.abs(t), freedom)
    return Estimate(value, value - half, value + half, p, error=error, n=n)


def welch_t_test(first: ArrayLike, second: ArrayLike) -> tuple[Array, Array]:
    """Test whether two sets of images have the same mean, by Welch's t-test.

    Args:
        first: Shape ``(N,)`` or ``(N, L)``: one value per image (and layer), N >= 2.
        second: Shape ``(M,)`` or ``(M, L)``, M >= 2.

    Returns:
        The t statistics and the two-sided p-values, of shape ``()`` or ``(L,)``; NaN
        where neither set varies.

    Raises:
        ValueError: If a set has fewer than two images.

    Examples:
        >>> from lightly_memloc.functional import welch_t_test
        >>> t, p = welch_t_test([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
        >>> float(t), float(p)
        (0.0, 1.0)
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    if min(len(first), len(second)) < 2:
        raise ValueError(
            f"Expected at least two images per set, got {len(first)} and {len(second)}."
        )
    varies = (np.ptp(first, axis=0) > 0) | (np.ptp(second, axis=0) > 0)
    with warnings.catch_warnings():
        # A set that does not vary.
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        test = stats.ttest_ind(first, second, axis=0, equal_var=False)
    t, p = (np.where(varies, v, np.nan) for v in (test.statistic, test.pvalue))
    return t, p


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
