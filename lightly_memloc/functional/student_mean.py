"""Means with Student's t intervals: over runs, trials or units."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lightly_memloc.functional.resampling import Array


class StudentMean(NamedTuple):
    """A mean with Student's t interval.

    Attributes:
        n: Number of values that count.
        value: The mean; NaN without a value.
        error: Its standard error; NaN with fewer than two values.
        low: Lower end of the confidence interval; NaN with fewer than three values.
        high: Upper end of the confidence interval.
        p: Two-sided p-value of Student's t-test against 0; NaN like the interval.
    """

    n: NDArray[np.int64]
    value: Array
    error: Array
    low: Array
    high: Array
    p: Array


def student_mean(values: ArrayLike, confidence: float = 0.95) -> StudentMean:
    """Estimate means of few independent values, with Student's t intervals.

    The values are those of runs, trials or units. Two give no interval: with one degree
    of freedom it would span more than a dozen standard errors.

    Args:
        values: Shape ``(K, ...)``: K values of each mean; what is NaN does not count.
        confidence: Coverage of the interval.

    Returns:
        Fields of shape ``(...)``.

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
    return StudentMean(n, value, error, value - half, value + half, p)
