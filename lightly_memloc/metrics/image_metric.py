"""The common part of the metrics: every image counts once, on however many ranks."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from lightly_memloc.errors import NonFiniteError


class ImageMetric(Metric):
    """A metric over images that counts an image once, however often it is seen.

    Samplers pad: the last images of an epoch repeat on some ranks. To take such an
    image out again, the rows of the latest batch are kept as they are and folded into
    the accumulators when the next batch comes. State is therefore that of the
    accumulators, one batch of rows and one integer an image.

    Args:
        keep_rows: Whether all rows are kept instead of being folded.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.
    """

    full_state_update = True
    higher_is_better = None
    is_differentiable = False

    rows: list[Tensor]
    row_index: list[Tensor]
    row_group: list[Tensor]
    folded_index: list[Tensor]
    highest_index: Tensor

    def __init__(self, keep_rows: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keep_rows = keep_rows
        for state in ("rows", "row_index", "row_group", "folded_index"):
            self.add_state(state, default=[], dist_reduce_fx="cat")
        self.add_state("highest_index", torch.tensor(-1), dist_reduce_fx="max")

    @property
    @abstractmethod
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one image's row."""

    def _fold(self, rows: Tensor, index: Tensor, group: Tensor) -> None:
        """Take the rows of images not seen before into the accumulators."""
        raise NotImplementedError("A metric that keeps its rows folds none.")

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Merge the states of all ranks; one that saw no image takes part empty."""
        self._start()
        super().sync(*args, **kwargs)

    def _start(self) -> None:
        # Synced states are tensors instead of lists.
        if isinstance(self.row_index, Tensor) or self.row_index:
            return
        none = torch.zeros(0, dtype=torch.int64, device=self.device)
        self.rows.append(
            torch.zeros(0, *self.row_shape, dtype=torch.float64, device=self.device)
        )
        for states in (self.row_index, self.row_group, self.folded_index):
            states.append(none)

    def _add(self, rows: Tensor, index: Tensor, group: Tensor) -> None:
        if rows.shape != (len(index), *self.row_shape):
            raise ValueError(
                f"Expected values of shape {('B', *self.row_shape)} with one index an "
                f"image, got {tuple(rows.shape)} and {tuple(index.shape)}."
            )
        self._start()
        if not len(index):
            return
        refuse_non_finite(rows, index)
        index = index.to(device=self.device, dtype=torch.int64)
        rows = rows.detach().to(self.device, torch.float64, copy=True)
        group = group.to(self.device, torch.int64)
        new = _first_occurrences(index)
        # In ascending order no image can have been seen: nothing to search.
        if int(index.min()) <= int(self.highest_index):
            new &= ~torch.isin(index, self._seen())
        self.highest_index = torch.maximum(self.highest_index, index.max())
        if not new.all():
            rows, index, group = rows[new], index[new], group[new]
        if not self.keep_rows:
            self._fold_rows()
        self.rows.append(rows)
        self.row_index.append(index)
        self.row_group.append(group)

    def _fold_rows(self) -> None:
        rows, index, group = self._unfolded()
        self._fold(rows, index, group)
        self.folded_index.append(index)
        self.rows, self.row_index, self.row_group = [rows[:0]], [index[:0]], [group[:0]]

    def _seen(self) -> Tensor:
        return torch.cat([_cat(self.folded_index), _cat(self.row_index)])

    def _unfolded(self) -> tuple[Tensor, Tensor, Tensor]:
        return _cat(self.rows), _cat(self.row_index), _cat(self.row_group)

    def _unique_unfolded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows not folded yet, of images that no rank has folded and only once."""
        self._start()
        folded = _cat(self.folded_index)
        repeated, times = torch.unique(folded, return_counts=True)
        if (times > 1).any():
            raise ValueError(
                f"Image {int(repeated[times > 1][0])} was seen by two ranks before "
                "their last batch and cannot be counted once. Give each rank its own "
                "images, as torch's DistributedSampler(shuffle=False) does."
            )
        rows, index, group = self._unfolded()
        new = _first_occurrences(index) & ~torch.isin(index, folded)
        return rows[new], index[new], group[new]


def refuse_non_finite(rows: Tensor, index: Tensor) -> None:
    """Refuse values that are not finite.

    Args:
        rows: A row an image.
        index: Index of each image.

    Raises:
        NonFiniteError: If a row has one, with the image's index.
    """
    if not torch.isfinite(rows).all():
        finite = torch.isfinite(rows).reshape(len(rows), -1).all(dim=1)
        raise NonFiniteError(
            f"Image {int(index[~finite.cpu()][0])} gave NaN or infinite values."
        )


def _cat(states: list[Tensor] | Tensor) -> Tensor:
    return states if isinstance(states, Tensor) else torch.cat(states)


def _first_occurrences(index: Tensor) -> Tensor:
    order = torch.argsort(index, stable=True)
    ordered = index[order]
    first = torch.ones_like(index, dtype=torch.bool)
    first[order[1:]] = ordered[1:] != ordered[:-1]
    return first
