"""LayerMem: memorisation layer by layer, as published and with the offset removed.

Two encoders that were trained apart differ in overall alignment at every layer,
whatever they memorised. That offset enters the published LayerMem. The calibrated and
the symmetric estimator remove it; the alignment gap needs no second encoder at all.
"""

import numpy as np
from numpy.typing import ArrayLike

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.means import contrast_estimate, mean_estimate
from lightly_memloc.functional.resampling import Array


def layer_mem(candidate: ArrayLike, n_resamples: int = 2000, seed: int = 0) -> Estimate:
    """Compute LayerMem as published: the mean SSLMem over the candidates [0].

    Its p-value (t-test against 0) also tests the encoders' offset against zero: two
    encoders without any memorisation are usually 'significant'.

    - [0]: LayerMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        candidate: SSLMem of the candidates, shape ``(N, L)`` for L layers.
        n_resamples: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Returns:
        Estimate with fields of shape ``(L,)``, in [-1, 1] for relative SSLMem.

    Examples:
        >>> from lightly_memloc.functional import layer_mem
        >>> layer_mem([[0.1, 0.3], [0.3, 0.3]]).value
        array([0.2, 0.3])
    """
    return mean_estimate(candidate, n_resamples=n_resamples, seed=seed)


def delta_layer_mem(
    candidate: ArrayLike, n_resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Compute Delta LayerMem: LayerMem of a layer minus that of the layer before [0].

    - [0]: LayerMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        candidate: SSLMem of the candidates, shape ``(N, L)`` for L layers in forward
            order.
        n_resamples: Bootstrap resamples.
        seed: Seed of the bootstrap.

    Returns:
        Estimate with fields of shape ``(L,)``; NaN for the first layer.

    Examples:
        >>> from lightly_memloc.functional import delta_layer_mem
        >>> delta_layer_mem([[0.0, 0.5], [0.0, 0.5]]).value
        array([nan, 0.5])
    """
    columns = np.asarray(candidate, dtype=np.float64)
    if columns.shape[1] == 1:
        return Estimate.unknown(1)
    steps = mean_estimate(np.diff(columns, axis=1), n_resamples=n_resamples, seed=seed)
    return Estimate.joined([Estimate.unknown(1), steps])


def calibrated_layer_mem(
    candidate: ArrayLike, external: ArrayLike, n_resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Compute calibrated LayerMem: mean SSLMem over candidates minus over externals.

    Neither encoder was trained on the external images: whatever SSLMem they show is
    the encoders' offset.

    Args:
        candidate: SSLMem of the candidates, shape ``(N, L)``.
        external: SSLMem of the external images, shape ``(M, L)``.
        n_resamples: Bootstrap resamples, and permutations of the role labels.
        seed: Seed of both.

    Returns:
        Estimate with fields of shape ``(L,)``, in [-2, 2] for relative SSLMem.

    Examples:
        >>> from lightly_memloc.functional import calibrated_layer_mem
        >>> calibrated_layer_mem([[0.5], [0.5]], [[0.25], [0.25]]).value
        array([0.25])
    """
    return contrast_estimate(candidate, external, np.subtract, n_resamples, seed=seed)


def symmetric_layer_mem(
    candidate: ArrayLike, independent: ArrayLike, n_resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Compute symmetric LayerMem: half of candidates' minus independents' mean SSLMem.

    The reference encoder memorised the independent images as the encoder memorised
    the candidates, so the offset cancels and both sets count.

    Args:
        candidate: SSLMem of the candidates, shape ``(N, L)``.
        independent: SSLMem of the independent images, shape ``(M, L)``.
        n_resamples: Bootstrap resamples, and permutations of the role labels.
        seed: Seed of both.

    Returns:
        Estimate with fields of shape ``(L,)``, in [-1, 1] for relative SSLMem.

    Examples:
        >>> from lightly_memloc.functional import symmetric_layer_mem
        >>> symmetric_layer_mem([[0.5], [0.5]], [[-0.25], [-0.25]]).value
        array([0.375])
    """
    return contrast_estimate(
        candidate, independent, _half_difference, n_resamples, seed=seed
    )


def alignment_gap(
    candidate: ArrayLike, external: ArrayLike, n_resamples: int = 2000, seed: int = 0
) -> Estimate:
    """Compute the alignment gap: memorisation without a reference encoder.

    ``(mean over E - mean over C) / (their sum)`` of one encoder's alignment distances.
    The images' own difficulty stays in it, so it is wider than the calibrated estimate
    and valid only where candidates and externals are exchangeable (a random split).

    Args:
        candidate: Alignment distances of the candidates, shape ``(N, L)``.
        external: Alignment distances of the external images, shape ``(M, L)``.
        n_resamples: Bootstrap resamples, and permutations of the role labels.
        seed: Seed of both.

    Returns:
        Estimate with fields of shape ``(L,)``, in [-1, 1].

    Examples:
        >>> from lightly_memloc.functional import alignment_gap
        >>> alignment_gap([[0.1], [0.1]], [[0.3], [0.3]]).value.round(6)
        array([0.5])
    """
    return contrast_estimate(candidate, external, _relative_gap, n_resamples, seed=seed)


def _half_difference(first: Array, second: Array) -> Array:
    return (first - second) / 2


def _relative_gap(first: Array, second: Array) -> Array:
    total = first + second
    return np.where(total > 0, (second - first) / np.where(total > 0, total, 1), 0.0)
