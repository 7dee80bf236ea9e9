"""AUC and true positive rate of many images, with labels permuted in blocks."""

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lightly_memloc.functional.group_sums import GroupSums, stratum_means
from lightly_memloc.functional.resampling import Array, Assignment
from lightly_memloc.functional.separation import Separated, ranks_of


def separate_in_blocks(
    scores: Array,
    assigned: Assignment,
    false_positives: Fraction | None,
    n_resamples: int,
    rng: np.random.Generator,
) -> tuple[Separated, Separated]:
    """Separate many images by their scores, as labelled and with permuted labels.

    With permuted labels, ranks among all images stand for those among the other set.
    The AUC is then a difference of mean ranks, exactly, and its variance and the true
    positive rate, by the ranks beyond a threshold, are those of the limit of many
    images. Sums over blocks are all that permuting needs.

    Args:
        scores: Shape ``(N, L)``.
        assigned: The images' groups and strata.
        false_positives: As for :class:`Separation`.
        n_resamples: Number of permutations.
        rng: Generator of blocks and permutations.

    Returns:
        The images as labelled, with fields of shape ``(1, L)``, and as permuted, of
        shape ``(B, L)``.
    """
    blocks = assigned.in_blocks(rng)
    layers = [_Layer(values, assigned, blocks, false_positives) for values in scores.T]
    permuted = [
        [layer.permuted(labels) for layer in layers]
        for labels in blocks.permuted(n_resamples, rng)
    ]
    return _joined([[layer.observed for layer in layers]]), _joined(permuted)


class _Layer:
    """The sums over blocks of a layer's images."""

    def __init__(
        self,
        scores: Array,
        assigned: Assignment,
        blocks: Assignment,
        false_positives: Fraction | None,
    ) -> None:
        is_first = assigned.label[assigned.group]
        n_first, n_second = int(is_first.sum()), int((~is_first).sum())
        ranks = stats.rankdata(scores)
        own = np.empty(len(scores))
        for of in (is_first, ~is_first):
            own[of] = stats.rankdata(scores[of])
        # Share of the other set below each image.
        placements = (ranks - own) / np.where(is_first, n_second, n_first)
        stratum = blocks.stratum[blocks.group]

        def sums(values: Array) -> GroupSums:
            deviations = values - stratum_means(values, stratum)
            return GroupSums(values, blocks.group, deviations)

        _, variance = _difference(sums(placements[:, None]), blocks.label[None])
        auc = placements[is_first].mean()
        tpr, beyond, self._share = np.nan, np.zeros(len(scores)), np.nan
        if false_positives is not None:
            of_second, of_all = ranks_of(
                false_positives, np.array([n_second, len(scores)])
            )
            threshold = np.sort(scores[~is_first])[-of_second]
            tpr = float(np.mean(scores[is_first] > threshold))
            beyond = (scores > np.sort(scores)[-of_all]).astype(np.float64)
            self._share = of_second / (n_second + 1)
        self.observed = Separated(np.array([auc]), variance[:, 0], np.array([tpr]))
        self._sums = sums(np.stack([ranks / len(scores), beyond], axis=1))

    def permuted(self, labels: NDArray[np.bool_]) -> Separated:
        """Separate the images of the blocks labelled True from the others.

        Args:
            labels: Shape ``(B, G)``.
        """
        difference, variance = _difference(self._sums, labels)
        auc, tpr = difference.T
        return Separated(0.5 + auc, variance[:, 0], self._share + tpr)


def _difference(sums: GroupSums, labels: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The difference of the sets' means, and its variance."""
    of_first = sums.drawn(labels)
    (m1, e1), (m2, e2) = (
        sums.means_and_errors(part) for part in (of_first, sums.total - of_first)
    )
    return m1 - m2, e1**2 + e2**2


def _joined(separated: list[list[Separated]]) -> Separated:
    """Blocks of resamples, each with its layers, as arrays of shape ``(B, L)``."""
    auc, variance, tpr = (
        np.concatenate([np.stack(of_layers, axis=1) for of_layers in field])
        for field in zip(
            *(zip(*of_block, strict=True) for of_block in separated), strict=True
        )
    )
    return Separated(auc, variance, tpr)
