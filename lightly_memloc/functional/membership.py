"""Membership inference: how well a score separates members from others."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import Array, block_sizes


class Membership(NamedTuple):
    """How well a score separates members from non-members, one entry per layer.

    Attributes:
        auc: Area under the ROC curve: the chance that a member's score exceeds a
            non-member's, ties counted half; 0.5 if the score carries no information.
            Its p-value is that of the two-sided Mann-Whitney test against 0.5.
        tpr: Share of members above the score that at most 1% of non-members exceed,
            without p-value.
    """

    auc: Estimate
    tpr: Estimate


def membership(
    members: ArrayLike,
    non_members: ArrayLike,
    false_positives: float = 0.01,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Membership:
    """Compute AUC, and the true positive rate at a low false positive rate [0].

    The interval of the AUC is DeLong's [1]; that of the true positive rate comes from
    the bootstrap over members and non-members, the threshold drawn anew each time.

    - [0]: Membership Inference Attacks From First Principles, 2021,
      https://arxiv.org/abs/2112.03570
    - [1]: DeLong et al., 1988, https://doi.org/10.2307/2531595

    Args:
        members: Shape ``(N,)`` or ``(N, L)``: scores that are larger for members, N >= 2.
        non_members: Shape ``(M,)`` or ``(M, L)``, M >= 2.
        false_positives: The false positive rate.
        n_resamples: Bootstrap resamples.
        confidence: Coverage of the intervals.
        seed: Seed of the bootstrap.

    Returns:
        Estimates with fields of shape ``(L,)``. With fewer non-members than one in a hundred needs,
        no false positive is allowed.

    Raises:
        ValueError: If a set has fewer than two images or the shapes do not fit.

    Examples:
        >>> from lightly_memloc.functional import membership
        >>> membership([0.9, 0.8, 0.4], [0.5, 0.1]).auc.value.round(3)
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
    rng = np.random.default_rng(seed)
    layers = list(zip(first.T, second.T, strict=True))
    auc = [_auc(one, other, confidence) for one, other in layers]
    tpr = [
        _tpr(one, other, false_positives, n_resamples, confidence, rng)
        for one, other in layers
    ]
    return Membership(Estimate(*np.array(auc).T), Estimate(*np.array(tpr).T))


def _auc(first: Array, second: Array, confidence: float) -> tuple[float, ...]:
    # Each image's share of the pairs that it wins.
    wins_first = _share_below(np.sort(second), first)
    wins_second = 1 - _share_below(np.sort(first), second)
    auc = wins_first.mean()
    error = np.sqrt(
        wins_first.var(ddof=1) / len(first) + wins_second.var(ddof=1) / len(second)
    )
    half = stats.norm.ppf((1 + confidence) / 2) * error
    p = stats.mannwhitneyu(first, second).pvalue
    return float(auc), max(0.0, auc - half), min(1.0, auc + half), float(p)


def _share_below(ordered: Array, values: Array) -> Array:
    """Share of ordered numbers below each value, equal ones counted half."""
    below = np.searchsorted(ordered, values, "left")
    up_to = np.searchsorted(ordered, values, "right")
    share: Array = (below + up_to) / (2 * len(ordered))
    return share


def _tpr(
    first: Array,
    second: Array,
    false_positives: float,
    n_resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    allowed = int(false_positives * len(second))
    ordered, descending = np.sort(first), np.sort(second)[::-1]
    tpr = _share_above(ordered, descending[allowed])
    # The bootstrap's threshold is an order statistic of resampled ranks, and a resample
    # of the members exceeds it binomially often.
    thresholds = []
    for size in block_sizes(n_resamples, len(second)):
        ranks = rng.integers(len(second), size=(size, len(second)))
        ranks.partition(allowed, axis=1)
        thresholds.append(descending[ranks[:, allowed]])
    above = _share_above(ordered, np.concatenate(thresholds))
    drawn = rng.binomial(len(first), above) / len(first)
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(tpr), float(low), float(high)


def _share_above(ordered: Array, thresholds: ArrayLike) -> Array:
    above = len(ordered) - np.searchsorted(ordered, thresholds, "right")
    share: Array = above / len(ordered)
    return share
