"""Membership inference: how well a score separates members from others."""

from fractions import Fraction
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats
from typing_extensions import Unpack

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.means import inverted
from lightly_memloc.functional.resampling import (
    MANY_GROUPS,
    Array,
    Assignment,
    ResamplingArguments,
    as_far,
    step_down_p,
)
from lightly_memloc.functional.separation import Separated, Separation, ranks_of
from lightly_memloc.functional.separation_in_blocks import separate_in_blocks

_RESAMPLES = 2000


class Membership(NamedTuple):
    """How well a score separates members from non-members, one entry per layer.

    Attributes:
        auc: Area under the ROC curve: the chance that a member's score exceeds a
            non-member's, ties counted half; 0.5 if the score carries no information.
            Its p-value is two-sided.
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
    **resampling: Unpack[ResamplingArguments],
) -> Membership:
    """Compute AUC, and the true positive rate at a low false positive rate [0].

    The p-value of the AUC comes from permuting the images' set labels and comparing the
    studentized AUC [1] on the arcsine scale. The test is exact if members and non-members are exchangeable,
    and approximately valid if they differ in variance and size. The standard error is
    DeLong's [2], summed over groups of images [3] if there are any. Where the AUC is
    near 0 or 1, Hanley and McNeil's [4] is its least value. The interval is computed on
    the logit scale, with the quantile of the permuted statistics. It excludes 0.5
    exactly if p is at most ``1 - confidence``.

    The threshold of the true positive rate at the false positive rate ``a`` is the
    ``floor(a (M + 1))``-th highest score of the M non-members. A further non-member
    exceeds it with a probability of at most ``a``, for images without groups. The
    p-value tests whether members and non-members are exchangeable. It comes from the
    negative hypergeometric distribution or, with groups or strata, from permutations.

    The interval of the rate combines a bracket of the threshold, whose true false
    positive rate follows a Beta distribution, with the Clopper-Pearson interval of the
    members above it. It covers the true positive rate at ``a`` with at least the
    confidence, for scores of any distribution. Its lower end is 0 for few non-members:
    at 1% and a confidence of 95% below 437. With groups, the effective number of
    members follows from the design effect [5]. Non-members count as if each group had
    the same score throughout.

    - [0]: Membership Inference Attacks From First Principles, 2021,
      https://arxiv.org/abs/2112.03570
    - [1]: A studentized permutation test for the non-parametric Behrens-Fisher problem,
      Neubert and Brunner, 2007, https://doi.org/10.1016/j.csda.2006.05.024
    - [2]: DeLong et al., 1988, https://doi.org/10.2307/2531595
    - [3]: Nonparametric analysis of clustered ROC curve data, Obuchowski, 1997,
      https://doi.org/10.2307/2533958
    - [4]: Hanley and McNeil, 1982, https://doi.org/10.1148/radiology.143.1.7063747
    - [5]: Confidence intervals for proportions with small expected number of positive
      counts estimated from survey data, Korn and Graubard, 1998

    Args:
        members: Shape ``(N,)`` or ``(N, L)``: scores that are larger for members, N >= 2.
        non_members: Shape ``(M,)`` or ``(M, L)``, M >= 2.
        false_positives: The false positive rate, between 0 and 1. None computes the AUC
            alone: all fields of ``tpr`` are NaN.
        confidence: Coverage of the intervals.
        resampling: ``n_resamples``, ``seed``, ``groups`` and ``strata``. The last two
            have an entry for each of the ``N + M`` images, members first.

    Returns:
        Estimates with fields of shape ``(L,)``, with ``p_adjusted`` for the number of
        layers.

    Raises:
        ValueError: If a set has fewer than two images or groups, the shapes do not fit,
            a group has images in both sets, there are too few resamples, or the
            non-members, or their groups, are fewer than :func:`non_members_needed`.

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
    labels = np.arange(len(first) + len(second)) < len(first)
    assigned = Assignment.of(labels, resampling.get("groups"), resampling.get("strata"))
    n_groups = int(assigned.label.sum()), int((~assigned.label).sum())
    if min(n_groups) < 2:
        raise ValueError(
            "Expected images of at least two groups in both sets, got "
            f"{n_groups[0]} and {n_groups[1]}."
        )
    rate = None if false_positives is None else _exact(false_positives)
    if false_positives is not None:
        _refuse_few(n_groups[1], len(second), false_positives)
    scores = np.concatenate([first, second])
    rng = np.random.default_rng(resampling.get("seed", 0))
    n_resamples = resampling.get("n_resamples", _RESAMPLES)
    if sum(n_groups) > MANY_GROUPS:
        observed, permuted = separate_in_blocks(
            scores, assigned, rate, n_resamples, rng
        )
    else:
        separation = Separation(scores, assigned, rate)
        observed = separation.of(assigned.label[None])
        blocks = [separation.of(of) for of in assigned.permuted(n_resamples, rng)]
        permuted = Separated(*map(np.concatenate, zip(*blocks, strict=True)))
    auc = _auc(observed, permuted, n_groups, confidence)
    if rate is None:
        return Membership(auc, Estimate.unknown(first.shape[1], "p_adjusted"))
    groups = assigned.group[: len(first)], assigned.group[len(first) :]
    ends = [
        _tpr_interval(one, other, groups, rate, confidence)
        for one, other in zip(first.T, second.T, strict=True)
    ]
    low, high = np.array(ends).T
    value = observed.tpr[0]
    if len(assigned.label) == len(labels) and not np.ptp(assigned.stratum):
        # Members drawn before the rank-th non-member, from the highest score down.
        above = np.round(value * len(first))
        rank = ranks_of(rate, np.array([len(second)]))[0]
        p = stats.nhypergeom.sf(above - 1, len(labels), len(first), rank)
    else:
        p = (1 + as_far(permuted.tpr, value).sum(axis=0)) / (1 + n_resamples)
    p_adjusted = np.maximum(p, step_down_p(permuted.tpr, value))
    return Membership(auc, Estimate(value, low, high, p, p_adjusted))


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


def _refuse_few(n_groups: int, n: int, false_positives: float) -> None:
    needed = non_members_needed(false_positives)
    if n_groups >= needed:
        return
    counted = "non-members" if n_groups == n else "groups of non-members"
    raise ValueError(
        f"Expected at least {needed} {counted} for a false positive rate of "
        f"{false_positives:g}, got {n_groups}. Add {counted}, raise "
        "false_positives, or pass None to compute the AUC alone."
    )


def _auc(
    observed: Separated,
    permuted: Separated,
    n_groups: tuple[int, int],
    confidence: float,
) -> Estimate:
    # Half a group of the smaller set keeps the logit finite and its error moderate.
    margin = 1 / (2 * min(n_groups))

    def angles(of: Separated) -> tuple[Array, Array, Array]:
        """The arcsine of the AUC's root over chance, its error and its slope."""
        center = np.clip(of.auc, margin, 1 - margin)
        # DeLong's variance vanishes where the sets are apart.
        least = np.minimum(
            _hanley_mcneil(center, n_groups), _hanley_mcneil(margin, n_groups)
        )
        slope = 2 * np.sqrt(center * (1 - center))
        error = np.sqrt(np.maximum(of.variance, least)) / slope
        return np.arcsin(np.sqrt(center)) - np.pi / 4, error, slope

    (angle,), (error,), (slope,) = angles(observed)
    angle_permuted, error_permuted, _ = angles(permuted)
    statistics = np.abs(angle_permuted) / error_permuted
    auc = observed.auc[0]
    center = np.clip(auc, margin, 1 - margin)
    over_chance = inverted(angle, error, statistics, confidence)
    half = over_chance.high - over_chance.value
    # Almost no permutation separates scores that are equal but for a few.
    half = np.where(half > 0, half, stats.norm.isf((1 - confidence) / 2) * error)
    half *= slope / (center * (1 - center))
    low, high = special.expit(special.logit(center) + np.array([-half, half]))
    # The logit scale, on which chance may lie inside, is wider far from chance.
    low = np.where(over_chance.low > 0, np.maximum(low, np.nextafter(0.5, 1)), low)
    high = np.where(over_chance.high < 0, np.minimum(high, np.nextafter(0.5, 0)), high)
    # The moved center must not exclude the estimate.
    return Estimate(
        auc,
        np.minimum(low, auc),
        np.maximum(high, auc),
        over_chance.p,
        over_chance.p_adjusted,
    )


def _hanley_mcneil(auc: Array | float, n_groups: tuple[int, int]) -> Array:
    """The larger variance of the AUC if one set's scores are exponential."""
    n, m = n_groups
    of_first = auc / (2 - auc) - auc**2
    of_second = 2 * auc**2 / (1 + auc) - auc**2
    larger, smaller = np.maximum(of_first, of_second), np.minimum(of_first, of_second)
    larger, smaller = larger * (max(n, m) - 1), smaller * (min(n, m) - 1)
    variance: Array = (auc * (1 - auc) + larger + smaller) / (n * m)
    return variance


def _tpr_interval(
    first: Array,
    second: Array,
    groups: tuple[NDArray[np.int64], NDArray[np.int64]],
    false_positives: Fraction,
    confidence: float,
) -> tuple[float, float]:
    # Half of each tail is for the threshold. The true false positive rate of the r-th
    # highest score follows Beta(r, m - r + 1): it exceeds the wanted one with the
    # probability that a binomial count is below r. The members get what the threshold,
    # which has a discrete rank, leaves of the tail.
    tail = (1 - confidence) / 2
    m = int(_groups_worth(groups[1]))
    count = stats.binom(m, float(false_positives))
    stricter, looser = int(count.ppf(tail / 2)), int(count.ppf(1 - tail / 2)) + 1
    descending = np.sort(second)[::-1]
    low, high = 0.0, 1.0
    if stricter >= 1:
        rest = 1 - (1 - tail) / count.sf(stricter - 1)
        is_above = first > descending[stricter * len(second) // m - 1]
        n = _effective_size(is_above, groups[0], tail)
        above = n * is_above.mean()
        low = stats.beta.ppf(rest, above, n - above + 1) if above else 0.0
    if looser <= m:
        rest = 1 - (1 - tail) / count.cdf(looser - 1)
        is_above = first > descending[-(-looser * len(second) // m) - 1]
        n = _effective_size(is_above, groups[0], tail)
        below = n * (1 - is_above.mean())
        high = stats.beta.isf(rest, n - below + 1, below) if below else 1.0
    return float(low), float(high)


def _groups_worth(group: NDArray[np.int64]) -> float:
    """How many independent images the images are worth if their groups are of one."""
    sizes = np.bincount(group)
    return float(len(group) ** 2 / (sizes**2).sum())


def _effective_size(
    is_above: NDArray[np.bool_], group: NDArray[np.int64], tail: float
) -> float:
    """How many independent images give the share the error that its groups give it."""
    n, share = len(group), is_above.mean()
    number, sizes = np.unique(group, return_inverse=True, return_counts=True)[1:]
    if share in (0, 1):
        return _groups_worth(group)
    deviations = np.bincount(number, is_above) - sizes * share
    n_groups = len(sizes)
    variance = (deviations**2).sum() / n**2 * n_groups / (n_groups - 1)
    if not variance:
        return float(n)
    quantile, of_groups = (float(stats.t.isf(tail, of - 1)) for of in (n, n_groups))
    size = (1 + share * (1 - share) / variance) * (quantile / of_groups) ** 2
    return float(min(n, size))
