"""Accuracy of predictions, with its interval."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Accuracy(NamedTuple):
    """Share of images whose class is predicted.

    Attributes:
        value: The share, in [0, 1].
        low: Lower end of the confidence interval.
        high: Upper end of the confidence interval.
    """

    value: float
    low: float
    high: float


def accuracy(
    predicted: ArrayLike, targets: ArrayLike, confidence: float = 0.95
) -> Accuracy:
    """Compute accuracy with Wilson's interval over images.

    Args:
        predicted: Shape ``(N,)``: predicted classes.
        targets: Shape ``(N,)``: true classes.
        confidence: Coverage of the interval.

    Raises:
        ValueError: If there are no images, or not as many predictions as targets.

    Examples:
        >>> from lightly_memloc.functional import accuracy
        >>> accuracy([1, 2, 3, 3], [1, 2, 3, 4]).value
        0.75
    """
    predicted, targets = np.asarray(predicted), np.asarray(targets)
    if predicted.shape != targets.shape or predicted.ndim != 1 or not len(predicted):
        raise ValueError(
            f"Expected as many predictions as targets, at least one, got "
            f"{predicted.shape} and {targets.shape}."
        )
    hits = int((predicted == targets).sum())
    interval = stats.binomtest(hits, len(targets)).proportion_ci(confidence, "wilson")
    return Accuracy(hits / len(targets), float(interval.low), float(interval.high))
