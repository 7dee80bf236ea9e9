"""Verdicts on claims: one p-value per claim, corrected over all claims.

An effect is positive if its claim is right. A claim needs all of its effects. It is
confirmed by the largest of their one-sided p-values (intersection-union test), and
contradicted by the smallest of those in the other direction after Holm's correction.
Twice the smaller of both is the claim's p-value: if all effects are zero, the claim is
confirmed with a probability of at most 2.5%, and contradicted with at most 2.5%.
Correcting these p-values over all claims gives q, on which the verdict rests.
"""

import numpy as np
from scipy import stats

CONFIRMED = "confirmed"
NOT_CONFIRMED = "not confirmed at this scale"
CONTRADICTED = "contradicted"
NOT_TESTABLE = "not testable as stated"
LEVEL = 0.05


def holm(p):
    """Correct p-values by Holm's method, which holds under any dependence.

    Args:
        p: Shape ``(..., K)``.
    """
    p = np.asarray(p, dtype=float)
    order = p.argsort(axis=-1)
    factors = np.arange(p.shape[-1], 0, -1)
    corrected = np.take_along_axis(p, order, axis=-1) * factors
    corrected = np.maximum.accumulate(corrected, axis=-1).clip(max=1)
    return np.take_along_axis(corrected, order.argsort(axis=-1), axis=-1)


def adjusted(values, p):
    """Correct the two-sided p-values of the effects of a claim.

    The one-sided p-values of each direction are corrected by Holm's method. An effect
    has twice the p-value of its direction.

    Args:
        values: Effects, shape ``(..., K)``.
        p: Their two-sided p-values; NaN where there is none.
    """
    greater, less = map(holm, _one_sided(values, p))
    both = np.where(np.asarray(values) > 0, greater, less)
    return np.where(np.isnan(p), np.nan, (2 * both).clip(max=1))


def of_claim(values, p):
    """Compute the p-value of a claim.

    Args:
        values: The effects of the claim, shape ``(..., K)``.
        p: Their two-sided p-values; NaN where there is none.

    Returns:
        The two-sided p-value of the claim, NaN if no effect has one, and whether it is
        one for the claim (else against it), of shape ``(...)``.
    """
    p = np.asarray(p, dtype=float)
    greater, less = _one_sided(values, p)
    for_claim, against = greater.max(axis=-1), holm(less).min(axis=-1)
    both = (2 * np.minimum(for_claim, against)).clip(max=1)
    return np.where(np.isnan(p).all(axis=-1), np.nan, both), for_claim < against


def over_claims(p):
    """Correct the p-values of all claims.

    Args:
        p: Shape ``(N,)``; NaN for claims without p-value, which count as 1.

    Returns:
        The p-values corrected by Holm's method, and the q-values of Benjamini and
        Hochberg; NaN where p is.
    """
    p = np.asarray(p, dtype=float)
    known = np.nan_to_num(p, nan=1.0)
    corrected = holm(known), stats.false_discovery_control(known)
    return tuple(np.where(np.isnan(p), np.nan, of) for of in corrected)


def verdict(q, is_for):
    """Give the verdict on a claim.

    Args:
        q: Its q-value; NaN if there is none.
        is_for: Whether the effects are for the claim (else against it).
    """
    if not q <= LEVEL:
        return NOT_CONFIRMED
    return CONFIRMED if is_for else CONTRADICTED


def _one_sided(values, p):
    """Return the p-values of effects above zero and below zero; 1 where p is NaN."""
    values, p = np.asarray(values, dtype=float), np.asarray(p, dtype=float)
    half = p / 2
    greater = np.where(values > 0, half, 1 - half)
    less = np.where(values < 0, half, 1 - half)
    return tuple(np.nan_to_num(of, nan=1.0) for of in (greater, less))
