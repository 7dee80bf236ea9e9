"""Membership inference: how well a score separates members from others."""

from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special, stats

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import Array


class Membership(NamedTuple):
    """How well a score separates members from non-members, one entry per layer.

    Attributes:
        auc: Area under the ROC curve: the chance that a member's score exceeds a
            non-member's, ties counted half; 0.5 if the score carries no information.
            Its p-value is that of the two-sided Mann-Whitney test against 0.5.
        tpr: Share of members above the threshold that at most 1% of non-members are
            expected to exceed; at most 0.01 by chance. Its p-value is one-sided.
    """

    auc: Estimate
    tpr: Estimate


def membership(
    members: ArrayLike,
    non_members: ArrayLike,
    false_positives: float | None = 0.01,
    confidence: float = 0.95,
) -> Membership:
    """Compute AUC, and the true positive rate at a low false positive rate [0].

    The interval of the AUC is computed on the logit scale and with Student's t. Its
    variance is the larger one of DeLong's [1], which vanishes for few images and for an
    AUC near 0 or 1, and Hanley and McNeil's [2]. An AUC of 0 or 1 keeps a finite
    interval.

    The threshold of the true positive rate at the false positive rate ``a`` is the
    ``floor(a (M + 1))``-th highest score of the M non-members. A further non-member
    exceeds it with a probability of at most ``a``. If members and non-members are
    exchangeable, the number of members above the threshold follows the negative
    hypergeometric distribution, which gives the p-value. The interval combines a
    bracket of the threshold, whose true false positive rate follows a Beta
    distribution, with the Clopper-Pearson interval of the members above it. It covers
    the true positive rate at ``a`` with at least the confidence, for scores of any
    distribution. Its lower end is 0 for few non-members: at 1% and a confidence of 95%
    below 437.

    - [0]: Membership Inference Attacks From First Principles, 2021,
      https://arxiv.org/abs/2112.03570
    - [1]: DeLong et al., 1988, https://doi.org/10.2307/2531595
    - [2]: Hanley and McNeil, 1982, https://doi.org/10.1148/radiology.143.1.7063747

    Args:
        members: Shape ``(N,)`` or ``(N, L)``: scores that are larger for members, N >= 2.
        non_members: Shape ``(M,)`` or ``(M, L)``, M >= 2.
        false_positives: The false positive rate, between 0 and 1. None computes the AUC
            alone: all fields of ``tpr`` are NaN.
        confidence: Coverage of the intervals.

    Returns:
        Estimates with fields of shape ``(L,)``.

    Raises:
        ValueError: If a set has fewer than two images, the shapes do not fit, or the
            non-members are fewer than :func:`non_members_needed`.

    Examples:
        >>> from lightly_memloc.functional import membership
        >>> found = membership([0.9, 0.8, 0.4], [0.5, 0.1], false_positives=None)
        >>> found.auc.value.round(3)
        array([0.833])
    """
    first, second = (
        np.atleast_2d(np.asarray(values, dtype=np.float64).T).T
        for values in (members, non_members)
    )
    if min(len(first), len(second)) < 2 or first.shape[1:] != second.shape[1:]:
        raise ValueError(
            "Expected scores of at least two members and two non-members in as many "
            f"layers, got {np.shape(members)} and {np.shape(non_members)}."
        )
    layers = list(zip(first.T, second.T, strict=True))
    auc = [_auc(one, other, confidence) for one, other in layers]
    if false_positives is None:
        return Membership(Estimate(*np.array(auc).T), Estimate.unknown(len(layers)))
    needed = non_members_needed(false_positives)
    if len(second) < needed:
        raise ValueError(
            f"Expected at least {needed} non-members for a false positive rate of "
            f"{false_positives:g}, got {len(second)}. Add non-members, raise "
            "false_positives, or pass None to compute the AUC alone."
        )
    tpr = [_tpr(one, other, false_positives, confidence) for one, other in layers]
    return Membership(Estimate(*np.array(auc).T), Estimate(*np.array(tpr).T))


def non_members_needed(false_positives: float) -> int:
    """Compute the smallest number of non-members that resolves a false positive rate.

    With ``M`` non-members, the highest score is exceeded by a further one with
    probability ``1 / (M + 1)``.

    Args:
        false_positives: The false positive rate, between 0 and 1.

    Raises:
        ValueError: If the rate is not between 0 and 1.

    Examples:
        >>> from lightly_memloc.functional import non_members_needed
        >>> non_members_needed(0.01)
        99
    """
    return ceil(1 / _exact(false_positives)) - 1


def _exact(rate: float) -> Fraction:
    """The rate as it is written in decimals, free of its rounding error in binary."""
    if not 0 < rate < 1:
        raise ValueError(f"Expected a false positive rate between 0 and 1, got {rate}.")
    return Fraction(str(float(rate)))


def _auc(first: Array, second: Array, confidence: float) -> tuple[float, ...]:
    # Each image's share of the pairs that it wins.
    wins_first = _share_below(np.sort(second), first)
    wins_second = 1 - _share_below(np.sort(first), second)
    auc = float(wins_first.mean())
    low, high = _logit_interval(auc, wins_first, wins_second, confidence)
    return auc, low, high, float(stats.mannwhitneyu(first, second).pvalue)


def _logit_interval(
    auc: float, wins_first: Array, wins_second: Array, confidence: float
) -> tuple[float, float]:
    n, m = len(wins_first), len(wins_second)
    # Half an image of the smaller set keeps the logit finite and its error moderate.
    margin = 1 / (2 * min(n, m))
    center = min(max(auc, margin), 1 - margin)
    parts = np.array([wins_first.var(ddof=1) / n, wins_second.var(ddof=1) / m])
    delong = parts.sum()
    variance = max(delong, _hanley_mcneil(center, n, m), _hanley_mcneil(center, m, n))
    # Welch's degrees of freedom.
    freedom = float(min(n, m) - 1)
    if delong > 0:
        freedom = max(freedom, delong**2 / (parts**2 / [n - 1, m - 1]).sum())
    half = stats.t.ppf((1 + confidence) / 2, freedom) * np.sqrt(variance)
    half /= center * (1 - center)
    low, high = special.expit(special.logit(center) + np.array([-half, half]))
    # The moved center must not exclude the estimate.
    return min(float(low), auc), max(float(high), auc)


def _hanley_mcneil(auc: float, n: int, m: int) -> float:
    """Variance of the AUC of n members and m non-members with exponential scores."""
    two_members = auc / (2 - auc) - auc**2
    two_others = 2 * auc**2 / (1 + auc) - auc**2
    spread = auc * (1 - auc) + (n - 1) * two_members + (m - 1) * two_others
    return spread / (n * m)


def _share_below(ordered: Array, values: Array) -> Array:
    """Share of ordered numbers below each value, equal ones counted half."""
    below = np.searchsorted(ordered, values, "left")
    up_to = np.searchsorted(ordered, values, "right")
    share: Array = (below + up_to) / (2 * len(ordered))
    return share


def _tpr(
    first: Array, second: Array, false_positives: float, confidence: float
) -> tuple[float, ...]:
    n, m = len(first), len(second)
    rank = floor(_exact(false_positives) * (m + 1))
    n_above = _above_rank(first, second, rank)
    # Members drawn before the rank-th non-member, from the highest score down.
    p = stats.nhypergeom.sf(n_above - 1, n + m, n, rank)

    # Half of each tail is for the threshold. The true false positive rate of the r-th
    # highest score follows Beta(r, m - r + 1): it exceeds the wanted one with the
    # probability that a binomial count is below r. The members get what the threshold,
    # which has a discrete rank, leaves of the tail.
    tail = (1 - confidence) / 2
    count = stats.binom(m, float(false_positives))
    stricter, looser = int(count.ppf(tail / 2)), int(count.ppf(1 - tail / 2)) + 1
    low, high = 0.0, 1.0
    if stricter >= 1:
        rest = 1 - (1 - tail) / count.sf(stricter - 1)
        above = _above_rank(first, second, stricter)
        low = stats.beta.ppf(rest, above, n - above + 1) if above else 0.0
    if looser <= m:
        rest = 1 - (1 - tail) / count.cdf(looser - 1)
        above = _above_rank(first, second, looser)
        high = stats.beta.isf(rest, above + 1, n - above) if above < n else 1.0
    return n_above / n, float(low), float(high), float(p)


def _above_rank(first: Array, second: Array, rank: int) -> int:
    """Number of members above the rank-th highest score of the non-members."""
    return int((first > np.sort(second)[-rank]).sum())
