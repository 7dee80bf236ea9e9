"""Means, and contrasts of two means, with interval and p-value."""

import math
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from typing_extensions import Unpack

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.group_sums import GroupSums, stratum_means
from lightly_memloc.functional.resampling import (
    Array,
    Assignment,
    ResamplingArguments,
    as_far,
    bootstrap_counts,
    group_numbers,
    groups_in_blocks,
    step_down_p,
)

_RESAMPLES = 2000

# Statistics that differ by less, relatively, are ties.
_TIE = 2e-9


def mean_estimate(
    values: ArrayLike,
    confidence: float = 0.95,
    **resampling: Unpack[ResamplingArguments],
) -> Estimate:
    """Estimate means over images.

    Interval and p-value come from the symmetric bootstrap-t [0], which resamples the
    studentized mean, and allow for skewness. They are at least as wide and as large as
    those of Student's t. The interval excludes 0 exactly if p is at most
    ``1 - confidence``.

    - [0]: On symmetric bootstrap confidence intervals, Hall, 1988

    Args:
        values: Shape ``(N,)`` or ``(N, L)``: one value per image (and layer), N >= 2.
        confidence: Coverage of the interval.
        resampling: ``n_resamples``, ``seed`` and ``groups``. Groups are drawn as a
            whole, at least two.

    Returns:
        Estimate with fields of shape ``(L,)``, with ``p_adjusted`` for the number of
        means. The interval is infinite where there are too few images for it.

    Raises:
        ValueError: If there are fewer than two images or groups, or too few resamples.

    Examples:
        >>> from lightly_memloc.functional import mean_estimate
        >>> float(mean_estimate([1.0, 2.0, 3.0]).value[0])
        2.0
    """
    columns = _columns(values, "values")
    n_resamples = resampling.get("n_resamples", _RESAMPLES)
    group, first = group_numbers(resampling.get("groups"), len(columns))
    if len(first) < 2:
        raise ValueError("Expected images of at least two groups, got one group.")
    rng = np.random.default_rng(resampling.get("seed", 0))
    # Relative to the first image, so that equal values have an error of exactly 0.
    sums = GroupSums(columns - columns[0], groups_in_blocks(group, rng))
    center, error = sums.means_and_errors(sums.total)
    drawn = (
        sums.means_and_errors(sums.drawn(times))
        for times in bootstrap_counts(sums.number, n_resamples, rng)
    )
    resampled = np.concatenate([_studentized(m - center, e) for m, e in drawn])
    freedom = sums.number - 1
    return inverted(columns.mean(axis=0), error, resampled, confidence, freedom)


def difference_of_means(
    first: ArrayLike,
    second: ArrayLike,
    confidence: float = 0.95,
    **resampling: Unpack[ResamplingArguments],
) -> Estimate:
    """Estimate the mean of one set of images minus that of another.

    Interval and p-value come from permuting the images' set labels and comparing the
    studentized difference [0] (two-sided). The test is exact if the sets are
    exchangeable, and approximately valid if they differ in variance and size. The
    interval excludes 0 exactly if p is at most ``1 - confidence``.

    - [0]: Studentized permutation tests for non-i.i.d. hypotheses and the generalized
      Behrens-Fisher problem, Janssen, 1997

    Args:
        first: Shape ``(N,)`` or ``(N, L)``: one value per image (and layer), N >= 2.
        second: Shape ``(M,)`` or ``(M, L)``, M >= 2.
        confidence: Coverage of the interval.
        resampling: ``n_resamples``, ``seed``, ``groups`` and ``strata``. The last two
            have an entry for each of the ``N + M`` images, those of ``first`` first.

    Returns:
        Estimate with fields of shape ``(L,)``, with ``p_adjusted`` for the number of
        differences. The p-value is at least ``1 / (n_resamples + 1)``. The interval is
        infinite where there are too few images for it.

    Raises:
        ValueError: If a set has fewer than two images or groups, the shapes do not
            fit, a group has images in both sets, or there are too few resamples.

    Examples:
        >>> from lightly_memloc.functional import difference_of_means
        >>> estimate = difference_of_means([3.0, 4.0, 5.0, 4.0], [1.0, 2.0, 1.0, 2.0])
        >>> float(estimate.value[0])
        2.5
    """
    return _contrast(first, second, _difference, confidence, resampling)


def log_ratio_of_means(
    first: ArrayLike,
    second: ArrayLike,
    confidence: float = 0.95,
    **resampling: Unpack[ResamplingArguments],
) -> Estimate:
    """Estimate the logarithm of the ratio of two sets' means, for positive values.

    Interval and p-value are made as for :func:`difference_of_means`, with the standard
    error by the delta method.

    Args:
        first: Shape ``(N,)`` or ``(N, L)``: one value per image (and layer), N >= 2.
        second: Shape ``(M,)`` or ``(M, L)``, M >= 2.
        confidence: Coverage of the interval.
        resampling: As for :func:`difference_of_means`.

    Returns:
        Estimate of ``log(mean(second) / mean(first))`` with fields of shape ``(L,)``,
        with ``p_adjusted``; 0 where both means are 0.

    Raises:
        ValueError: As :func:`difference_of_means`.

    Examples:
        >>> from lightly_memloc.functional import log_ratio_of_means
        >>> estimate = log_ratio_of_means([1.0, 0.5, 1.5], [4.0, 2.0, 3.0])
        >>> float(estimate.value[0].round(4))
        1.0986
    """
    return _contrast(first, second, _log_ratio, confidence, resampling)


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


Statistic = Callable[[Array, Array, Array, Array], tuple[Array, Array]]


def _difference(m1: Array, e1: Array, m2: Array, e2: Array) -> tuple[Array, Array]:
    return m1 - m2, np.hypot(e1, e2)


def _log_ratio(m1: Array, e1: Array, m2: Array, e2: Array) -> tuple[Array, Array]:
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(m1 == m2, 0.0, np.log(m2) - np.log(m1))
        relative = (np.where(m > 0, e / m, 0) for m, e in ((m1, e1), (m2, e2)))
        return value, np.hypot(*relative)


def _contrast(
    first: ArrayLike,
    second: ArrayLike,
    statistic: Statistic,
    confidence: float,
    resampling: ResamplingArguments,
) -> Estimate:
    first, second = _columns(first, "first"), _columns(second, "second")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            "Expected as many columns in both sets, got "
            f"{first.shape[1]} and {second.shape[1]}."
        )
    pooled = np.concatenate([first, second])
    labels = np.arange(len(pooled)) < len(first)
    assigned = Assignment.of(labels, resampling.get("groups"), resampling.get("strata"))
    n_first = int(assigned.label.sum())
    if min(n_first, len(assigned.label) - n_first) < 2:
        raise ValueError(
            "Expected images of at least two groups in both sets, got "
            f"{n_first} and {len(assigned.label) - n_first}."
        )
    rng = np.random.default_rng(resampling.get("seed", 0))
    assigned = assigned.in_blocks(rng)
    center = pooled[0]
    deviations = pooled - stratum_means(pooled, assigned.stratum[assigned.group])
    sums = GroupSums(pooled - center, assigned.group, deviations)

    def of(labels: NDArray[np.bool_]) -> tuple[Array, Array]:
        of_first = sums.drawn(labels)
        (m1, e1), (m2, e2) = (
            sums.means_and_errors(part) for part in (of_first, sums.total - of_first)
        )
        return statistic(m1 + center, e1, m2 + center, e2)

    value, error = (field[0] for field in of(assigned.label[None]))
    n_resamples = resampling.get("n_resamples", _RESAMPLES)
    permuted = assigned.permuted(n_resamples, rng)
    resampled = np.concatenate([_studentized(*of(labels)) for labels in permuted])
    return inverted(value, error, resampled, confidence)


def _studentized(value: Array, error: Array) -> Array:
    """The absolute value in standard errors; 0 if both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value == 0, 0.0, np.abs(value) / error)


def inverted(
    value: Array,
    error: Array,
    resampled: Array,
    confidence: float,
    freedom: int | None = None,
) -> Estimate:
    """The estimate whose interval contains what the resampled statistics allow.

    The simultaneous intervals use the distribution of the layers' largest statistic.
    They exclude 0 in a layer only if its adjusted p-value is at most
    ``1 - confidence``.

    Args:
        value: Estimates of shape ``(L,)``.
        error: Their standard errors.
        resampled: Absolute studentized statistics under the null, shape ``(B, L)``.
        confidence: Coverage of the interval.
        freedom: Degrees of freedom of Student's t, if it bounds interval and p-value.
    """
    n_resamples = len(resampled)
    n_beyond = math.floor((1 - confidence) * (n_resamples + 1) + 1e-9) - 1
    if n_beyond < 0:
        needed = math.ceil(1 / (1 - confidence) - 1e-9) - 1
        raise ValueError(
            f"Expected at least {needed} resamples for {confidence:.0%} intervals, got "
            f"{n_resamples}."
        )
    observed = _studentized(value, error)
    p = (1 + as_far(resampled, observed).sum(axis=0)) / (1 + n_resamples)
    p[np.isnan(observed)] = np.nan
    p_adjusted = step_down_p(resampled, observed)
    known = np.nan_to_num(resampled[:, ~np.isnan(observed)], posinf=np.inf)
    largest = known.max(axis=1, initial=0, keepdims=True)
    quantiles = [
        np.sort(of, axis=0)[n_resamples - 1 - n_beyond] + np.zeros_like(error)
        for of in (resampled, largest)
    ]
    if freedom is not None:
        student = 2 * stats.t.sf(observed, freedom)
        p, p_adjusted = np.maximum(p, student), np.maximum(p_adjusted, student)
        least = stats.t.isf((1 - confidence) / 2, freedom)
        quantiles = [np.maximum(of, least) for of in quantiles]
    halves = []
    for quantile in quantiles:
        # A statistic that ties with the quantile is not beyond it, whatever the rounding.
        half = np.full_like(error, np.inf)
        np.multiply(quantile * (1 + _TIE), error, out=half, where=np.isfinite(quantile))
        halves.append(half)
    half, wider = halves
    return Estimate(
        value,
        value - half,
        value + half,
        p,
        p_adjusted,
        simultaneous_low=value - wider,
        simultaneous_high=value + wider,
    )


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
