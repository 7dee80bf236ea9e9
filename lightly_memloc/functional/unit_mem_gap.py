"""UnitMem gap: UnitMem on members minus UnitMem on as many non-members."""

import numpy as np
from numpy.typing import NDArray

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import Array, as_far, block_sizes


def unit_mem_gap(
    largest: Array,
    total: Array,
    counts: Array,
    n_resamples: int = 499,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Compute the mean over units of UnitMem on members minus that on non-members.

    Members and non-members come in as many random groups of images, the j-th group of
    both of one size. Under the null a group of members and its partner are
    exchangeable, so the p-value swaps random pairs of groups. What is kept per group
    is enough to recompute UnitMem after a swap, however many images there are. A
    bootstrap would lower the maxima that UnitMem is made of. The interval is therefore
    the estimate plus and minus the same quantile of the swapped gaps.

    Args:
        largest: Largest activation within each group, shape ``(2, G, U)``, members
            first; units whose largest is 0 everywhere are dead and left out.
        total: Sum of activations within each group, shape ``(2, G, U)``.
        counts: Images in each group, shape ``(2, G)``.
        n_resamples: Swaps.
        confidence: Coverage of the interval.
        seed: Seed of the swaps.

    Returns:
        Estimate with fields of shape ``(1,)``, in [-1, 1] if no activation is
        negative; NaN without live units.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional import unit_mem_gap
        >>> largest = np.array([[[3.0], [1.0]], [[1.0], [1.0]]])
        >>> unit_mem_gap(largest, largest, np.ones((2, 2))).value
        array([0.5])
    """
    alive = ((largest != 0) & (counts[..., None] > 0)).any(axis=(0, 1))
    if not alive.any() or counts.sum(axis=1).min() < 2:
        return Estimate(*(np.full(1, np.nan) for _ in Estimate._fields))
    largest, total = largest[..., alive], total[..., alive]
    n_groups = counts.shape[1]

    def gap(keep: NDArray[np.bool_]) -> Array:
        """Gaps of shape (S,) where keep, of shape (S, G), marks unswapped pairs."""
        member_max, other_max = _maxima(largest, keep)
        member, other = (
            _mean_unit_mem(
                maxima,
                kept @ (total[0] - total[1]) + total[1].sum(axis=0),
                kept @ (counts[0] - counts[1]) + counts[1].sum(),
            )
            for maxima, kept in (
                (member_max, keep.astype(np.float64)),
                (other_max, 1.0 - keep),
            )
        )
        return member - other

    rng = np.random.default_rng(seed)
    value = gap(np.ones((1, n_groups), dtype=bool))
    swapped = np.concatenate(
        [
            gap(rng.integers(2, size=(size, n_groups)).astype(bool))
            for size in block_sizes(n_resamples, largest.shape[2])
        ]
    )
    # A swap that leaves a side with one image says nothing: its gap is NaN.
    swapped = swapped[~np.isnan(swapped)]
    margin = np.quantile(np.abs(swapped), confidence) if len(swapped) else np.nan
    p = (1 + as_far(swapped, value).sum()) / (1 + len(swapped))
    return Estimate(value, value - margin, value + margin, np.array([p]))


def _maxima(largest: Array, keep: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Maxima of shape (S, U) over the kept groups, and over their partners."""
    kept = np.full((len(keep), largest.shape[2]), -np.inf)
    partners = kept.copy()
    for group in range(largest.shape[1]):
        keeps = keep[:, group, None]
        member, other = largest[:, group]
        np.maximum(kept, np.where(keeps, member, other), out=kept)
        np.maximum(partners, np.where(keeps, other, member), out=partners)
    return kept, partners


def _mean_unit_mem(largest: Array, total: Array, n_images: Array) -> Array:
    n_others = np.where(n_images > 1, n_images - 1, np.nan)
    rest = (total - largest) / n_others[:, None]
    alive = largest != 0
    scale = np.where(alive, largest + rest, 1)
    return np.asarray(np.where(alive, (largest - rest) / scale, 0).mean(axis=1))
