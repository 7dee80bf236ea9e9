"""LayerMem: memorisation layer by layer, as published and with the offset removed.

Two encoders that were trained apart differ in overall alignment at every layer,
whatever they memorised. That offset enters the published LayerMem. The calibrated and
the symmetric estimator remove it; the alignment gap needs no second encoder at all.

Relative SSLMem is bounded, so an offset compresses its differences. Twice its inverse
hyperbolic tangent, ``log(a_g) - log(a_f)``, is not bounded, and the offset is a
constant in it. The estimators without offset therefore compare images on this scale,
and map the result back to that of SSLMem.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from typing_extensions import Unpack

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.means import (
    difference_of_means,
    log_ratio_of_means,
    mean_estimate,
)
from lightly_memloc.functional.resampling import Array, ResamplingArguments

Normalization = Literal["relative", "raw", "range"]

# Relative SSLMem is 1 if a distance is 0, which has no finite logarithm.
_LARGEST = 1 - 1e-6


def layer_mem(
    candidate: ArrayLike, **resampling: Unpack[ResamplingArguments]
) -> Estimate:
    """Compute LayerMem as published: the mean SSLMem over the candidates [0].

    Its p-value also tests the encoders' offset against zero: two encoders without any
    memorisation are usually 'significant'.

    - [0]: LayerMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        candidate: SSLMem of the candidates, shape ``(N, L)`` for L layers.
        resampling: As for :func:`mean_estimate`.

    Returns:
        Estimate with fields of shape ``(L,)``, in [-1, 1] for relative SSLMem.

    Examples:
        >>> from lightly_memloc.functional import layer_mem
        >>> layer_mem([[0.1, 0.3], [0.3, 0.3]]).value
        array([0.2, 0.3])
    """
    return mean_estimate(candidate, **resampling)


def delta_layer_mem(
    candidate: ArrayLike, **resampling: Unpack[ResamplingArguments]
) -> Estimate:
    """Compute Delta LayerMem: LayerMem of a layer minus that of the layer before [0].

    - [0]: LayerMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        candidate: SSLMem of the candidates, shape ``(N, L)`` for L layers in forward
            order.
        resampling: As for :func:`mean_estimate`.

    Returns:
        Estimate with fields of shape ``(L,)``; NaN for the first layer.

    Examples:
        >>> from lightly_memloc.functional import delta_layer_mem
        >>> delta_layer_mem([[0.0, 0.5], [0.0, 0.5]]).value
        array([nan, 0.5])
    """
    columns = np.asarray(candidate, dtype=np.float64)
    if columns.shape[1] == 1:
        return Estimate.unknown(1, "p_adjusted")
    return mean_estimate(np.diff(columns, axis=1), **resampling).padded(1)


def calibrated_layer_mem(
    candidate: ArrayLike,
    external: ArrayLike,
    *,
    normalization: Normalization = "relative",
    steps: bool = False,
    **resampling: Unpack[ResamplingArguments],
) -> Estimate:
    r"""Compute calibrated LayerMem: SSLMem of candidates compared with externals'.

    Neither encoder was trained on the external images: whatever SSLMem they show is
    the encoders' offset. For relative SSLMem :math:`m`, the estimate is
    :math:`\tanh(\overline{\operatorname{artanh} m_C} - \overline{\operatorname{artanh}
    m_E})`, which no offset changes; without offset, it is close to the difference of
    the means. Otherwise, it is this difference.

    Args:
        candidate: SSLMem of the candidates, shape ``(N, L)``.
        external: SSLMem of the external images, shape ``(M, L)``.
        normalization: That of SSLMem.
        steps: Whether to compute the step of each layer from the one before instead.
        resampling: As for :func:`difference_of_means`.

    Returns:
        Estimate with fields of shape ``(L,)``, in [-1, 1] for relative SSLMem. A step
        is NaN for the first layer.

    Examples:
        >>> from lightly_memloc.functional import calibrated_layer_mem
        >>> estimate = calibrated_layer_mem([[0.3], [0.3], [0.3]], [[0.1], [0.1]])
        >>> estimate.value.round(4)
        array([0.2062])
    """
    return _contrast(candidate, external, 1, normalization, steps, resampling)


def symmetric_layer_mem(
    candidate: ArrayLike,
    independent: ArrayLike,
    *,
    normalization: Normalization = "relative",
    steps: bool = False,
    **resampling: Unpack[ResamplingArguments],
) -> Estimate:
    r"""Compute symmetric LayerMem: half the difference of candidates and independents.

    The reference encoder memorised the independent images as the encoder memorised
    the candidates, so the offset cancels and both sets count. For relative SSLMem
    :math:`m`, the estimate is :math:`\tanh\big((\overline{\operatorname{artanh} m_C} -
    \overline{\operatorname{artanh} m_I}) / 2\big)`. Otherwise, it is half the difference
    of the means.

    Args:
        candidate: SSLMem of the candidates, shape ``(N, L)``.
        independent: SSLMem of the independent images, shape ``(M, L)``.
        normalization: That of SSLMem.
        steps: Whether to compute the step of each layer from the one before instead.
        resampling: As for :func:`difference_of_means`.

    Returns:
        Estimate with fields of shape ``(L,)``, in [-1, 1] for relative SSLMem. A step
        is NaN for the first layer.

    Examples:
        >>> from lightly_memloc.functional import symmetric_layer_mem
        >>> estimate = symmetric_layer_mem([[0.3], [0.3], [0.3]], [[-0.3], [-0.3]])
        >>> estimate.value.round(4)
        array([0.3])
    """
    return _contrast(candidate, independent, 0.5, normalization, steps, resampling)


def alignment_gap(
    candidate: ArrayLike,
    external: ArrayLike,
    **resampling: Unpack[ResamplingArguments],
) -> Estimate:
    """Compute the alignment gap: memorisation without a reference encoder.

    ``(mean over E - mean over C) / (their sum)`` of one encoder's alignment distances.
    The images' own difficulty stays in it, so it is wider than the calibrated estimate
    and valid only where candidates and externals are exchangeable (a random split).

    Args:
        candidate: Alignment distances of the candidates, shape ``(N, L)``.
        external: Alignment distances of the external images, shape ``(M, L)``.
        resampling: As for :func:`log_ratio_of_means`.

    Returns:
        Estimate with fields of shape ``(L,)``, in [-1, 1].

    Examples:
        >>> from lightly_memloc.functional import alignment_gap
        >>> alignment_gap([[0.1], [0.1], [0.1]], [[0.3], [0.3]]).value.round(6)
        array([0.5])
    """
    # A gap of 0.5 means three times the distance: (3 - 1) / (3 + 1).
    return log_ratio_of_means(candidate, external, **resampling).mapped(_tanh_of_half)


def unbounded(ssl_mem: Array, normalization: Normalization) -> Array:
    """Return SSLMem on the scale on which an offset between encoders is a constant.

    Args:
        ssl_mem: SSLMem of any shape.
        normalization: That of SSLMem.
    """
    if normalization == "relative":
        return np.arctanh(np.clip(ssl_mem, -_LARGEST, _LARGEST))
    return ssl_mem


def bounded(value: Array, normalization: Normalization) -> Array:
    """Return what was computed from :func:`unbounded` on the scale of SSLMem.

    Args:
        value: Values of any shape.
        normalization: That of SSLMem.
    """
    return np.tanh(value) if normalization == "relative" else value


def _contrast(
    first: ArrayLike,
    second: ArrayLike,
    part: float,
    normalization: Normalization,
    steps: bool,
    resampling: ResamplingArguments,
) -> Estimate:
    """A part of the difference of two sets' means, on the scale of SSLMem."""
    both = [np.asarray(m, dtype=np.float64) for m in (first, second)]
    one, other = (unbounded(m.reshape(len(m), -1), normalization) for m in both)
    if steps:
        one, other = np.diff(one, axis=1), np.diff(other, axis=1)
        if not one.shape[1]:
            return Estimate.unknown(1, "p_adjusted")
    difference = difference_of_means(one, other, **resampling)
    scaled = difference.mapped(lambda value: bounded(part * value, normalization))
    return scaled.padded(1) if steps else scaled


def _tanh_of_half(value: Array) -> Array:
    return np.tanh(value / 2)
