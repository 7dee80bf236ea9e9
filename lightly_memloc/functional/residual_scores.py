"""Scores of single images: how much better aligned than images like them."""

import numpy as np
from numpy.typing import ArrayLike

from lightly_memloc.functional.prediction import (
    as_covariates,
    by_covariates,
    fit_ridge,
    folds,
    log_distances,
)
from lightly_memloc.functional.resampling import Array, group_numbers


def residual_scores(
    members: ArrayLike,
    holdout: ArrayLike,
    covariates: ArrayLike | None = None,
    groups: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Compute how much smaller each alignment distance is than its covariates predict.

    The logarithm of the alignment distance is predicted by a ridge regression on the
    covariates. All images are divided into five folds of whole groups, and each fold is
    predicted by a regression that was fitted on the held-out images of the other folds.
    Members and held-out images are therefore predicted in the same way. A score is the
    predicted value minus the measured one, in standard deviations of the held-out
    images' scores.

    Args:
        members: Alignment distances of the members, shape ``(N,)`` or ``(N, L)``.
        holdout: Alignment distances of the held-out images, shape ``(M,)`` or
            ``(M, L)``.
        covariates: Shape ``(N + M, P)``, or ``(N + M, L, P)`` if they differ by layer,
            members first. None subtracts the held-out images' mean.
        groups: Group of each of the N + M images, members first.

    Returns:
        Scores of shape ``(N, L)`` and ``(M, L)``, large for an image that is better
        aligned than others like it.

    Raises:
        ValueError: If a set has fewer than two images, the holdout has fewer than ten
            groups, the shapes do not fit, or a value is not finite.

    Examples:
        >>> import numpy as np
        >>> from lightly_memloc.functional import residual_scores
        >>> difficulty = np.linspace(0, 1, 40)[:, None]
        >>> distances = np.exp(difficulty + 0.1 * np.sin(np.arange(40))[:, None])
        >>> distances[0] /= 3
        >>> scores, _ = residual_scores(distances[:10], distances[10:], difficulty)
        >>> int(scores.argmax())
        0
    """
    values, labels = log_distances(members, holdout)
    given = as_covariates(covariates, *values.shape)
    group, _ = group_numbers(groups, len(values))
    n_groups = len(np.unique(group[~labels]))
    if n_groups < 10:
        raise ValueError(
            f"Expected held-out images of at least ten groups, got {n_groups}."
        )
    fold, predicted = folds(labels, group), np.empty_like(values)
    for number in range(fold.max() + 1):
        asked, fitted = fold == number, ~labels & (fold != number)
        for layers, x in by_covariates(given, values.shape[1]):
            mean, center = (
                values[fitted][:, layers].mean(axis=0),
                x[fitted].mean(axis=0),
            )
            model = fit_ridge(x[fitted] - center, values[fitted][:, layers] - mean)
            predicted[asked, layers] = mean + model(x[asked] - center)
    scores = predicted - values
    spread = scores[~labels].std(axis=0)
    scores /= np.where(spread > 0, spread, 1)
    return scores[labels], scores[~labels]
