"""Largest and total activation of each unit within groups of images."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightly_memloc.metrics.image_metric import ImageMetric

_NO_IMAGE = torch.iinfo(torch.int64).max


class Maxima(NamedTuple):
    """What is kept of the activations on a group of images.

    Attributes:
        largest: Largest activation, shape ``(G, U)``; -inf in an empty group.
        winner: Index of the image that has it, shape ``(G, U)``.
        total: Sum of activations, shape ``(G, U)``.
        images: Number of images, shape ``(G,)``.
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
    largest_index: Tensor
    total: Tensor
    count: Tensor

    def __init__(
        self, num_units: int, num_groups: int, keep_rows: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(keep_rows=keep_rows, **kwargs)
        self.num_units, self.num_groups = num_units, num_groups
        shape = (num_groups, num_units)
        lowest = torch.full(shape, -torch.inf, dtype=torch.float64)
        none = torch.full(shape, _NO_IMAGE)
        zero = torch.zeros(shape, dtype=torch.float64)
        # Largest and winner go together: ranks are stacked here and merged below.
        self.add_state("largest", lowest, dist_reduce_fx=None)
        self.add_state("largest_index", none, dist_reduce_fx=None)
        self.add_state("total", zero, dist_reduce_fx="sum")
        count = torch.zeros(num_groups, dtype=torch.int64)
        self.add_state("count", count, dist_reduce_fx="sum")

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one image's row: an activation a unit."""
        return (self.num_units,)

    def _fold(self, rows: Tensor, index: Tensor, group: Tensor) -> None:
        self.largest, self.largest_index, self.total, self.count = _folded(
            self._accumulated(), rows, index, group
        )

    def _merged(self) -> Maxima:
        """The maxima over all ranks, the rows not folded yet included."""
        rows = self._unique_unfolded()
        return _folded(self._accumulated(), *rows)

    def _accumulated(self) -> Maxima:
        shape = (-1, self.num_groups, self.num_units)
        ranks = zip(
            self.largest.reshape(shape), self.largest_index.reshape(shape), strict=True
        )
        largest, index = next(ranks)
        for other, other_index in ranks:
            largest, index = _winner(largest, index, other, other_index)
        return Maxima(largest, index, self.total, self.count)


def _folded(maxima: Maxima, rows: Tensor, index: Tensor, group: Tensor) -> Maxima:
    groups = group.unsqueeze(1).expand_as(rows)
    largest = maxima.largest.scatter_reduce(0, groups, rows, "amax")
    # Of equal activations the image of the smallest index wins, whatever the order.
    winner = torch.where(maxima.largest == largest, maxima.winner, _NO_IMAGE)
    tied = torch.where(rows == largest[group], index.unsqueeze(1), _NO_IMAGE)
    return Maxima(
        largest,
        winner.scatter_reduce(0, groups, tied, "amin"),
        maxima.total.index_add(0, group, rows),
        maxima.images + group.bincount(minlength=len(maxima.images)),
    )


def _winner(
    largest: Tensor, index: Tensor, other: Tensor, other_index: Tensor
) -> tuple[Tensor, Tensor]:
    wins = (other > largest) | ((other == largest) & (other_index < index))
    return torch.where(wins, other, largest), torch.where(wins, other_index, index)
