"""Member share: how often a unit's most activating image is one it was trained on."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import (
    Array,
    as_far,
    percentile_interval,
    permuted_labels,
    step_down_p,
)

# Standard errors are floored at this share of the error under the null: differences
# that are equal in each role would otherwise give quotients of rounding errors.
_SMALLEST_ERROR = 1e-6


def member_share(
    wins: ArrayLike,
    is_member: NDArray[np.bool_],
    n_resamples: int = 999,
    confidence: float = 0.95,
    seed: int = 0,
    *,
    reference_wins: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    strata: ArrayLike | None = None,
) -> Estimate:
    r"""Compute the share of units whose most activating image is a member.

    UnitMem measures selectivity, and units are selective for unseen images, too. Which
    image activates a unit most separates memorisation from selectivity. Units are not
    independent, because many share this image. Therefore, the p-value permutes
    membership over images.

    The interval is Wilson's, for the effective number of images
    :math:`n = (\sum_i w_i)^2 / \sum_i w_i^2` with wins :math:`w_i` in place of the
    number of units. Its quantile is that of the permutations. Where few images win,
    it is widened by the ratio of Student's quantile with :math:`n - 1` degrees of
    freedom to the normal one; the end next to chance is not, if p is significant. The
    interval excludes chance exactly if p is at most ``1 - confidence``.

    With a reference encoder g that was trained on the non-members instead, an image
    that wins units of any encoder counts once for members and once against them. The
    estimate is the mean of f's share and g's share with the roles exchanged:

    .. math::
        \frac{1}{2} + \frac{1}{2} \sum_{i \in \mathrm{members}} D_i, \quad
        D_i = \frac{w_i^f}{\sum_j w_j^f} - \frac{w_i^g}{\sum_j w_j^g}

    The difference of the mean :math:`D_i` of members and of non-members is divided by
    Welch's standard error, and its permutations give p-value and quantile.

    Args:
        wins: Number of live units that each image of a mix wins, being their most
            activating image, by layer: shape ``(N, L)``, or ``(N,)`` for one layer.
        is_member: Whether each image of the mix is a member, shape ``(N,)``. The
            chance level is the share of members in the mix, 0.5 in a balanced one; it
            is always 0.5 with a reference encoder.
        n_resamples: Number of permutations, the same for all layers.
        confidence: Coverage of the interval, and of the range by chance.
        seed: Seed of the permutations.
        reference_wins: Number of live units of the reference encoder that each image
            wins, same shape as ``wins``.
        groups: Group of each image, shape ``(N,)``; groups are permuted as a whole.
        strata: Stratum of each image, shape ``(N,)``; membership is permuted within.

    Returns:
        Estimate with fields of shape ``(L,)``, in [0, 1]; NaN without live units. The
        share with permuted membership lies between ``null_low`` and ``null_high``.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional import member_share
        >>> is_member = np.array([True, True, False, False])
        >>> member_share([1, 2, 1, 0], is_member).value
        array([0.75])
        >>> member_share([1, 2, 1, 0], is_member, reference_wins=[1, 1, 1, 1]).value
        array([0.625])
    """
    every = _by_layer(wins)
    every_reference = None if reference_wins is None else _by_layer(reference_wins)
    alive = every.sum(axis=0) > 0
    if every_reference is not None:
        alive &= every_reference.sum(axis=0) > 0
    value, low, high, p, adjusted, null_low, null_high = np.full(
        (7, len(alive)), np.nan
    )
    estimate = Estimate(
        value, low, high, p, adjusted, null_low=null_low, null_high=null_high
    )
    if not alive.any():
        return estimate
    rng = np.random.default_rng(seed)
    permutations = permuted_labels(is_member, n_resamples, rng, groups, strata)
    shares = _shares(every[:, alive])
    effective = _effective_number(shares, groups)
    # Sums over members have the observed labels first.
    if every_reference is None:
        chance = is_member.mean()
        permuted = _sums(is_member, permutations, shares)
        error = np.sqrt(chance * (1 - chance) / effective)
        statistic = permuted - chance
        scale = statistic[1:].std(axis=0)
    else:
        chance = 0.5
        of_g = _shares(every_reference[:, alive])
        difference = shares - of_g
        columns = np.concatenate([difference, difference**2], axis=1)
        total, squares = np.split(_sums(is_member, permutations, columns), 2, axis=1)
        welch = _standard_errors(total, squares, difference, int(is_member.sum()))
        permuted = chance + total / 2
        error, statistic, scale = welch[0] / 2, total / welch, np.ones(len(welch[0]))
        effective = np.minimum(
            _effective_number(np.abs(difference), groups),
            (effective + _effective_number(of_g, groups)) / 2,
        )
    standardised = np.abs(statistic) / np.where(scale > 0, scale, 1)
    n_as_far = as_far(statistic[1:], statistic[0]).sum(axis=0)
    p[alive] = (1 + n_as_far) / (1 + n_resamples)
    adjusted[alive] = step_down_p(standardised[1:], standardised[0])
    value[alive] = permuted[0]

    # The smallest quantile that the observed statistic exceeds if p is significant.
    level = 1 - confidence
    rank = int(np.floor(level * (1 + n_resamples) + 1e-9))
    quantile = np.full(len(error), np.inf)
    if rank:
        quantile = np.sort(np.abs(statistic[1:]), axis=0)[-rank]
    if every_reference is None:
        quantile = quantile / error
    few = stats.t.ppf(1 - level / 2, np.maximum(effective - 1, 0.05))
    wider = quantile * few / stats.norm.ppf(1 - level / 2)
    interval = _wilson if every_reference is None else _symmetric
    spread = effective if every_reference is None else error
    near, far = (interval(value[alive], spread, of) for of in (quantile, wider))
    found = p[alive] <= level + 1e-12
    low[alive] = np.where(found & (value[alive] > chance), near[0], far[0])
    high[alive] = np.where(found & (value[alive] < chance), near[1], far[1])
    null_low[alive], null_high[alive] = percentile_interval(permuted[1:], confidence)
    return estimate


def _by_layer(wins: ArrayLike) -> Array:
    by_layer = np.asarray(wins, dtype=np.float64)
    return by_layer[:, None] if by_layer.ndim == 1 else by_layer


def _shares(wins: Array) -> Array:
    return np.asarray(wins / wins.sum(axis=0))


def _effective_number(weights: Array, groups: ArrayLike | None) -> Array:
    """Effective number of images, or of groups; 1 without weight. Shape ``(L,)``."""
    if groups is not None:
        codes = np.unique(np.asarray(groups), return_inverse=True)[1]
        by_group = np.zeros((codes.max() + 1, weights.shape[1]))
        np.add.at(by_group, codes, weights)
        weights = by_group
    squares = (weights**2).sum(axis=0)
    none = squares == 0
    number = weights.sum(axis=0) ** 2 / np.where(none, 1, squares)
    return np.asarray(np.where(none, 1, number))


def _sums(
    is_member: NDArray[np.bool_],
    permutations: Iterator[NDArray[np.bool_]],
    columns: Array,
) -> Array:
    """Sums over members, and over those of each permutation, ``(1 + B, L)``."""
    blocks = (labels @ columns for labels in chain([is_member[None]], permutations))
    return np.concatenate(list(blocks))


def _standard_errors(
    total: Array, squares: Array, difference: Array, n_members: int
) -> Array:
    """Welch's standard error of sums over members.

    The differences sum to 0, so that the sum over members is proportional to the
    difference of the means of members and of non-members.

    Args:
        total: Sums over members, shape ``(1 + B, L)``.
        squares: Sums of squares over members, same shape.
        difference: What is summed, shape ``(N, L)``.
        n_members: Number of members.
    """
    n = len(difference)
    n_others = n - n_members
    everything = (difference**2).sum(axis=0)
    pooled = n_members * n_others / (n * max(n - 1, 1)) * everything
    variance = np.zeros_like(total)
    if min(n_members, n_others) > 1:
        of_members = (squares - total**2 / n_members) / (n_members - 1)
        of_others = (everything - squares - total**2 / n_others) / (n_others - 1)
        scale = (n_members * n_others / n) ** 2
        variance = scale * (of_members / n_members + of_others / n_others)
    smallest = np.where(pooled > 0, _SMALLEST_ERROR**2 * pooled, 1)
    return np.asarray(np.sqrt(np.maximum(variance, smallest)))


def _wilson(share: Array, number: Array, quantile: Array) -> tuple[Array, Array]:
    square = np.minimum(quantile, 1e6) ** 2 / number
    middle = (share + square / 2) / (1 + square)
    half = np.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def _symmetric(share: Array, error: Array, quantile: Array) -> tuple[Array, Array]:
    half = quantile * error
    return np.maximum(share - half, 0), np.minimum(share + half, 1)
