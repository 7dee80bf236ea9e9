"""What an effect means for the claim: a verdict."""

CONFIRMED = "confirmed"
NOT_CONFIRMED = "not confirmed at this scale"
CONTRADICTED = "contradicted"


def verdict(low, high):
    """The verdict on an effect that is positive where the claim is right.

    Args:
        low: Lower end of its 95% interval.
        high: Upper end.
    """
    if low > 0:
        return CONFIRMED
    return CONTRADICTED if high < 0 else NOT_CONFIRMED


def together(verdicts):
    """The verdict on a claim that several effects must show.

    It is confirmed if all of them are, and contradicted if one of them is.
    """
    found = set(verdicts)
    if found == {CONFIRMED}:
        return CONFIRMED
    return CONTRADICTED if CONTRADICTED in found else NOT_CONFIRMED
