"""SSLMem over several runs: its expectation over training, without offsets."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.layer_mem import Normalization, bounded, unbounded
from lightly_memloc.functional.means import student_mean
from lightly_memloc.functional.resampling import Array


class RunScores(NamedTuple):
    """SSLMem of several runs without the runs' offsets.

    Attributes:
        scores: Shape ``(K, N, L)``: how much better an image is aligned by the encoder
            that was trained on it; NaN where a run's encoders do not differ in it.
        offset: Shape ``(K, L)``: SSLMem that a run shows whatever was memorised.
        layer_mem: Shape ``(K, L)``: a run's mean score, in which both sets of images
            weigh the same. With independent images it is symmetric LayerMem, else
            calibrated LayerMem.
    """

    scores: Array
    offset: Array
    layer_mem: Array


def run_scores(
    ssl_mem: ArrayLike, roles: ArrayLike, normalization: Normalization = "relative"
) -> RunScores:
    """Compute each image's score in each of several runs, the runs' offsets removed.

    In a run, f is trained on candidates and g on independent images. Their SSLMem
    differs in sign and shares the run's offset, which is therefore midway between
    their means; without independent images it is the mean of the external ones. The
    offset of relative SSLMem is removed on the scale of log distances, on which it is a
    constant, as in :func:`symmetric_layer_mem`.

    Args:
        ssl_mem: Shape ``(K, N, L)``: SSLMem of N images in K runs and L layers. What
            is NaN is not measured.
        roles: Shape ``(K, N)``: 1 for a candidate, -1 for an independent image, 0 for
            an external one.
        normalization: That of SSLMem.

    Raises:
        ValueError: If the shapes do not fit, or a run lacks candidates, or both
            independent and external images.

    Examples:
        >>> from lightly_memloc.functional import run_scores
        >>> run = run_scores([[[0.5], [0.1], [0.3]]], [[1, -1, 0]], "raw")
        >>> run.scores[0, :, 0].round(6), run.offset.round(6)
        (array([0.2, 0.2, nan]), array([[0.3]]))
    """
    m, signs = np.asarray(ssl_mem, dtype=np.float64), np.asarray(roles)
    if m.ndim != 3 or signs.shape != m.shape[:2]:
        raise ValueError(
            "Expected SSLMem of shape (K, N, L) and roles of shape (K, N), got "
            f"{m.shape} and {signs.shape}."
        )
    m = unbounded(m, normalization)
    measured = np.asarray(~np.isnan(m).any(axis=2))
    scores, offset, means = np.full_like(m, np.nan), [], []
    for run in range(len(m)):
        of_role = {sign: measured[run] & (signs[run] == sign) for sign in (1, -1, 0)}
        other = -1 if of_role[-1].any() else 0
        if not (of_role[1].any() and of_role[other].any()):
            raise ValueError(
                f"Run {run} lacks candidates, or independent and external images."
            )
        candidate = m[run, of_role[1]].mean(axis=0)
        contrast = m[run, of_role[other]].mean(axis=0)
        offset.append((candidate + contrast) / 2 if other else contrast)
        means.append(candidate - offset[-1])
        for sign in (1, -1):
            rows = of_role[sign]
            scores[run, rows] = sign * (m[run, rows] - offset[-1])
    found = (scores, np.stack(offset), np.stack(means))
    return RunScores(*(bounded(of, normalization) for of in found))


def top_scores(scores: ArrayLike, share: float = 0.1) -> Array:
    """Compute the mean score of the most memorised images, in runs that did not choose.

    Images with the highest mean over some runs score lower in another, because part of
    their mean is noise of the runs that chose them. Each run is therefore left out once:
    the other runs choose the images, and the run that is left out scores them.

    Args:
        scores: Shape ``(K, N)``: scores of N images in K runs; NaN where a run does not
            score the image.
        share: Share of the images to choose; at least one image is chosen. Only images
            that are scored in at least half of the other runs, or in as many as any,
            are ranked.

    Returns:
        Shape ``(K,)``: for each run, its mean score of the chosen images.

    Examples:
        >>> from lightly_memloc.functional import top_scores
        >>> top_scores([[3.0, 2.0, 1.0], [0.0, 1.0, 2.0]], share=0.3)
        array([1., 0.])
    """
    x = np.asarray(scores, dtype=np.float64)
    top = np.full(len(x), np.nan)
    for run, of_run in enumerate(x):
        others = np.delete(x, run, axis=0)
        n = np.sum(~np.isnan(others), axis=0)
        here = ~np.isnan(of_run) & (n > 0)
        if not here.any():
            continue
        here &= n >= min(len(others) / 2, n[here].max())
        mean = np.nansum(others[:, here], axis=0) / n[here]
        k = max(1, round(share * len(mean)))
        top[run] = of_run[here][np.argsort(-mean, kind="stable")[:k]].mean()
    return top


def cross_fitted_mean(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Estimate the mean of values of which each was chosen by the runs of the others.

    The values of :func:`top_scores` are correlated, because each run helps to choose the
    images of all others. Student's t interval uses a larger variance of the mean [0],
    ``(1 / K + 1 / 2) s ** 2``, which allows for correlations up to 1/3; those of
    simulated runs are 0.1 to 0.4.

    - [0]: Inference for the generalization error, 2003,
      https://doi.org/10.1023/A:1024068626366

    Args:
        values: Shape ``(K, ...)``; NaN values are ignored.
        confidence: Coverage of the interval.

    Returns:
        Estimate with fields of shape ``(...)``, as :func:`student_mean` returns it:
        interval and p-value are NaN with fewer than three values.

    Examples:
        >>> from lightly_memloc.functional import cross_fitted_mean
        >>> mean = cross_fitted_mean([1.0, 2.0, 3.0])
        >>> float(mean.value), float(mean.error.round(3))
        (2.0, 0.913)
    """
    mean = student_mean(values, confidence)
    assert mean.n is not None
    assert mean.error is not None
    wider = np.sqrt(1 + np.asarray(mean.n) / 2)
    half = wider * (mean.high - mean.value)
    error = wider * mean.error
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(mean.value == 0, 0.0, mean.value / error)
    p = 2 * stats.t.sf(np.abs(t), np.maximum(mean.n - 1, 1))
    p = np.where(np.isnan(half), np.nan, p)
    return Estimate(
        mean.value, mean.value - half, mean.value + half, p, error=error, n=mean.n
    )
