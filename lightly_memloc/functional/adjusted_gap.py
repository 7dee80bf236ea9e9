"""The alignment gap of one encoder, adjusted for covariates of the images."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from typing_extensions import Unpack

from lightly_memloc.functional.estimate import Estimate
from lightly_memloc.functional.means import inverted
from lightly_memloc.functional.prediction import as_covariates, log_distances, predicted
from lightly_memloc.functional.resampling import (
    Array,
    Assignment,
    ResamplingArguments,
    block_sizes,
)

_RESAMPLES = 2000

# Images or groups from which on the permutation distribution is replaced by its limit.
_LARGE = 20_000

# Images or groups in each set from which on a ridge regression can be cross-fitted.
_ENOUGH = 10

# Relative singular values below which a covariate repeats others.
_RANK = 1e-9


def adjusted_gap(
    members: ArrayLike,
    holdout: ArrayLike,
    covariates: ArrayLike | None = None,
    confidence: float = 0.95,
    **resampling: Unpack[ResamplingArguments],
) -> Estimate:
    r"""Compute the alignment gap with the images' own difficulty regressed out.

    In each layer, the logarithm of the alignment distance :math:`a` is regressed on
    membership and covariates that know nothing of membership, such as the pixels'
    distances between the same views:

    .. math::
        \log a_i = \alpha + \tau m_i + x_i^\top \beta + \varepsilon_i

    where :math:`m_i` is 1 for members and 0 for held-out images, :math:`x_i` are the
    covariates and :math:`\varepsilon_i` is the error. The gap is :math:`\tanh(-\tau / 2)`.

    Covariates explain why some images are harder to align than others. What they
    explain no longer widens the interval, and a difference of members and holdout that
    they describe no longer counts as memorisation.

    The standard error is HC2 [0]. Interval and p-value (two-sided) come from permuting
    the residuals of the regression without membership [1] and comparing the studentized
    coefficient; the layers share the permutations. With groups, the standard error sums
    over groups, and the membership of whole groups is permuted instead [2]. From 20,000
    images or groups on, the permutation distribution is replaced by its limit, a normal
    distribution with the correlation of the layers. The interval excludes 0 exactly if
    p is at most ``1 - confidence``.

    If there are more covariates than a tenth of the images, and at least ten images in
    each set, a cross-fitted ridge regression on them takes their place as the only
    covariate of a layer [3].

    - [0]: Some heteroskedasticity-consistent covariance matrix estimators with improved
      finite sample properties, MacKinnon and White, 1985
    - [1]: A nonstochastic interpretation of reported significance levels, Freedman and
      Lane, 1983
    - [2]: Robust permutation tests for correlation and regression coefficients,
      DiCiccio and Romano, 2017
    - [3]: Machine learning for variance reduction in online experiments, 2021,
      https://arxiv.org/abs/2106.07263

    Args:
        members: Alignment distances of the members, shape ``(N,)`` or ``(N, L)``.
        holdout: Alignment distances of the held-out images, shape ``(M,)`` or
            ``(M, L)``.
        covariates: Shape ``(N + M, P)``, or ``(N + M, L, P)`` if they differ by layer,
            members first. None adjusts for nothing.
        confidence: Coverage of the interval.
        resampling: As for :func:`difference_of_means`. Strata are covariates, too: each
            has an intercept of its own.

    Returns:
        Estimate with fields of shape ``(L,)``, in [-1, 1], NaN where the covariates
        determine membership, with ``p_adjusted`` for the number of layers, and the
        standard error of ``-tau / 2``.

    Raises:
        ValueError: If a set has fewer than two images or groups, the shapes do not fit,
            a distance or covariate is not finite, there are too few images for the
            covariates, or a group has images in both sets.

    Examples:
        >>> from lightly_memloc.functional import adjusted_gap
        >>> pixels = [[0.0], [1.0], [2.0], [0.0], [1.0], [2.0]]
        >>> members, holdout = [0.1, 0.2, 0.4], [0.3, 0.6, 1.2]
        >>> adjusted_gap(members, holdout, pixels).value.round(6)
        array([0.5])
    """
    values, labels = log_distances(members, holdout)
    given = as_covariates(covariates, *values.shape)
    groups, strata = resampling.get("groups"), resampling.get("strata")
    assigned = Assignment.of(labels, groups, strata)
    rng = np.random.default_rng(resampling.get("seed", 0))
    n_members = int(assigned.label.sum())
    smallest = min(n_members, len(assigned.label) - n_members)
    if smallest < 2:
        raise ValueError(
            "Expected images of at least two groups in both sets, got "
            f"{n_members} and {len(assigned.label) - n_members}."
        )
    if given.shape[2] > len(values) / 10 and smallest >= _ENOUGH:
        given = predicted(values, labels, given, assigned.group)[..., None]
    # Images of a stratum are adjacent, for sums over strata.
    order = np.argsort(assigned.stratum[assigned.group], kind="stable")
    group = assigned.group[order]
    regression = _Regression(given[order], assigned.stratum[group], group)
    residuals = regression.residuals(values[order].T[:, None])
    member = labels[order][None, None].astype(np.float64)
    deviations = regression.residuals(member)
    # Membership that is explained exactly leaves nothing but rounding.
    deviations[(deviations**2).sum(axis=2) < _RANK * len(values)] = np.nan
    tau, error, influence = regression.fitted(deviations, residuals)
    n_resamples = resampling.get("n_resamples", _RESAMPLES)
    if len(assigned.label) > _LARGE:
        resampled = _limit(influence, n_resamples, rng)
    elif groups is None:
        shuffled = _shuffled(regression.stratum, n_resamples, rng)
        pairs = (
            (deviations, regression.residuals(residuals[:, 0][:, rows]))
            for rows in shuffled
        )
        resampled = regression.statistics(pairs)
    else:
        permuted = (of[:, group] for of in assigned.permuted(n_resamples, rng))
        pairs = (
            (regression.residuals(of[None].astype(np.float64)), residuals)
            for of in permuted
        )
        resampled = regression.statistics(pairs)
    estimate = inverted(-tau[:, 0] / 2, error[:, 0] / 2, resampled, confidence)
    return replace(estimate.mapped(np.tanh), error=error[:, 0] / 2)


class _Regression:
    """Regressions of L layers on strata and covariates, and what adding a variable does.

    Variables have the shape ``(L, B, N)``, or 1 in place of L or B: values of N images
    in B resamples.
    """

    def __init__(
        self, covariates: Array, stratum: NDArray[np.int64], group: NDArray[np.int64]
    ) -> None:
        n = len(stratum)
        self.stratum = stratum
        self._starts = np.flatnonzero(np.diff(stratum, prepend=-1))
        self._sizes = np.diff(np.append(self._starts, n))
        n_groups = int(group.max()) + 1
        self._of_groups = (
            None
            if n_groups == n
            else sparse.csr_matrix((np.ones(n), (np.arange(n), group)), (n, n_groups))
        )
        # An orthonormal basis of the centred covariates, for each layer that differs.
        centred = self._centred(np.moveaxis(covariates, 0, 2))
        scale = np.sqrt((centred**2).sum(axis=2, keepdims=True))
        largest = np.abs(covariates).max(axis=0, initial=0)[..., None] * np.sqrt(n)
        kept = scale > _RANK * largest
        centred = np.divide(centred, scale, out=np.zeros_like(centred), where=kept)
        basis, singular, _ = np.linalg.svd(
            np.swapaxes(centred, 1, 2), full_matrices=False
        )
        independent = singular > _RANK * np.maximum(singular[:, :1], 1)
        self._basis = basis * independent[:, None]
        rank = int(independent.sum(axis=1).max(initial=0))
        freedom = n - len(self._sizes) - rank - 1
        if freedom < 1:
            raise ValueError(
                f"Expected more images than covariates, got {n} images for {rank} "
                f"covariates and {len(self._sizes)} strata."
            )
        leverage = (self._basis**2).sum(axis=2)
        self._leverage = (leverage + (1 / self._sizes).repeat(self._sizes))[:, None]

    def residuals(self, values: Array) -> Array:
        """What strata and covariates do not explain."""
        centred = self._centred(values)
        explained: Array = (centred @ self._basis) @ np.swapaxes(self._basis, 1, 2)
        return centred - explained

    def fitted(self, deviations: Array, residuals: Array) -> tuple[Array, Array, Array]:
        """Coefficients, their HC2 errors, and each group's influence on them.

        Args:
            deviations: Residuals of the added variable.
            residuals: Residuals of the values.
        """
        squares = (deviations**2).sum(axis=2, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (deviations * residuals).sum(axis=2, keepdims=True) / squares
            free = 1 - self._leverage - deviations**2 / squares
            errors = residuals - deviations * slope
            scaled = np.where(free > _RANK, errors / np.sqrt(free), 0) * deviations
        influence = self._by_group(scaled) / squares
        # What is left of values that are explained exactly is due to rounding.
        exact = (errors**2).sum(axis=2) <= 1e-24 * (residuals**2).sum(axis=2)
        error = np.where(exact, 0, np.sqrt((influence**2).sum(axis=2)))
        return slope[..., 0], error, influence

    def statistics(self, pairs: Iterator[tuple[Array, Array]]) -> Array:
        """Absolute studentized coefficients of resamples, shape ``(B, L)``."""
        blocks = []
        for deviations, residuals in pairs:
            slope, error, _ = self.fitted(deviations, residuals)
            with np.errstate(divide="ignore", invalid="ignore"):
                blocks.append(np.where(slope == 0, 0, np.abs(slope) / error).T)
        statistics: Array = np.nan_to_num(np.concatenate(blocks), posinf=np.inf)
        return statistics

    def _centred(self, values: Array) -> Array:
        if not values.shape[1]:
            return values
        sums = np.add.reduceat(values, self._starts, axis=2)
        centred: Array = values - (sums / self._sizes).repeat(self._sizes, axis=2)
        return centred

    def _by_group(self, values: Array) -> Array:
        if self._of_groups is None:
            return values
        flat = values.reshape(-1, values.shape[2])
        summed = np.asarray(self._of_groups.T @ flat.T).T
        return summed.reshape(*values.shape[:2], -1)


def _shuffled(
    stratum: NDArray[np.int64], n_resamples: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Blocks of shape (block, N) of rows, permuted within strata."""
    strata = [np.flatnonzero(stratum == of) for of in np.unique(stratum)]
    for size in block_sizes(n_resamples, len(stratum)):
        rows = np.empty((size, len(stratum)), dtype=np.int64)
        for of in strata:
            rows[:, of] = rng.permuted(np.tile(of, (size, 1)), axis=1)
        yield rows


def _limit(influence: Array, n_resamples: int, rng: np.random.Generator) -> Array:
    """Statistics from the normal distribution that their permutation converges to."""
    scores = influence[:, 0]
    norms = np.sqrt((scores**2).sum(axis=1, keepdims=True))
    unit = np.divide(scores, norms, out=np.zeros_like(scores), where=norms > 0)
    left, singular, _ = np.linalg.svd(unit @ unit.T)
    drawn = rng.standard_normal((n_resamples, len(unit))) * np.sqrt(singular)
    statistics: Array = np.abs(drawn @ left.T)
    return statistics
