"""The UnitMem that the largest of many ordinary activations gives."""

import numpy as np
from numpy.typing import NDArray
from scipy import special

from lightly_memloc.functional.resampling import Array

# Nodes of the quadrature over quantiles, and corrections for the image left out.
_NODES = 16
_CORRECTIONS = 3

# A relative variance below this is a rounding error of the sum of squares.
_SMALLEST_VARIANCE = 1e-12


def selectivity_null(
    mean: Array,
    variance: Array,
    mu_rest: Array,
    n_images: int,
    is_signed: NDArray[np.bool_],
) -> Array:
    r"""Compute the UnitMem to expect of a unit for which no image is special.

    UnitMem is above 0 for any unit, because the largest of N activations is above their
    mean. The null is UnitMem with the expected maximum of N draws in place of
    :math:`\mu_{max}`. Draws are from a gamma distribution, or from a normal one for
    units with negative activations. Its mean and variance are fitted to the
    activations on all images but the most activating one: the fitted distribution
    gives these moments once the largest of N draws is left out.

    Heavier tails than those of a gamma distribution give larger maxima.

    Args:
        mean: Mean activation over all images but the most activating one, ``(U,)``.
        variance: Variance over the same images, shape ``(U,)``.
        mu_rest: The average activation that UnitMem compares with, shape ``(U,)``.
        n_images: Number of images N.
        is_signed: Whether a unit has negative activations, shape ``(U,)``.

    Returns:
        Array of shape ``(U,)``; NaN for units that are active on one image at most.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional.selectivity_null import selectivity_null
        >>> one = np.ones(1)
        >>> selectivity_null(one, one, one, 100, np.array([False])).round(2)
        array([0.71])
    """
    null = np.full(len(mean), np.nan)
    for signed in (False, True):
        units = (is_signed == signed) & (signed | (mean > 0))
        if units.any():
            largest = _expected_largest(mean[units], variance[units], n_images, signed)
            rest = mu_rest[units]
            null[units] = (largest - rest) / (largest + rest)
    return null


def _expected_largest(
    mean: Array, variance: Array, n_images: int, signed: bool
) -> Array:
    """The expected maximum of N draws, shape ``(U,)``."""
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    # The largest of N draws is at this quantile: uniform to the power of 1 / N.
    quantile = ((node + 1) / 2)[:, None] ** (1 / n_images)
    weight = weight / 2
    others, square_of_others = mean, variance + mean**2
    largest = np.empty(0)
    for _ in range(1 + _CORRECTIONS):
        variance = np.maximum(variance, _SMALLEST_VARIANCE * mean**2)
        if signed:
            drawn = mean + np.sqrt(variance) * special.ndtri(quantile)
        else:
            scale = variance / mean
            drawn = scale * special.gammaincinv(mean / scale, quantile)
        largest = weight @ drawn
        mean = ((n_images - 1) * others + largest) / n_images
        square = ((n_images - 1) * square_of_others + weight @ drawn**2) / n_images
        variance = square - mean**2
    return np.asarray(largest)
