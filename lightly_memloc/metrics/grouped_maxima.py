"""Largest and total activation of each unit within groups of images."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightly_memloc.metrics.image_metric import ImageMetric
from lightly_memloc.metrics.winning_image import NO_IMAGE, winning_image


class Maxima(NamedTuple):
    """What is kept of the activations on groups of images.

    Attributes:
        largest: Largest activation within each group, shape ``(G, U)``; -inf in an
            empty group.
        winner: Index of the image with the largest activation of all, shape ``(U,)``;
            of equal activations that of the smallest index.
        total: Sum of activations within each group, shape ``(G, U)``.
        images: Number of images in each group, shape ``(G,)``.
    """

    largest: Tensor
    winner: Tensor
    total: Tensor
    images: Tensor


class GroupedMaxima(ImageMetric):
    """Accumulate the largest and the total activation of units by group of images.

    Args:
        num_units: Units of the layer.
        num_groups: Groups of images.
        keep_rows: Whether all rows are kept instead of being folded.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.
    """

    largest: Tensor
    winner: Tensor
    total: Tensor
    count: Tensor

    def __init__(
        self, num_units: int, num_groups: int, keep_rows: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(keep_rows=keep_rows, **kwargs)
        self.num_units, self.num_groups = num_units, num_groups
        shape = (num_groups, num_units)
        lowest = torch.full(shape, -torch.inf, dtype=torch.float64)
        zero = torch.zeros(shape, dtype=torch.float64)
        count = torch.zeros(num_groups, dtype=torch.int64)
        # Largest and winner go together: ranks are stacked here and merged below.
        self.add_state("largest", lowest, dist_reduce_fx=None)
        self.add_state(
            "winner", torch.full((num_units,), NO_IMAGE), dist_reduce_fx=None
        )
        self.add_state("total", zero, dist_reduce_fx="sum")
        self.add_state("count", count, dist_reduce_fx="sum")

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one image's row: an activation a unit."""
        return (self.num_units,)

    def _fold(self, rows: Tensor, index: Tensor, group: Tensor) -> None:
        self.largest, self.winner, self.total, self.count = _folded(
            self._accumulated(), rows, index, group
        )

    def _merged(self) -> Maxima:
        """The maxima over all ranks, the rows not folded yet included."""
        return _folded(self._accumulated(), *self._unique_unfolded())

    def _accumulated(self) -> Maxima:
        largest = self.largest.reshape(-1, self.num_groups, self.num_units)
        winner = winning_image(
            largest.amax(dim=1), self.winner.reshape(-1, self.num_units)
        )
        return Maxima(largest.amax(dim=0), winner, self.total, self.count)


def _folded(maxima: Maxima, rows: Tensor, index: Tensor, group: Tensor) -> Maxima:
    if not len(rows):
        return maxima
    n_groups = len(maxima.images)
    sizes = group.bincount(minlength=n_groups).tolist()
    # Splits of sorted rows: scatter_reduce takes many times as long on CPUs.
    largest = maxima.largest.clone()
    for g, members in enumerate(torch.split(rows[group.argsort()], sizes)):
        if len(members):
            largest[g] = torch.maximum(largest[g], members.amax(dim=0))
    in_group = torch.nn.functional.one_hot(group, n_groups).T.to(rows.dtype)
    contenders = torch.cat([maxima.largest.amax(dim=0, keepdim=True), rows])
    images = torch.cat(
        [maxima.winner.unsqueeze(0), index.unsqueeze(1).expand(rows.shape)]
    )
    return Maxima(
        largest,
        winning_image(contenders, images),
        maxima.total + in_group @ rows,
        maxima.images + torch.tensor(sizes, device=rows.device),
    )
