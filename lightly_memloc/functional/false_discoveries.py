"""False discoveries: conformal p-values and q-values of images, Holm's p of layers."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lightly_memloc.functional.resampling import Array

# The q-value that an image needs before any list is called memorised.
_CLAIM = 0.05


def conformal_p(
    scores: ArrayLike, external: ArrayLike, groups: ArrayLike | None = None
) -> Array:
    """Compute how often an external image scores as high as each image [0].

    The p-value of a score is ``(1 + n_as_high) / (1 + n)``, where ``n_as_high`` of the
    n external images score at least as high. With groups, each group counts once,
    whatever its size: ``n`` is the number of groups, and ``n_as_high`` adds up the
    share of each group's images that score as high [1].

    The p-values are valid if an image that is not memorised comes from the same
    distribution as the external images (with groups: its group does). No shape of the
    distribution is assumed. The p-values of several images share the external images
    and are therefore positively dependent.

    - [0]: Testing for outliers with conformal p-values, 2023,
      https://arxiv.org/abs/2104.08279
    - [1]: Distribution-free inference with hierarchical data, 2023,
      https://arxiv.org/abs/2306.06342

    Args:
        scores: Shape ``(N,)``: scores of the images to test, high if memorised.
        external: Shape ``(M,)``: scores of images that were not trained on.
        groups: Shape ``(M,)``: group of each external image, such as a patient or a
            burst of photographs. By default each image is a group of its own.

    Returns:
        One-sided p-values of shape ``(N,)``; NaN without external images.

    Raises:
        ValueError: If there are not as many groups as external images.

    Examples:
        >>> from lightly_memloc.functional import conformal_p
        >>> conformal_p([0.5, 0.1], [0.0, 0.2, 0.3])
        array([0.25, 0.75])
        >>> conformal_p([0.5, 0.1], [0.0, 0.2, 0.3], groups=["a", "b", "b"]).round(3)
        array([0.333, 0.667])
    """
    scores, external = np.asarray(scores, float), np.asarray(external, float)
    if not len(external):
        return np.full(len(scores), np.nan)
    weights, n = np.ones(len(external)), len(external)
    if groups is not None:
        _, codes, sizes = np.unique(
            np.asarray(groups), return_inverse=True, return_counts=True
        )
        if len(codes) != len(external):
            raise ValueError(
                f"Expected the group of each of {len(external)} external images, got "
                f"{len(codes)} groups."
            )
        weights, n = 1 / sizes[codes], len(sizes)
    order = np.argsort(external)
    lower = np.concatenate([[0.0], np.cumsum(weights[order])])
    n_as_high = n - lower[np.searchsorted(external[order], scores, "left")]
    return np.asarray((1 + n_as_high) / (1 + n))


def holm_p(p: ArrayLike) -> Array:
    """Adjust p-values for their number by Holm's method [0].

    The method holds whatever the dependence between the tests.

    - [0]: A simple sequentially rejective multiple test procedure, Holm, 1979

    Args:
        p: Shape ``(L,)``; NaN values are not tests.

    Returns:
        Adjusted p-values of shape ``(L,)``.

    Examples:
        >>> from lightly_memloc.functional import holm_p
        >>> holm_p([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p, dtype=np.float64)
    adjusted = np.full(p.shape, np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def q_values(p: ArrayLike) -> Array:
    """Compute the false discovery rate at which each image enters the list [0].

    The images with q up to 0.1 are a list of which at most 10% are expected to be false
    discoveries, if the p-values are independent or positively dependent.

    - [0]: Controlling the false discovery rate, 1995,
      https://doi.org/10.1111/j.2517-6161.1995.tb02031.x

    Args:
        p: Shape ``(N,)``: p-values; NaN for images that are not tested.

    Returns:
        Shape ``(N,)``: p-values adjusted by Benjamini and Hochberg's method, NaN where
        p is.

    Examples:
        >>> from lightly_memloc.functional import q_values
        >>> q_values([0.01, 0.5, 0.02, float("nan")]).round(3)
        array([0.03, 0.5 , 0.03,  nan])
    """
    p = np.asarray(p, dtype=np.float64)
    q, tested = np.full(p.shape, np.nan), ~np.isnan(p)
    if tested.any():
        q[tested] = stats.false_discovery_control(p[tested], method="bh")
    return q


def n_detected(q: ArrayLike, fdr: float = 0.1) -> int:
    """Count the images that may be called memorised at a false discovery rate.

    Where no image is memorised, a list at a false discovery rate of 10% is not empty in
    up to 10% of measurements. Images are therefore counted only if at least one of them
    has a q-value of at most 0.05.

    Args:
        q: Shape ``(N,)``: q-values; NaN for images that are not tested.
        fdr: The false discovery rate.

    Examples:
        >>> from lightly_memloc.functional import n_detected
        >>> n_detected([0.04, 0.08, 0.3]), n_detected([0.06, 0.08, 0.3])
        (2, 0)
    """
    q = np.asarray(q, dtype=np.float64)
    return int(np.sum(q <= fdr)) if np.any(q <= _CLAIM) else 0
