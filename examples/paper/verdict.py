"""What several pairs say of an effect: its interval, and a verdict."""

import pandas as pd

from lightly_memloc.functional import student_mean

CONFIRMED = "confirmed"
NOT_CONFIRMED = "not confirmed at this scale"
CONTRADICTED = "contradicted"


def estimate(effects):
    """Mean effect over pairs with Student's t interval, and what it means.

    An effect is written so that the paper's finding is a positive one. It is confirmed
    if the whole 95% interval is above zero, contradicted if it is below.

    Args:
        effects: A row a claim, effect, estimator, subject and pair: its ``value``.

    Returns:
        A row a claim, effect, estimator and subject.
    """
    keys = ["claim", "effect", "estimator", "subject"]
    rows = []
    for key, of in effects.groupby(keys, sort=False):
        mean = student_mean(of["value"])
        rows.append(
            dict(zip(keys, key, strict=True))
            | {
                "pairs": int(mean.n),
                "value": float(mean.value),
                "error": float(mean.error),
                "low": float(mean.low),
                "high": float(mean.high),
                "p": float(mean.p),
                "verdict": _verdict(mean.low, mean.high),
            }
        )
    return pd.DataFrame(rows)


def together(verdicts):
    """The verdict on a claim that several effects must show.

    It is confirmed if all of them are, and contradicted if one of them is.
    """
    found = set(verdicts)
    if found == {CONFIRMED}:
        return CONFIRMED
    return CONTRADICTED if CONTRADICTED in found else NOT_CONFIRMED


def _verdict(low, high):
    if low > 0:
        return CONFIRMED
    return CONTRADICTED if high < 0 else NOT_CONFIRMED
