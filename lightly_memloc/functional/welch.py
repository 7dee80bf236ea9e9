"""Welch's t-test of two sets of images."""

import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lightly_memloc.functional.resampling import Array


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
            f"Expected at least two images a set, got {len(first)} and {len(second)}."
        )
    varies = (np.ptp(first, axis=0) > 0) | (np.ptp(second, axis=0) > 0)
    with warnings.catch_warnings():
        # A set that does not vary.
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        test = stats.ttest_ind(first, second, axis=0, equal_var=False)
    t, p = (np.where(varies, v, np.nan) for v in (test.statistic, test.pvalue))
    return t, p
