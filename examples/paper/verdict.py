"""Verdicts on claims, from the intervals of their effects."""

CONFIRMED = "confirmed"
NOT_CONFIRMED = "not confirmed at this scale"
CONTRADICTED = "contradicted"


def verdict(low, high):
    """Give a verdict on an effect that is positive if the claim is right.

    Args:
        low: Lower end of its 95% interval.
        high: Upper end.
    """
    if low > 0:
        return CONFIRMED
    return CONTRADICTED if high < 0 else NOT_CONFIRMED


def together(verdicts):
    """Combine the verdicts on several effects of a claim.

    The claim is confirmed if all of them are confirmed, and contradicted if one of them
    is contradicted.
    """
    found = set(verdicts)
    if found == {CONFIRMED}:
        return CONFIRMED
    return CONTRADICTED if CONTRADICTED in found else NOT_CONFIRMED
