"""Member share: how often a unit's most activating image is one it was trained on."""

import numpy as np
from numpy.typing import NDArray

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import (
    as_far,
    block_sizes,
    percentile_interval,
    permuted_labels,
)


def member_share(
    winners: NDArray[np.integer],
    is_member: NDArray[np.bool_],
    n_resamples: int = 999,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Compute the share of units whose most activating image is a member.

    UnitMem measures selectivity, which units have for images that the encoder never
    saw, too; which image wins tells memorisation from selectivity. Units are not
    independent, since many share a winner. Hence the p-value permutes membership over
    images, and the interval resamples images, each with all the units that it wins.

    Args:
        winners: Position of the winning image of each live unit, shape ``(U,)``, in a
            mix of N images.
        is_member: Whether each image of the mix is a member, shape ``(N,)``. The
            chance level is the share of members in the mix: 0.5 in a balanced one.
        n_resamples: Bootstrap resamples, and permutations.
        confidence: Coverage of the interval.
        seed: Seed of both.

    Returns:
        Estimate with fields of shape ``(1,)``, in [0, 1]; NaN without live units.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional import member_share
        >>> is_member = np.array([True, True, False, False])
        >>> member_share(np.array([0, 1, 1, 2]), is_member).value
        array([0.75])
    """
    if not len(winners):
        return Estimate(*(np.full(1, np.nan) for _ in Estimate._fields))
    n_images, chance = len(is_member), is_member.mean()
    wins = np.bincount(winners, minlength=n_images).astype(np.float64)
    value = is_member @ wins / wins.sum()
    rng = np.random.default_rng(seed)
    resampled = []
    member_wins = wins * is_member
    for size in block_sizes(n_resamples, n_images):
        drawn = rng.integers(n_images, size=(size, n_images), dtype=np.int32)
        # A resample that draws no winner says nothing: NaN, left out of the interval.
        with np.errstate(invalid="ignore"):
            resampled.append(member_wins[drawn].sum(axis=1) / wins[drawn].sum(axis=1))
    low, high = percentile_interval(np.concatenate(resampled), confidence)
    n_as_far = sum(
        int(as_far(labels @ wins / wins.sum() - chance, value - chance).sum())
        for labels in permuted_labels(is_member, n_resamples, rng)
    )
    p = (1 + n_as_far) / (1 + n_resamples)
    return Estimate(*(np.array([field]) for field in (value, low, high, p)))
