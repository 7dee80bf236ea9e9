"""Agreement of two scores of the same images, or of predictions and targets."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import Array

# For the variance of tau, each image is compared with at most as many others.
_N_COMPARED = 2000
_BLOCK = 1000


def top_overlap(first: ArrayLike, second: ArrayLike, k: int) -> Estimate:
    """Compute the overlap of the k images with the highest scores [0].

    The p-value is that of the hypergeometric distribution. Images that tie for the last
    places of a list share these places, so that p does not depend on the order of the
    images: it is that of the overlap expected if ties are broken at random.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        first: Scores of N images, shape ``(N,)``.
        second: Other scores of the same images.
        k: Length of the lists, at most N. Of equal scores the earlier images count.

    Returns:
        Fields of shape ``()``: the share of the k images of one list that the other
        list contains, too; its expected value for random lists, ``k / N``, as
        ``null``; and the one-sided p-value, how often random lists share as many. It is
        conservative, because the overlap is a whole number, and assumes independent
        images. There is no interval: ``low`` and ``high`` are NaN.

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
    # Rounding must not lose an image.
    expected = np.floor(_share_of_place(a, k) @ _share_of_place(b, k) + 1e-9)
    p = stats.hypergeom.sf(expected - 1, len(a), k, k)
    nan = np.asarray(np.nan)
    share, chance = np.asarray(shared / k), np.asarray(k / len(a))
    return Estimate(share, nan, nan, np.asarray(p), null=chance)


def kendall_tau(
    first: ArrayLike, second: ArrayLike, confidence: float = 0.95
) -> Estimate:
    """Compute Kendall's rank correlation of two scores of the same images.

    Tau-b. The interval uses Fisher's transform, with the larger of two variances:
    that of Fieller, Hartley and Pearson [0], times the factor by which ties raise the
    variance of tau without correlation; and that of the delta method over images [1],
    which also holds if the scores depend on each other without correlation. The p-value
    is the larger of that of the interval and scipy's, a test of independence that is
    exact for few images without ties.

    Images are assumed to be independent: duplicates and clusters of images make the
    interval too narrow. In simulations of 5 to 48 independent images, 95% intervals
    cover tau in at least 94% of cases; with 5 images in 98%. If the rankings are equal or
    opposite, the other end is that of a tau that differs by half of a pair.

    - [0]: Tests for rank correlation coefficients, 1957,
      https://doi.org/10.1093/biomet/44.3-4.470
    - [1]: A class of statistics with asymptotically normal distribution, 1948,
      https://doi.org/10.1214/aoms/1177730196

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
    if len(a) < 5 or np.isnan(test.statistic):
        fields = (test.statistic, np.nan, np.nan, test.pvalue)
        return Estimate(*(np.asarray(field) for field in fields))
    error = _fisher_error(a, b, test.statistic)
    half = stats.norm.ppf((1 + confidence) / 2) * error
    # Half of a pair: the interval of equal rankings would have no width.
    bound = 1 - 1 / (len(a) * (len(a) - 1) / 2)
    z = np.arctanh(np.clip(test.statistic, -bound, bound))
    low = min(np.tanh(z - half), test.statistic)
    high = max(np.tanh(z + half), test.statistic)
    p = max(test.pvalue, 2 * stats.norm.sf(np.abs(z) / error))
    return Estimate(*(np.asarray(field) for field in (test.statistic, low, high, p)))


def accuracy(
    predicted: ArrayLike, targets: ArrayLike, confidence: float = 0.95
) -> Estimate:
    """Compute accuracy with its exact interval over images (Clopper and Pearson).

    Its coverage is at least the nominal one, for independent images and a given
    classifier.

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
    interval = stats.binomtest(hits, len(targets)).proportion_ci(confidence, "exact")
    value = hits / len(targets)
    return Estimate(*np.array([value, interval.low, interval.high]))


def _share_of_place(scores: Array, k: int) -> Array:
    """Probability of each image to be among the top k, with ties broken at random."""
    last = np.sort(scores)[-k]
    above, tied = scores > last, scores == last
    share: Array = above + tied * ((k - above.sum()) / tied.sum())
    return share


def _fisher_error(a: Array, b: Array, tau: float) -> float:
    """Standard error of the inverse hyperbolic tangent of tau-b."""
    n = len(a)
    fieller = 0.437 / (n - 4) * _tie_factor(a, b)
    if abs(tau) >= 1:
        return float(np.sqrt(fieller))
    return float(np.sqrt(max(fieller, _delta_variance(a, b, tau) / (1 - tau**2) ** 2)))


def _tie_factor(a: Array, b: Array) -> float:
    """Variance of tau-b over all orders of the images, relative to that without ties."""
    n = len(a)
    pairs = n * (n - 1)

    def ties(scores: Array) -> tuple[float, float, float]:
        t = np.unique(scores, return_counts=True)[1].astype(np.float64)
        tied = t * (t - 1)
        return tied.sum(), (tied * (t - 2)).sum(), (tied * (2 * t + 5)).sum()

    (twos_a, threes_a, spread_a), (twos_b, threes_b, spread_b) = ties(a), ties(b)
    variance = (
        (pairs * (2 * n + 5) - spread_a - spread_b) / 18
        + twos_a * twos_b / (2 * pairs)
        + threes_a * threes_b / (9 * pairs * (n - 2))
    ) / ((pairs - twos_a) * (pairs - twos_b) / 4)
    return float(variance / (2 * (2 * n + 5) / (9 * pairs)))


def _delta_variance(a: Array, b: Array, tau: float) -> float:
    """Variance of tau-b, by the delta method from each image's share of the pairs."""
    n = len(a)
    others = slice(None, None, -(-n // _N_COMPARED))
    agreeing = np.empty(n)
    for i in range(0, n, _BLOCK):
        rows = slice(i, i + _BLOCK)
        signs = (_signs(scores[rows], scores[others]) for scores in (a, b))
        agreeing[rows] = np.multiply(*signs).mean(axis=1)
    untied = []
    for scores in (a, b):
        _, group, size = np.unique(scores, return_inverse=True, return_counts=True)
        untied.append(1 - size[group] / n)
    (of_a, of_b), scale = untied, np.sqrt(untied[0].mean() * untied[1].mean())
    part = agreeing / scale - tau / 2 * (of_a / of_a.mean() + of_b / of_b.mean())
    return float(4 * part.var(ddof=1) / n)


def _signs(first: Array, second: Array) -> NDArray[np.int8]:
    difference = first[:, None] > second, first[:, None] < second
    return np.subtract(*(side.view(np.int8) for side in difference))


def _paired(first: ArrayLike, second: ArrayLike) -> tuple[Array, Array]:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(
            f"Expected two scores of the same images, got {a.shape} and {b.shape}."
        )
    return a, b
