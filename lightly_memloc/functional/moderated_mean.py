"""Means of many images over few runs, whose variances inform each other."""

from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import Array

_MOST_EXCHANGES = 256
# Exchanged statistics held at a time.
_MOST_VALUES = 1 << 24
# With fewer images, their variances do not show how much variances differ.
_FEWEST_IMAGES = 10


def moderated_mean(
    values: ArrayLike, confidence: float = 0.95, seed: int = 0
) -> tuple[Estimate, Array]:
    """Estimate the mean of each of many images over few runs, and test if it is positive.

    An image's variance over few runs is itself uncertain. It is therefore shrunk towards
    the variance that images have in common, by as much as the images' variances agree:
    the moderated t of limma [0], without an assumption about how many images have an
    effect. The interval is that of the moderated t.

    The null distribution comes from exchanging the roles of both encoders in a run,
    which changes the sign of its scores: all such exchanges, or 256 random ones. The
    p-value of an image is the share of the exchanged statistics of all images that are
    as high as its own. It assumes that the score of an image that is not memorised is as
    often positive as negative, as random roles guarantee, but no shape of the
    distribution. The exchanges of K runs leave memorised images in place once in
    ``2 ** K``: with three runs, no list at a false discovery rate of 10% is possible.

    - [0]: Linear models and empirical Bayes methods, 2004,
      https://doi.org/10.2202/1544-6115.1027

    Args:
        values: Shape ``(K, N)``: scores of N images in K runs; NaN where a run does not
            score the image.
        confidence: Coverage of the interval.
        seed: Seed of random exchanges.

    Returns:
        The estimate with fields of shape ``(N,)``: mean, moderated standard error,
        interval, one-sided p-value, and the number ``n`` of runs. The error is NaN with
        fewer than two runs, interval and p-value with fewer than three. And, of shape ``(N,)``, how many images are expected
        to have as high a mean as each image by chance, if none were memorised.

    Raises:
        ValueError: If the values do not have the shape ``(K, N)``.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional import moderated_mean
        >>> scores = np.random.default_rng(0).normal(size=(6, 100))
        >>> scores[:, 0] += 5
        >>> mean, by_chance = moderated_mean(scores)
        >>> bool(mean.low[0] > 0), bool(mean.p[0] < 0.001), float(by_chance[0].round(2))
        (True, True, 0.02)
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"Expected values of shape (K, N), got {x.shape}.")
    n = np.sum(~np.isnan(x), axis=0)
    known = np.nan_to_num(x)
    squares = (known**2).sum(axis=0)
    with np.errstate(invalid="ignore"):
        mean = known.sum(axis=0) / n
    spread, test = n >= 2, n >= 3
    error, freedom, p = (np.full(len(mean), np.nan) for _ in range(3))
    exchanged = _signs(len(x), len(mean), seed) @ known / np.maximum(n, 1)
    if spread.any():
        moderated = _Moderated(squares[spread], n[spread], mean[spread])
        error[spread] = moderated.error(mean[spread])
        freedom[spread] = np.where(test[spread], moderated.freedom, np.nan)
        p[spread] = moderated.p(mean[spread])
        null = moderated.p(exchanged[:, spread])[:, test[spread]]
        p = np.where(test, _share_as_small(null, p), np.nan)
    half = stats.t.ppf((1 + confidence) / 2, freedom) * error
    scored = n > 0
    by_chance = _n_as_high(exchanged[:, scored], mean)
    return Estimate(mean, mean - half, mean + half, p, error=error, n=n), by_chance


class _Moderated:
    """Moderated t-test of means of images, given the sums of squares of their values."""

    def __init__(self, squares: Array, n: NDArray[np.int64], mean: Array) -> None:
        self._squares, self._n, self._own = squares, n, n - 1
        self._prior, self._common = prior_variance(self._variance(mean), self._own)
        self.freedom = np.minimum(self._prior + self._own, self._own.sum())

    def _variance(self, mean: Array) -> Array:
        about = self._squares - self._n * mean**2
        # Rounding of the squares leaves a variance where the values are equal.
        return np.where(about > 1e-12 * self._squares, about, 0.0) / self._own

    def error(self, mean: Array) -> Array:
        own = self._variance(mean)
        if np.isinf(self._prior):
            own = np.full_like(own, self._common)
        else:
            total = self._prior + self._own
            own = (self._prior * self._common + self._own * own) / total
        return np.sqrt(own / self._n)

    def p(self, mean: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(mean == 0, 0.0, mean / self.error(mean))
        return np.asarray(stats.t.sf(t, self.freedom))


def prior_variance(variances: ArrayLike, freedom: ArrayLike) -> tuple[float, float]:
    """Estimate how much the true variances of images differ [0].

    The true variances are modelled as a scaled inverse chi-squared distribution, whose
    two parameters are fitted to the mean and the variance of the logarithms.

    - [0]: Linear models and empirical Bayes methods, 2004, section 6.2,
      https://doi.org/10.2202/1544-6115.1027

    Args:
        variances: Shape ``(N,)``: the images' variances.
        freedom: Shape ``(N,)``: their degrees of freedom.

    Returns:
        The degrees of freedom of the common variance, infinite if the variances differ
        by no more than chance, and the common variance. Both are 0 with fewer than ten
        variances that are positive.
    """
    s2, d = np.asarray(variances, float), np.asarray(freedom, float)
    positive = s2[s2 > 0]
    if len(positive) < _FEWEST_IMAGES:
        return 0.0, 0.0
    s2 = np.maximum(s2, 1e-5 * np.median(positive))
    e = np.log(s2) - special.digamma(d / 2) + np.log(d / 2)
    spread = e.var(ddof=1) - special.polygamma(1, d / 2).mean()
    if spread <= 0:
        return np.inf, float(np.exp(e.mean()))
    half = np.exp(
        optimize.brentq(lambda y: special.polygamma(1, np.exp(y)) - spread, -25, 25)
    )
    return 2 * half, float(np.exp(e.mean() + special.digamma(half) - np.log(half)))


def _signs(n_runs: int, n_images: int, seed: int) -> Array:
    """Signs of the runs in each exchange of roles, shape ``(B, K)``."""
    most = min(_MOST_EXCHANGES, max(16, _MOST_VALUES // max(n_images, 1)))
    if 2**n_runs <= most:
        return np.array(list(product([1.0, -1.0], repeat=n_runs)))
    signs = np.random.default_rng(seed).choice([1.0, -1.0], (most // 2, n_runs))
    signs[0] = 1
    return np.concatenate([signs, -signs])


def _share_as_small(null: Array, p: Array) -> Array:
    """The share of p-values under the null that are as small as each p-value."""
    ordered = np.sort(null, axis=None)
    n_as_small = np.searchsorted(ordered, p * (1 + 1e-9), "right")
    return np.asarray(n_as_small / max(len(ordered), 1))


def _n_as_high(null: Array, means: Array) -> Array:
    """How many of N means are expected to be as high as each, from shape ``(B, N)``."""
    ordered = np.sort(null, axis=None)
    margin = 1e-9 * np.abs(means)
    lower = np.searchsorted(ordered, means - margin, "left")
    return np.where(np.isnan(means), np.nan, (len(ordered) - lower) / len(null))
