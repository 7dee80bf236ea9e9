"""The common part of the metrics: every image counts once, on however many ranks."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from lightly_memloc.errors import NonFiniteError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Average = Literal["mean"] | None
Values = dict[str, Tensor]


class ImageMetric(Metric):
    """A metric over images that counts each image once, however often it is seen.

    Samplers pad: the last images of an epoch repeat on some ranks. To remove such an
    image again, the metric keeps the rows of the latest batch as they are, and folds
    them into its accumulators when the next batch arrives. The state consists of the
    accumulators, one batch of rows, and one integer per image.

    Args:
        keep_rows: Whether to keep all rows instead of folding them.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.
    """

    full_state_update = True
    higher_is_better = None
    is_differentiable = False

    # The field of the result that is averaged and plotted, if there is one.
    value_name: ClassVar[str | None] = None

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
        """Shape of the row of one image."""

    def plot(
        self,
        val: Values | Tensor | Sequence[Values | Tensor] | None = None,
        ax: "Axes | None" = None,
    ) -> "tuple[Figure | SubFigure, Axes]":
        """Plot the values in descending order, or their mean over time.

        Args:
            val: A result of ``compute`` or ``forward``, or a sequence of results, of
                which the means are plotted as a time series. By default, the result
                of ``compute`` is plotted. Dead units are left out.
            ax: Matplotlib axes to draw on; by default, those of a new figure.

        Returns:
            The figure and the axes.

        Raises:
            NotImplementedError: If the metric has counts instead of values.
        """
        if self.value_name is None:
            raise NotImplementedError(f"{type(self).__name__} has no values to plot.")
        from matplotlib import pyplot as plt

        figure, ax = plt.subplots() if ax is None else (ax.figure, ax)
        val = self.compute() if val is None else val
        if isinstance(val, dict):
            ranked = self._live(val).sort(descending=True).values.cpu().numpy()
            ax.plot(range(1, len(ranked) + 1), ranked, marker=".")
            ax.set(xlabel="Rank", ylabel=type(self).__name__)
        elif isinstance(val, Tensor):
            self._plot(val, ax)
        else:
            self._plot([self._live(one).mean() for one in val], ax)
        return figure, ax

    def _live(self, result: Values | Tensor) -> Tensor:
        """The values of a result, without those of dead units, as a vector."""
        if isinstance(result, Tensor):
            return result.reshape(-1)
        values = result[str(self.value_name)].reshape(-1)
        return values[~result["dead"].reshape(-1)] if "dead" in result else values

    def _averaged(self, values: Values, average: Average) -> Values | Tensor:
        return values if average is None else self._live(values).mean()

    def _keep_apart(self, *settings: object) -> None:
        """Add a state by which a ``MetricCollection`` sees that settings differ.

        A collection updates metrics as one if their states are equal after the first
        batch. Metrics whose updates depend on their settings must not be among them.
        """
        digest = hashlib.blake2b(repr(settings).encode(), digest_size=8).digest()
        self.add_state("settings", torch.tensor(list(digest)), dist_reduce_fx="max")

    def _fold(self, rows: Tensor, index: Tensor, group: Tensor) -> None:
        """Add the rows of images not seen before to the accumulators."""
        raise NotImplementedError("A metric that keeps its rows folds none.")

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Merge the states of all ranks, including those of ranks without images."""
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
                f"Expected values of shape {('B', *self.row_shape)} with one index per "
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


def check_average(average: Average) -> Average:
    """Return the average if it is known.

    Args:
        average: How values are averaged.

    Raises:
        ValueError: If it is neither ``"mean"`` nor ``None``.
    """
    if average not in ("mean", None):
        raise ValueError(f"Expected average to be 'mean' or None, got {average!r}.")
    return average


def refuse_non_finite(rows: Tensor, index: Tensor) -> None:
    """Refuse values that are not finite.

    Args:
        rows: One row per image.
        index: Index of each image.

    Raises:
        NonFiniteError: If a value is not finite; the message names the image.
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
