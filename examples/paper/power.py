"""The smallest effect that several pairs can detect, estimated from a pilot."""

import math

import pandas as pd
from claims import DECIDES
from scipy import optimize, stats

POWER = 0.8


def smallest_effect(deviation, pairs, power=POWER):
    """Compute the smallest effect that is detected with a given power.

    An effect is detected if its 95% interval over pairs lies above zero. The power of
    this t-test of one mean follows from the noncentral t distribution.

    Args:
        deviation: Standard deviation of the effect over pairs.
        pairs: Number of pairs.
        power: The power.
    """
    freedom = pairs - 1
    least = stats.t.ppf(0.975, freedom)

    def lacks(shift):
        return stats.nct.sf(least, freedom, shift) - power

    return optimize.brentq(lacks, 0, 100) * deviation / math.sqrt(pairs)


def spread_known(pairs):
    """Compute the 95% interval of a standard deviation, relative to its estimate.

    Args:
        pairs: Number of pairs that it was estimated from.
    """
    freedom = pairs - 1
    return [math.sqrt(freedom / stats.chi2.ppf(of, freedom)) for of in (0.975, 0.025)]


def power_table(pilot, results):
    """Tabulate the spread and the smallest detectable effect, one row per effect.

    Args:
        pilot: Effects of the pilot, one row per pair.
        results: Effects of the main pairs, which decide the verdicts.

    Returns:
        The pilot's number of pairs, mean and standard deviation; the smallest effect
        that the number of main pairs detects; and their own standard deviation. Effects
        that the pilot did not measure are left out.
    """
    n_pairs = results["pair"].nunique()
    keys = ["claim", "effect", "estimator"]
    after = _trained(results).groupby(keys)["value"].std()
    rows = []
    for key, of in _trained(pilot).groupby(keys, sort=False):
        claim, _, estimator = key
        if estimator != DECIDES[claim] or key not in after.index:
            continue
        mean, deviation = of["value"].mean(), of["value"].std()
        row = dict(zip(keys, key, strict=True))
        row |= {"pairs": len(of), "mean": mean, "deviation": deviation}
        row |= {
            "smallest": smallest_effect(deviation, n_pairs),
            "in_results": after[key],
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _trained(effects):
    return effects[effects["subject"] == "trained"]
