"""Member share: how often a unit's most activating image is one it was trained on."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import (
    as_far,
    bootstrap_counts,
    percentile_interval,
    permuted_labels,
)


def member_share(
    wins: ArrayLike,
    is_member: NDArray[np.bool_],
    n_resamples: int = 999,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Compute the share of units whose most activating image is a member.

    UnitMem measures selectivity, and units are selective for unseen images, too. Which
    image activates a unit most separates memorisation from selectivity. Units are not
    independent, because many share this image. Therefore, the p-value permutes
    membership over images, and the interval resamples images, each with all the units
    that it activates most.

    Args:
        wins: Number of live units that each image of a mix wins, being their most
            activating image, by layer: shape ``(N, L)``, or ``(N,)`` for one layer.
        is_member: Whether each image of the mix is a member, shape ``(N,)``. The
            chance level is the share of members in the mix: 0.5 in a balanced one.
        n_resamples: Bootstrap resamples, and permutations, the same for all layers.
        confidence: Coverage of the interval, and of the range by chance.
        seed: Seed of both.

    Returns:
        Estimate with fields of shape ``(L,)``, in [0, 1]; NaN without live units. The
        share with permuted membership lies between ``null_low`` and ``null_high``.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional import member_share
        >>> is_member = np.array([True, True, False, False])
        >>> member_share([1, 2, 1, 0], is_member).value
        array([0.75])
    """
    every_layer = np.asarray(wins, dtype=np.float64)
    if every_layer.ndim == 1:
        every_layer = every_layer[:, None]
    alive = every_layer.sum(axis=0) > 0
    value, low, high, p, null_low, null_high = np.full((6, len(alive)), np.nan)
    estimate = Estimate(value, low, high, p, null_low=null_low, null_high=null_high)
    if not alive.any():
        return estimate
    won = every_layer[:, alive]
    share_of_units, chance = won / won.sum(axis=0), is_member.mean()
    value[alive] = is_member @ share_of_units
    rng = np.random.default_rng(seed)
    # A resample that draws no winner says nothing: NaN, left out of the interval.
    with np.errstate(invalid="ignore"):
        resampled = np.concatenate(
            [
                (times * is_member) @ won / (times @ won)
                for times in bootstrap_counts(len(won), n_resamples, rng)
            ]
        )
    permuted = np.concatenate(
        [
            labels @ share_of_units
            for labels in permuted_labels(is_member, n_resamples, rng)
        ]
    )
    n_as_far = as_far(permuted - chance, value[alive] - chance).sum(axis=0)
    p[alive] = (1 + n_as_far) / (1 + n_resamples)
    low[alive], high[alive] = percentile_interval(resampled, confidence)
    null_low[alive], null_high[alive] = percentile_interval(permuted, confidence)
    return estimate
