"""UnitMem as a streaming metric, and the largest activations that it rests on."""

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from lightly_memloc.functional.unit_mem import (
    NO_IMAGE,
    Rest,
    is_dead,
    mean_of_rest,
    median_of_rest,
    selectivity,
    winner,
)
from lightly_memloc.metrics.image_metric import (
    Average,
    ImageMetric,
    Values,
    check_average,
)


class Maxima(NamedTuple):
    """Largest and total activations of units on groups of images.

    Attributes:
        largest: Largest activation within each group, shape ``(G, U)``; -inf in an
            empty group.
        winner: Index of the image with the largest activation over all groups, shape
            ``(U,)``; of equally large activations, the smallest index.
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
        num_units: Number of units of the layer.
        num_groups: Number of groups of images.
        keep_rows: Whether to keep all rows instead of folding them.
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
        # Largest and winner belong together: ranks are stacked here and merged below.
        self.add_state("largest", lowest, dist_reduce_fx=None)
        self.add_state(
            "winner", torch.full((num_units,), NO_IMAGE), dist_reduce_fx=None
        )
        self.add_state("total", zero, dist_reduce_fx="sum")
        self.add_state("count", count, dist_reduce_fx="sum")

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of the row of one image: one activation per unit."""
        return (self.num_units,)

    def _fold(self, rows: Tensor, index: Tensor, group: Tensor) -> None:
        self.largest, self.winner, self.total, self.count = _folded(
            self._accumulated(), rows, index, group
        )

    def _merged(self) -> Maxima:
        """The maxima over all ranks, including the rows not folded yet."""
        return _folded(self._accumulated(), *self._unique_unfolded())

    def _accumulated(self) -> Maxima:
        largest = self.largest.reshape(-1, self.num_groups, self.num_units)
        by_rank = self.winner.reshape(-1, self.num_units)
        return Maxima(
            largest.amax(dim=0),
            winner(largest.amax(dim=1), by_rank),
            self.total,
            self.count,
        )


class UnitMem(GroupedMaxima):
    r"""Compute UnitMem of each unit over images [0].

    .. math::
        \mathrm{UnitMem}(u) = \frac{\mu_{max} - \mu_{rest}}{\mu_{max} + \mu_{rest}}

    See :func:`lightly_memloc.functional.unit_mem` for the definition. The state
    consists of three numbers per unit, the rows of the latest batch, and one integer
    per image; with ``rest="median"``, of one number per image and unit. Merging ranks
    is exact, including the winning image.

    ``compute()`` returns a dictionary, or a scalar if ``average="mean"``. Each entry
    has the shape ``(U,)``:

    - ``unit_mem``: UnitMem, in [0, 1] if no activation is negative; 0 for dead units;
    - ``mu_max``: largest activation over the images;
    - ``mu_rest``: mean or median activation over the other images;
    - ``winner``: index of the image with the largest activation; of equally large
      activations, the smallest index;
    - ``dead``: whether the unit is dead: its largest activation is 0.

    As in all torchmetrics, tensors of one element become scalars.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        num_units: Number of units of the layer.
        rest: The average over the other images: their ``"mean"`` or their ``"median"``.
        average: ``"mean"`` returns the mean over live units, as ``self.log`` needs it
            (NaN if all units are dead); ``None`` returns one value per unit.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Raises:
        ValueError: If ``rest`` or ``average`` is unknown.

    Examples:
        >>> import torch
        >>> from lightly_memloc import UnitMem
        >>> metric = UnitMem(num_units=2)
        >>> metric.update(torch.tensor([[9.0, 1.0], [1.0, 1.0]]), torch.tensor([5, 3]))
        >>> metric.update(torch.tensor([[1.0, 1.0]]), torch.tensor([8]))
        >>> metric.compute()["unit_mem"]
        tensor([0.8000, 0.0000], dtype=torch.float64)
        >>> metric.compute()["winner"]
        tensor([5, 3])
    """

    value_name: ClassVar[str | None] = "unit_mem"

    def __init__(
        self,
        num_units: int,
        rest: Rest = "mean",
        *,
        average: Average = None,
        **kwargs: Any,
    ) -> None:
        if rest not in ("mean", "median"):
            raise ValueError(f"Expected rest to be 'mean' or 'median', got {rest!r}.")
        super().__init__(num_units, 1, keep_rows=rest == "median", **kwargs)
        self.rest = rest
        self.average = check_average(average)
        self._keep_apart(rest)

    def update(self, mu: Tensor, index: Tensor) -> None:
        """Add a batch of images.

        Args:
            mu: Activations of shape ``(B, U)``, averaged over views.
            index: Index of each image in the data set, shape ``(B,)``.

        Raises:
            NonFiniteError: If an activation is not finite.
            ValueError: If the shapes do not fit.
        """
        self._add(mu, index, torch.zeros_like(index))

    def compute(self) -> Values | Tensor:
        """Return UnitMem and the winning image of each unit, or the mean over units.

        Raises:
            ValueError: If fewer than two images were seen.
        """
        maxima = self._merged()
        n_images = int(maxima.images[0])
        if n_images < 2:
            raise ValueError(f"UnitMem needs at least two images, got {n_images}.")
        mu_max = maxima.largest[0]
        if self.rest == "mean":
            mu_rest = mean_of_rest(maxima.total[0], mu_max, n_images)
        else:
            mu_rest = median_of_rest(self._unique_unfolded()[0])
        values = {
            "unit_mem": selectivity(mu_max, mu_rest),
            "mu_max": mu_max,
            "mu_rest": mu_rest,
            "winner": maxima.winner,
            "dead": is_dead(mu_max),
        }
        return self._averaged(values, self.average)


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
        winner(contenders, images),
        maxima.total + in_group @ rows,
        maxima.images + torch.tensor(sizes, device=rows.device),
    )
