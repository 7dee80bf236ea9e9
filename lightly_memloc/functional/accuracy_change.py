"""The change of accuracy on the same test images, over trials."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.resampling import Array


def accuracy_change(
    before: ArrayLike, after: ArrayLike, confidence: float = 0.95
) -> Estimate:
    """Estimate the change of accuracy over trials that share test images.

    Trials that differ in their random seeds, or in the encoder, are tested on the same
    images. Their mean change varies with the images and with the trials:

    ``se^2 = v + max(0, s^2 / T - w)``

    Here, ``s`` is the standard deviation of the mean changes of the T trials, and ``v``
    the variance over images of their mean. For a single trial, ``v`` is that of
    McNemar's test [0]: the share of images that change minus the squared change, divided
    by their number. It is the same for T trials with the same changes. It falls to one
    T-th of it if trials change unrelated images, or are tested on different images. The
    variance over trials counts as far as it exceeds ``w``, what the images alone
    contribute to it: the mean variance of a trial's mean change over images minus the
    mean covariance of two trials, divided by T.

    The variances over images include two more images per trial, of which one is gained
    and one lost [1]. They follow the other images in how far trials agree. Without them,
    the error would be zero if no image changes.

    The interval is Student's, with degrees of freedom by Satterthwaite [2]: the variance
    over trials has T - 1, that over images infinitely many. It is at least as wide as
    Student's interval over trials alone, because Satterthwaite's is too narrow for few
    trials that differ much. The p-value agrees with the interval.

    The interval of a single trial describes this trial: how much trials differ is
    unknown. Images are assumed to be independent.

    - [0]: McNemar, Note on the sampling error of the difference between correlated
      proportions or percentages, 1947, https://doi.org/10.1007/BF02295996
    - [1]: Bonett and Price, Adjusted Wald confidence interval for a difference of
      binomial proportions based on paired data, 2012,
      https://doi.org/10.3102/1076998611411915
    - [2]: Satterthwaite, An approximate distribution of estimates of variance
      components, 1946, https://doi.org/10.2307/3002019

    Args:
        before: Shape ``(T, N)``: which of N images are classified correctly in each of
            T independent trials, 1 or 0; the share of repetitions in which they are, if
            a trial has several; NaN for images that a trial does not test.
        after: The same after a change.
        confidence: Coverage of the interval.

    Returns:
        Fields of shape ``()``: the mean change in [-1, 1], with each trial of the same
        weight, its standard error, interval and p-value; and the number of trials.

    Raises:
        ValueError: If the shapes differ, a trial has no images, or images are tested
            only before or only after the change.

    Examples:
        >>> from lightly_memloc.functional import accuracy_change
        >>> change = accuracy_change([[1, 1, 0, 0]], [[1, 0, 0, 0]])
        >>> float(change.value), float(change.p.round(2))
        (-0.25, 0.55)
    """
    before, after = (np.asarray(x, dtype=np.float64) for x in (before, after))
    if before.shape != after.shape or before.ndim != 2 or not before.size:
        raise ValueError(
            "Expected trials of the same images before and after, of shape (T, N), got "
            f"{before.shape} and {after.shape}."
        )
    changes = after - before
    tested = ~np.isnan(changes)
    if not tested.any(axis=1).all() or (np.isnan(before) != np.isnan(after)).any():
        raise ValueError(
            "Expected at least one image per trial, tested before and after the change."
        )
    n_trials, n_images = len(changes), tested.sum(axis=1)
    means = np.nanmean(changes, axis=1)
    value = means.mean()
    residuals = np.where(tested, changes - means[:, None], 0.0) / n_images[:, None]
    of_images, by_images = _variances(residuals / n_trials, n_images)
    of_trials = means.var(ddof=1) / n_trials if n_trials > 1 else 0.0
    error = np.sqrt(of_images + max(0.0, of_trials - by_images))
    errors, freedom = np.array([error]), np.array([np.inf])
    if of_trials > 0:
        errors = np.array([error, np.sqrt(of_trials)])
        freedom = (n_trials - 1) * np.array([error**4 / of_trials**2, 1])
    half = np.max(stats.t.ppf((1 + confidence) / 2, freedom) * errors)
    low, high = np.clip([value - half, value + half], -1, 1)
    p = np.max(2 * stats.t.sf(abs(value) / errors, freedom))
    value, low, high, p, error, n = map(
        np.asarray, (value, low, high, p, error, n_trials)
    )
    return Estimate(value, low, high, p, error=error, n=n)


def _variances(parts: Array, n_images: Array) -> tuple[float, float]:
    """Variances over images of the mean over trials, and of the spread of trials.

    Args:
        parts: Each trial's and image's part in the mean change, shape ``(T, N)``.
        n_images: Number of test images of each trial.
    """
    n_trials = len(parts)
    unrelated = np.sum(parts**2)
    # Where no trial changes an image, trials count as the same.
    alike = np.sum(parts.sum(axis=0) ** 2) / unrelated if unrelated else n_trials
    unrelated += np.sum(2 / (n_trials * n_images) ** 2)
    covariances = (alike - 1) * unrelated / max(n_trials - 1, 1)
    return float(alike * unrelated), float(unrelated - covariances)
