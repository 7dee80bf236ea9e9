"""Agreement of two scores of the same images, or of predictions and targets."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import Array


def top_overlap(first: ArrayLike, second: ArrayLike, k: int) -> Estimate:
    """Compute the overlap of the k images with the highest scores [0].

    The p-value is that of the hypergeometric distribution.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        first: Scores of N images, shape ``(N,)``.
        second: Other scores of the same images.
        k: Length of the lists, at most N. Of equal scores the earlier images count.

    Returns:
        Fields of shape ``()``: the share of the k images of one list that the other
        list contains, too; its expected value for random lists, ``k / N``, as
        ``null``; and the one-sided p-value, how often random lists share as many. There
        is no interval: ``low`` and ``high`` are NaN.

    Raises:
        ValueError: If the shapes differ or ``k`` does not fit.

    Examples:
        >>> from lightly_memloc.functional import top_overlap
        >>> overlap = top_overlap([4.0, 3.0, 2.0, 1.0], [4.0, 1.0, 2.0, 3.0], k=2)
        >>> float(overlap.value), float(overlap.null)
        (0.5, 0.5)
    """
    a, b = _paired(first, second)
    if not 0 < k <= len(a):
        raise ValueError(f"Expected k of 1 to {len(a)}, got {k}.")
    top_a, top_b = (np.argsort(-scores, kind="stable")[:k] for scores in (a, b))
    shared = len(np.intersect1d(top_a, top_b))
    p = stats.hypergeom.sf(shared - 1, len(a), k, k)
    nan = np.asarray(np.nan)
    share, chance = np.asarray(shared / k), np.asarray(k / len(a))
    return Estimate(share, nan, nan, np.asarray(p), null=chance)


def kendall_tau(
    first: ArrayLike, second: ArrayLike, confidence: float = 0.95
) -> Estimate:
    """Compute Kendall's rank correlation of two scores of the same images.

    Tau-b, with scipy's p-value. The interval is that of Fieller, Hartley and Pearson
    [0], which uses Fisher's transform and is valid if there are few ties.

    - [0]: Tests for rank correlation coefficients, 1957,
      https://doi.org/10.1093/biomet/44.3-4.470

    Args:
        first: Scores of N images, shape ``(N,)``.
        second: Other scores of the same images.
        confidence: Coverage of the interval.

    Returns:
        Fields of shape ``()``; NaN if a score is the same for all images. The interval
        is NaN with fewer than five images.

    Raises:
        ValueError: If the shapes differ.

    Examples:
        >>> from lightly_memloc.functional import kendall_tau
        >>> float(
        ...     kendall_tau([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 4.0, 3.0]).value.round(3)
        ... )
        0.667
    """
    a, b = _paired(first, second)
    if len(a) < 2:
        return Estimate(*(np.asarray(np.nan) for _ in range(4)))
    test = stats.kendalltau(a, b)
    error = np.sqrt(0.437 / (len(a) - 4)) if len(a) > 4 else np.nan
    half = stats.norm.ppf((1 + confidence) / 2) * error
    with np.errstate(divide="ignore"):
        z = np.arctanh(test.statistic)
    low, high = np.tanh(z - half), np.tanh(z + half)
    return Estimate(*(np.asarray(v) for v in (test.statistic, low, high, test.pvalue)))


def accuracy(
    predicted: ArrayLike, targets: ArrayLike, confidence: float = 0.95
) -> Estimate:
    """Compute accuracy with Wilson's interval over images.

    Args:
        predicted: Shape ``(N,)``: predicted classes.
        targets: Shape ``(N,)``: true classes.
        confidence: Coverage of the interval.

    Returns:
        Fields of shape ``()``, in [0, 1], without p-value.

    Raises:
        ValueError: If there are no images, or not as many predictions as targets.

    Examples:
        >>> from lightly_memloc.functional import accuracy
        >>> float(accuracy([1, 2, 3, 3], [1, 2, 3, 4]).value)
        0.75
    """
    predicted, targets = np.asarray(predicted), np.asarray(targets)
    if predicted.shape != targets.shape or predicted.ndim != 1 or not len(predicted):
        raise ValueError(
            "Expected as many predictions as targets, at least one, got "
            f"{predicted.shape} and {targets.shape}."
        )
    hits = int((predicted == targets).sum())
    interval = stats.binomtest(hits, len(targets)).proportion_ci(confidence, "wilson")
    value = hits / len(targets)
    return Estimate(*np.array([value, interval.low, interval.high]))


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[Array, Array]:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(
            f"Expected two scores of the same images, got {a.shape} and {b.shape}."
        )
    return a, b
