"""Prediction of alignment distances from covariates that know nothing of membership."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightly_memloc.functional.resampling import Array

# Relative to a layer's mean distance; what is smaller counts as this small.
_SMALLEST = 1e-6

_FOLDS = 5
_PENALTIES = np.logspace(-2, 5, 15)


def log_distances(
    members: ArrayLike, holdout: ArrayLike
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the logarithms of both sets' alignment distances, and who is a member.

    Distances below a millionth of the layer's mean count as this small.

    Args:
        members: Shape ``(N,)`` or ``(N, L)``, N >= 2.
        holdout: Shape ``(M,)`` or ``(M, L)``, M >= 2.

    Returns:
        Values of shape ``(N + M, L)`` and labels of shape ``(N + M,)``, members first.

    Raises:
        ValueError: If a set has fewer than two images, the shapes do not fit, or a
            distance is negative or not finite.
    """
    sets = [np.asarray(values, dtype=np.float64) for values in (members, holdout)]
    first, second = (of[:, None] if of.ndim == 1 else of for of in sets)
    if (
        first.ndim != 2
        or first.shape[1:] != second.shape[1:]
        or min(len(first), len(second)) < 2
    ):
        raise ValueError(
            "Expected distances of at least two members and two held-out images in as "
            f"many layers, got shapes {sets[0].shape} and {sets[1].shape}."
        )
    both = np.concatenate([first, second])
    if not (np.isfinite(both) & (both >= 0)).all():
        raise ValueError("Expected distances that are finite and at least 0.")
    mean = both.mean(axis=0)
    smallest = np.where(mean > 0, _SMALLEST * mean, 1)
    return np.log(np.maximum(both, smallest)), np.arange(len(both)) < len(first)


def as_covariates(covariates: ArrayLike | None, n: int, n_layers: int) -> Array:
    """Return covariates of shape ``(n, n_layers, P)``, or ``(n, 1, P)`` if shared.

    Args:
        covariates: Shape ``(n, P)`` or ``(n, n_layers, P)``; None if there are none.
        n: Number of images.
        n_layers: Number of layers.

    Raises:
        ValueError: If the shape does not fit, or a value is not finite.
    """
    if covariates is None:
        return np.zeros((n, 1, 0))
    given = np.asarray(covariates, dtype=np.float64)
    if given.ndim == 2:
        given = given[:, None]
    if given.ndim != 3 or len(given) != n or given.shape[1] not in (1, n_layers):
        raise ValueError(
            f"Expected covariates of shape ({n}, P) or ({n}, {n_layers}, P), got "
            f"{np.shape(covariates)}."
        )
    if not np.isfinite(given).all():
        raise ValueError("Expected covariates that are finite.")
    return given


def predicted(
    values: Array,
    labels: NDArray[np.bool_],
    covariates: Array,
    group: NDArray[np.int64],
) -> Array:
    """Predict the values of each image from other images, by ridge regression.

    The images are divided into five folds of whole groups. Each fold's values are
    predicted by a regression that was fitted on the other folds, with the penalty of
    smallest leave-one-out error. Members and others have an intercept of their own when
    it is fitted, and none in what is predicted.

    Args:
        values: Shape ``(N, L)``.
        labels: Whether each image is a member, shape ``(N,)``.
        covariates: Shape ``(N, L, P)`` or ``(N, 1, P)``.
        group: Number of each image's group, shape ``(N,)``.

    Returns:
        Predictions of shape ``(N, L)``, up to a constant.
    """
    fold = folds(labels, group)
    predictions = np.empty_like(values)
    for left_out in range(_FOLDS):
        fitted = fold != left_out
        centred = values[fitted] - _means(values, labels, fitted)
        for layers, x in by_covariates(covariates, values.shape[1]):
            inside = x[fitted] - _means(x, labels, fitted)
            model = fit_ridge(inside, centred[:, layers])
            predictions[~fitted, layers] = model(x[~fitted] - x[fitted].mean(axis=0))
    return predictions


def folds(labels: NDArray[np.bool_], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Divide images into five folds of whole groups, members and others alike.

    Args:
        labels: Whether each image is a member, shape ``(N,)``.
        group: Number of each image's group, shape ``(N,)``.

    Returns:
        Number of each image's fold, shape ``(N,)``.
    """
    of_group = np.empty(int(group.max()) + 1, dtype=np.int64)
    rng = np.random.default_rng(0)
    for label in (False, True):
        numbers = np.unique(group[labels == label])
        of_group[rng.permutation(numbers)] = np.arange(len(numbers)) % _FOLDS
    return of_group[group]


def by_covariates(covariates: Array, n_layers: int) -> list[tuple[slice, Array]]:
    """Return the layers that share covariates, with these.

    Args:
        covariates: Shape ``(N, L, P)`` or ``(N, 1, P)``.
        n_layers: Number of layers L.
    """
    if covariates.shape[1] == 1:
        return [(slice(n_layers), covariates[:, 0])]
    return [(slice(i, i + 1), covariates[:, i]) for i in range(n_layers)]


def _means(
    values: Array, labels: NDArray[np.bool_], fitted: NDArray[np.bool_]
) -> Array:
    """For each fitted image, the mean of the fitted images of its set."""
    by_set = np.stack([values[fitted & (labels == of)].mean(axis=0) for of in (0, 1)])
    return np.asarray(by_set[labels[fitted].astype(int)])


def fit_ridge(x: Array, y: Array) -> Callable[[Array], Array]:
    """Fit a ridge regression with the penalty of smallest leave-one-out error.

    Args:
        x: Centred covariates, shape ``(N, P)``.
        y: Centred values, shape ``(N, L)``.

    Returns:
        Function from covariates of shape ``(M, P)`` to predictions of shape ``(M, L)``.
    """
    if not x.shape[1]:
        return lambda new: np.zeros((len(new), y.shape[1]))
    # scikit-learn takes a second to import: results are read without it.
    from sklearn.linear_model import RidgeCV

    scale = x.std(axis=0)
    scale[scale == 0] = 1
    model = RidgeCV(_PENALTIES, fit_intercept=False, alpha_per_target=True)
    model.fit(x / scale, y)
    return lambda new: np.asarray(model.predict(new / scale)).reshape(len(new), -1)
