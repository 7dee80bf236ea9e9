"""Enumerated distributions against which resampled numbers are held."""

import itertools
import math

import numpy as np

# Standard errors of the resampling that a resampled number may be off.
STANDARD_ERRORS = 5


def relabellings(labels):
    """Every assignment of as many True as in labels, each equally likely."""
    n, n_true = len(labels), int(sum(labels))
    for chosen in itertools.combinations(range(n), n_true):
        yield np.isin(np.arange(n), chosen)


def resamples(n):
    """Positions of every draw of n out of n with replacement, shape (n^n, n)."""
    return np.array(list(itertools.product(range(n), repeat=n)))


def share_as_far(statistics, value):
    """Share of the enumerated statistics at least as far from 0 as the value."""
    return np.mean([abs(s) >= abs(value) - 1e-12 for s in statistics])


def assert_p_value(p, exact, n_resamples):
    """Assert that p is (1 + K) / (1 + n) for a binomial K with the exact share."""
    expected = (1 + n_resamples * exact) / (1 + n_resamples)
    error = math.sqrt(exact * (1 - exact) / n_resamples)
    assert abs(p - expected) <= STANDARD_ERRORS * error + 1e-12


def assert_quantile(quantile, share, distribution, n_resamples):
    """Assert that a resampled quantile is that of the enumerated distribution."""
    error = STANDARD_ERRORS * math.sqrt(share * (1 - share) / n_resamples)
    shares = np.clip([share - error, share + error], 0, 1)
    lowest = np.quantile(distribution, shares[0], method="lower")
    highest = np.quantile(distribution, shares[1], method="higher")
    assert lowest - 1e-12 <= quantile <= highest + 1e-12
