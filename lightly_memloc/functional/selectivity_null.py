"""The UnitMem that the largest of many ordinary activations gives."""

import numpy as np

from lightly_memloc.functional.resampling import Array

# Images that activate a unit most, of which the null is made.
TOP = 6


def selectivity_null(top: Array, mu_rest: Array) -> Array:
    r"""Compute the UnitMem to expect of a unit for which no image is special.

    UnitMem is above 0 for any unit, because the largest of N activations is above their
    mean. The null is UnitMem with the maximum in place of :math:`\mu_{max}` that the
    activations below it let expect. In the tail of most distributions, the spacings
    :math:`i (\mu_{(i)} - \mu_{(i + 1)})` of the descending activations have one mean
    [0]. The expected maximum is therefore :math:`\mu_{(2)}` plus the mean of the
    spacings below it. The most activating image itself does not enter.

    Activations with a heavier tail than that of an exponential distribution have larger
    maxima: for lognormal ones (s.d. 1), UnitMem is larger by 0.01 to 0.03.

    - [0]: Weissman, Estimation of parameters and large quantiles based on the k largest
      observations, 1978

    Args:
        top: The largest activations in descending order, shape ``(k, U)``.
        mu_rest: The average activation that UnitMem compares with, shape ``(U,)``.

    Returns:
        Array of shape ``(U,)``; NaN for units that are active on one image at most, and
        with fewer than three images.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional.selectivity_null import selectivity_null
        >>> selectivity_null(np.array([[9.0], [4.0], [3.5]]), np.array([1.0])).round(3)
        array([0.667])
    """
    if len(top) < 3:
        return np.full(len(mu_rest), np.nan)
    rank = np.arange(2, len(top))[:, None]
    spacings = rank * (top[1:-1] - top[2:])
    largest = top[1] + spacings.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        null = (largest - mu_rest) / (largest + mu_rest)
    return np.where(top[1] != 0, null, np.nan)
