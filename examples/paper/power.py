"""How small an effect several pairs can find, from what a pilot's pairs spread."""

import math

import pandas as pd
from claims import DECIDES
from scipy import optimize, stats

POWER = 0.8


def smallest_effect(deviation, pairs, power=POWER):
    """The effect whose 95% interval over pairs lies above zero with a given power.

    Student's t-test of one mean: power by the noncentral t distribution.

    Args:
        deviation: Standard deviation of the effect from pair to pair.
        pairs: Number of pairs.
        power: The power.
    """
    freedom = pairs - 1
    least = stats.t.ppf(0.975, freedom)

    def lacks(shift):
        return stats.nct.sf(least, freedom, shift) - power

    return optimize.brentq(lacks, 0, 100) * deviation / math.sqrt(pairs)


def spread_known(pairs):
    """Ends of the 95% interval of a standard deviation, in units of the one found.

    Args:
        pairs: Number of pairs that it was found from.
    """
    freedom = pairs - 1
    return [math.sqrt(freedom / stats.chi2.ppf(of, freedom)) for of in (0.975, 0.025)]


def power_table(pilot, results):
    """A row an effect that a verdict rests on: its spread, and what pairs can find.

    Args:
        pilot: The pilot's effects, a row a pair.
        results: The effects of the pairs that verdicts rest on.

    Returns:
        The pilot's number of pairs, mean and standard deviation; the smallest effect
        that as many pairs as the results have find by that; what these spread.
    """
    n_pairs = results["pair"].nunique()
    keys = ["claim", "effect", "estimator"]
    after = _trained(results).groupby(keys)["value"].std()
    rows = []
    for key, of in _trained(pilot).groupby(keys, sort=False):
        claim, _, estimator = key
        if estimator not in DECIDES[claim]:
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
