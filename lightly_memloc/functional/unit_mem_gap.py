"""UnitMem gap: UnitMem on members minus UnitMem on as many non-members."""

import numpy as np
from numpy.typing import NDArray

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import Array, as_far

# Swaps double with each pair of groups.
MAX_PAIRS = 10

# Units whose UnitMem after all swaps is held at a time: one megabyte.
_BLOCK = 128


def unit_mem_gap(
    largest: Array, total: Array, counts: Array, confidence: float = 0.95
) -> Estimate:
    """Compute the mean over units of UnitMem on members minus that on non-members.

    Members and non-members come in as many random groups of images, the j-th group of
    both of one size. Under the null a group of members and its partner are
    exchangeable, so the p-value compares the gap with those after each of the ``2**G``
    ways to swap partners. What is kept per group is enough to recompute UnitMem after
    a swap, however many images there are. A bootstrap would lower the maxima that
    UnitMem is made of. The interval is therefore the estimate plus and minus the same
    quantile of the swapped gaps.

    Args:
        largest: Largest activation within each group, shape ``(2, G, U)``, members
            first; units whose largest is 0 everywhere are dead and left out.
        total: Sum of activations within each group, shape ``(2, G, U)``.
        counts: Images in each group, shape ``(2, G)``.
        confidence: Coverage of the interval.

    Returns:
        Estimate with fields of shape ``(1,)``, in [-1, 1] if no activation is
        negative; NaN without live units.

    Raises:
        ValueError: If there are more than ten pairs of groups.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional import unit_mem_gap
        >>> largest = np.array([[[3.0], [1.0]], [[1.0], [1.0]]])
        >>> unit_mem_gap(largest, largest, np.ones((2, 2))).value
        array([0.5])
    """
    n_pairs = counts.shape[1]
    if n_pairs > MAX_PAIRS:
        raise ValueError(
            f"Expected at most {MAX_PAIRS} pairs of groups, got {n_pairs}."
        )
    alive = ((largest != 0) & (counts[..., None] > 0)).any(axis=(0, 1))
    if not alive.any() or counts.sum(axis=1).min() < 2:
        return Estimate.unknown(1)
    largest, total = largest[..., alive], total[..., alive]
    mean = np.zeros(1 << n_pairs)
    for start in range(0, int(alive.sum()), _BLOCK):
        block = slice(start, start + _BLOCK)
        mean += _summed_unit_mem(largest[..., block], total[..., block], counts)
    mean /= alive.sum()
    # Partners stand at the complement of a choice: the same table, read backwards.
    gaps = mean - mean[::-1]
    value = gaps[:1]
    # A swap that leaves a side with one image says nothing: its gap is NaN.
    swapped = gaps[~np.isnan(gaps)]
    margin = np.quantile(np.abs(swapped), confidence)
    p = as_far(swapped, value).mean(keepdims=True)
    return Estimate(value, value - margin, value + margin, p)


def _summed_unit_mem(largest: Array, total: Array, counts: Array) -> Array:
    """UnitMem, summed over units, on each choice of one group of every pair."""
    chosen_max = _choices(largest, np.maximum)
    n_others = _choices(counts[..., None].astype(np.float64), np.add) - 1
    n_others[n_others < 1] = np.nan
    rest = (_choices(total, np.add) - chosen_max) / n_others
    scale = chosen_max + rest
    scale[chosen_max == 0] = np.inf
    return np.asarray(((chosen_max - rest) / scale).sum(axis=1))


def _choices(groups: Array, combine: np.ufunc) -> NDArray[np.float64]:
    """Combinations of one group of every pair, shape ``(2**G, U)``.

    Args:
        groups: Shape ``(2, G, U)``.
        combine: How the chosen groups are combined.
    """
    combined = groups[:, -1]
    for pair in range(groups.shape[1] - 2, -1, -1):
        combined = np.concatenate(
            [combine(combined, groups[0, pair]), combine(combined, groups[1, pair])]
        )
    return combined
