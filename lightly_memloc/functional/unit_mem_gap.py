"""UnitMem gap: UnitMem on members minus UnitMem on as many non-members."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import Array, as_far, step_down_p

# Swaps double with each pair of groups.
MAX_PAIRS = 10

# Units whose UnitMem after all swaps is held at a time: one megabyte.
_BLOCK = 128


def unit_mem_gap(
    largest: Array,
    total: Array,
    counts: Array,
    confidence: float = 0.95,
    *,
    layer_sizes: Sequence[int] | None = None,
    reference: tuple[Array, Array] | None = None,
) -> Estimate:
    r"""Compute the mean over units of UnitMem on members minus that on non-members.

    Members and non-members come in as many random groups of images, the j-th group of
    both of one size. Under the null a group of members and its partner are
    exchangeable, so the p-value compares the gap with those after each of the ``2**G``
    ways to swap partners. What is kept per group is enough to recompute UnitMem after
    a swap, however many images there are. A bootstrap would lower the maxima that
    UnitMem is made of.

    The squared standard error is the mean of two estimates. The first is the spread
    among swaps: the mean squared deviation of the gaps from their mean over all swaps of
    as many pairs, times :math:`G / (G - 1)`. It misses how much the images in the mix
    determine the size of the gap, whatever their role. The second is that of the
    jackknife that leaves out one pair of groups at a time; for few images, it is too
    large. The interval is Student's with :math:`G - 1` degrees of freedom. Where it
    contradicts the p-value, the end next to 0 is moved to the other side of 0.

    With a reference encoder g that was trained on the non-members instead, the estimate
    is the mean of f's gap and g's gap with the roles exchanged.

    Args:
        largest: Largest activation within each group, shape ``(2, G, U)``, members
            first; units whose largest is 0 everywhere are dead and left out.
        total: Sum of activations within each group, shape ``(2, G, U)``.
        counts: Images in each group, shape ``(2, G)``.
        confidence: Coverage of the interval.
        layer_sizes: Number of units of each layer, for several layers side by side.
        reference: ``largest`` and ``total`` of the reference encoder on the same groups.

    Returns:
        Estimate with fields of shape ``(L,)``, one entry per layer, in [-1, 1] if no
        activation is negative; NaN without live units. The interval is NaN with one
        pair of groups.

    Raises:
        ValueError: If there are more than ten pairs of groups.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional import unit_mem_gap
        >>> largest = np.array([[[3.0], [1.0]], [[1.0], [1.0]]])
        >>> unit_mem_gap(largest, largest, np.ones((2, 2))).value
        array([0.5])
    """
    if counts.shape[1] > MAX_PAIRS:
        raise ValueError(
            f"Expected at most {MAX_PAIRS} pairs of groups, got {counts.shape[1]}."
        )
    sizes = [largest.shape[2]] if layer_sizes is None else list(layer_sizes)
    estimate = replace(
        Estimate.unknown(len(sizes)), p_adjusted=np.full(len(sizes), np.nan)
    )
    if counts.sum(axis=1).min() < 2:
        return estimate
    filled = counts.sum(axis=0) > 0
    counts = counts[:, filled]
    encoders = (
        [(largest, total)] if reference is None else [(largest, total), reference]
    )
    every, without = zip(
        *(
            _gaps(of_groups[0][:, filled], of_groups[1][:, filled], counts, sizes)
            for of_groups in encoders
        ),
        strict=True,
    )
    if reference is None:
        gaps, left_out = every[0], without[0]
    else:
        gaps, left_out = (every[0] - every[1]) / 2, (without[0] - without[1]) / 2
    # A swap that leaves a side with one image says nothing.
    n_images = _choices(counts[..., None], np.add)[:, 0]
    usable = np.minimum(n_images, n_images[::-1]) > 1
    known = ~np.isnan(gaps[0])
    if known.any():
        columns = _estimated(
            gaps[usable][:, known],
            _number_swapped(counts.shape[1])[usable],
            left_out[:, known],
            confidence,
        )
        for field, values in zip(estimate, columns, strict=True):
            field[known] = values
    return estimate


def _estimated(
    gaps: Array, n_swapped: NDArray[np.int64], left_out: Array, confidence: float
) -> tuple[Array, ...]:
    """Value, interval, p-value and adjusted one, from the gaps after each swap.

    Args:
        gaps: Shape ``(S, L)``, the gaps without a swap first.
        n_swapped: Number of swapped pairs, shape ``(S,)``.
        left_out: Shape ``(G, L)``, the gaps without each pair of groups.
        confidence: Coverage of the interval.
    """
    n_pairs = len(left_out)
    value, distance = gaps[0], np.sort(np.abs(gaps), axis=0)[::-1]
    p = as_far(gaps, value).mean(axis=0)
    error = _standard_error(gaps, n_swapped, left_out)
    half = stats.t.ppf((1 + confidence) / 2, max(n_pairs - 1, 1)) * error
    low, high = value - half, value + half
    # Swaps come in pairs of opposite gaps: few cannot reach the level.
    rank = int((1 - confidence) * len(gaps) + 1e-9)
    if rank > 1:
        near = np.sign(value) * np.maximum(np.abs(value) - distance[rank], 0)
        found = p <= 1 - confidence
        low = np.where((value > 0) & ((low > 0) != found), near, low)
        high = np.where((value < 0) & ((high < 0) != found), near, high)
    scale = np.sqrt((gaps**2).mean(axis=0))
    standardised = np.abs(gaps) / np.where(scale > 0, scale, 1)
    adjusted = step_down_p(standardised[1:], standardised[0])
    return value, low, high, p, adjusted


def _standard_error(
    gaps: Array, n_swapped: NDArray[np.int64], left_out: Array
) -> Array:
    n_pairs = len(left_out)
    if n_pairs < 2:
        return np.full(gaps.shape[1], np.nan)
    total = np.zeros((n_pairs + 1, gaps.shape[1]))
    np.add.at(total, n_swapped, gaps)
    n_swaps = np.bincount(n_swapped, minlength=n_pairs + 1)[:, None]
    deviation = gaps - (total / np.maximum(n_swaps, 1))[n_swapped]
    of_swaps = (deviation**2).mean(axis=0) * n_pairs / (n_pairs - 1)
    of_jackknife = left_out.var(axis=0) * (n_pairs - 1)
    # Without a pair of groups, a side may have one image: then swaps alone are left.
    of_jackknife = np.where(np.isnan(of_jackknife), of_swaps, of_jackknife)
    return np.asarray(np.sqrt((of_swaps + of_jackknife) / 2))


def _number_swapped(n_pairs: int) -> NDArray[np.int64]:
    swapped = np.repeat(np.arange(2), n_pairs).reshape(2, n_pairs, 1)
    return _choices(swapped, np.add)[:, 0]


def _gaps(
    largest: Array, total: Array, counts: Array, sizes: Sequence[int]
) -> tuple[Array, Array]:
    """Mean gap over the live units of each layer, after swaps and without pairs.

    Returns:
        The gaps after each swap, shape ``(2**G, L)``, and without each pair of groups,
        shape ``(G, L)``.
    """
    n_pairs = counts.shape[1]
    alive = ((largest != 0) & (counts[..., None] > 0)).any(axis=(0, 1))
    of_layer = np.repeat(np.arange(len(sizes)), sizes)
    summed = np.zeros((1 << n_pairs, len(sizes)))
    without = np.zeros((n_pairs, len(sizes)))
    for layer in range(len(sizes)):
        units = np.flatnonzero(alive & (of_layer == layer))
        for start in range(0, len(units), _BLOCK):
            block = units[start : start + _BLOCK]
            groups = largest[..., block], total[..., block]
            summed[:, layer] += _summed_unit_mem(*groups, counts)
            for pair in range(n_pairs):
                others = np.arange(n_pairs) != pair
                members, rest = (
                    _unit_mem(
                        groups[0][role, others].max(axis=0, initial=-np.inf),
                        groups[1][role, others].sum(axis=0),
                        counts[role, others].sum(),
                    )
                    for role in (0, 1)
                )
                without[pair, layer] += (members - rest).sum()
    n_alive = np.bincount(of_layer[alive], minlength=len(sizes)).astype(np.float64)
    n_alive[n_alive == 0] = np.nan
    mean = summed / n_alive
    # Partners stand at the complement of a choice: the same table, read backwards.
    return mean - mean[::-1], without / n_alive


def _summed_unit_mem(largest: Array, total: Array, counts: Array) -> Array:
    """UnitMem, summed over units, on each choice of one group of every pair."""
    n_images = _choices(counts[..., None].astype(np.float64), np.add)
    chosen = _choices(largest, np.maximum), _choices(total, np.add)
    return np.asarray(_unit_mem(*chosen, n_images).sum(axis=1))


def _unit_mem(largest: Array, total: Array, n_images: Array) -> Array:
    """UnitMem from maxima and sums; NaN with fewer than two images."""
    n_others = np.where(n_images < 2, np.nan, n_images - 1)
    rest = (total - np.where(np.isfinite(largest), largest, 0)) / n_others
    scale = largest + rest
    scale[largest == 0] = np.inf
    return np.asarray((largest - rest) / scale)


def _choices(groups: NDArray[Any], combine: np.ufunc) -> NDArray[Any]:
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
