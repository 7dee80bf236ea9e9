"""AUC, its variance and the true positive rate of many assignments of labels."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightly_memloc.functional.resampling import Array, Assignment


class Separated(NamedTuple):
    """How well a score separates two sets, of shape ``(B, L)``.

    Attributes:
        auc: Area under the ROC curve.
        variance: Its variance over groups of images; 0 if the sets are apart.
        tpr: Share of the first set above the threshold; NaN without a threshold.
    """

    auc: Array
    variance: Array
    tpr: Array


class Separation:
    """Separates images by their scores, for many assignments of labels.

    Args:
        scores: Shape ``(N, L)``.
        assigned: The images' groups.
        false_positives: False positive rate ``a``: the threshold is the
            ``floor(a (M + 1))``-th highest score of the M images of the second set.
    """

    def __init__(
        self, scores: Array, assigned: Assignment, false_positives: Fraction | None
    ) -> None:
        self._layers = [_Ranked(values, assigned.group) for values in scores.T]
        self._false_positives = false_positives
        self._sizes = np.bincount(assigned.group)

    def of(self, labels: NDArray[np.bool_]) -> Separated:
        """Separate the images of the groups labelled True from the others.

        Args:
            labels: Labels of the groups, shape ``(B, G)``, at least two of each set.
        """
        n_groups = np.stack([labels.sum(axis=1), (~labels).sum(axis=1)])
        n = np.stack([labels @ self._sizes, ~labels @ self._sizes])
        weights = n_groups / (n_groups - 1) / n**2
        ranks = None
        if self._false_positives is not None:
            ranks = ranks_of(self._false_positives, n[1])
        auc, variance, tpr = (np.empty((len(labels), len(self._layers))) for _ in "avt")
        for column, layer in enumerate(self._layers):
            members, placements = layer.placements(labels, n)
            sums = np.add.reduceat(
                placements.take(layer.by_group, axis=1), layer.starts, axis=1
            )
            auc[:, column] = np.einsum("bg,bg->b", sums, labels) / n[0]
            area = auc[:, column, None]
            sums -= self._sizes * np.where(labels, area, 1 - area)
            squares = np.square(sums, out=sums)
            first = np.einsum("bg,bg->b", squares, labels)
            second = squares.sum(axis=1) - first
            variance[:, column] = weights[0] * first + weights[1] * second
            tpr[:, column] = np.nan
            if ranks is not None:
                tpr[:, column] = layer.above(members, n[1] - ranks) / n[0]
        return Separated(auc, variance, tpr)


def ranks_of(false_positives: Fraction, n: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rank of the threshold among n scores, from the highest; at least 1."""
    sizes, which = np.unique(n, return_inverse=True)
    ranks = [max(1, int(false_positives * (int(size) + 1))) for size in sizes]
    return np.array(ranks)[which]


class _Ranked:
    """Images in the order of their scores in a layer."""

    def __init__(self, values: Array, group: NDArray[np.int64]) -> None:
        order = np.argsort(values, kind="stable")
        ascending = values[order]
        self._below = np.searchsorted(ascending, ascending, "left")
        self._up_to = np.searchsorted(ascending, ascending, "right")
        self._group = group[order]
        self._steps = np.arange(1, len(values) + 1)
        self.by_group = np.argsort(self._group, kind="stable")
        self.starts = np.flatnonzero(np.diff(self._group[self.by_group], prepend=-1))

    def placements(
        self, labels: NDArray[np.bool_], n: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], Array]:
        """Share of the other set below each image, ties counted half.

        Returns:
            The number of the first set among the lowest 0 to N images, shape
            ``(B, N + 1)``, and the shares, shape ``(B, N)``.
        """
        is_first = labels.take(self._group, axis=1)
        members = np.zeros((len(labels), len(self._group) + 1), dtype=np.int32)
        np.cumsum(is_first, axis=1, out=members[:, 1:])
        twice_lower = members.take(self._below, axis=1)
        twice_lower += members.take(self._up_to, axis=1)
        lower = twice_lower / 2
        others = (self._below + self._up_to) / 2 - lower
        return members, np.where(
            is_first, others / n[1, :, None], lower / n[0, :, None]
        )

    def above(
        self, members: NDArray[np.int32], n_lower: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Number of the first set above the second set's score with so many lower."""
        others_up_to = self._steps - members[:, 1:]
        threshold = (others_up_to <= n_lower[:, None]).sum(axis=1)
        rows = np.arange(len(members))
        above: NDArray[np.int64] = (
            members[:, -1] - members[rows, self._up_to[threshold]]
        )
        return above
