"""UnitMem as a streaming metric."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightly_memloc.functional.unit_mem import Rest, selectivity
from lightly_memloc.metrics.grouped_maxima import GroupedMaxima


class UnitMemValues(NamedTuple):
    """UnitMem by unit, each field of shape ``(U,)``.

    Attributes:
        unit_mem: UnitMem; 0 for dead units.
        mu_max: Largest activation over the images.
        mu_rest: Mean or median activation over the other images.
        winner: Index of the image with the largest activation.
        dead: Whether the unit is dead: its largest activation is 0.
    """

    unit_mem: Tensor
    mu_max: Tensor
    mu_rest: Tensor
    winner: Tensor
    dead: Tensor


class UnitMem(GroupedMaxima):
    """Accumulate UnitMem over images [0].

    State: three numbers a unit, the rows of the latest batch and one integer an image.
    With ``rest="median"`` all rows are kept: one number an image and unit. Merging
    ranks is exact, the winning image included (of equal activations, the image of the
    smallest index wins). See :func:`lightly_memloc.functional.unit_mem`.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        num_units: Units of the layer.
        rest: The average over the other images: their mean or their median.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Examples:
        >>> import torch
        >>> from lightly_memloc import UnitMem
        >>> metric = UnitMem(num_units=2)
        >>> metric.update(torch.tensor([[9.0, 1.0], [1.0, 1.0]]), torch.tensor([5, 3]))
        >>> metric.update(torch.tensor([[1.0, 1.0]]), torch.tensor([8]))
        >>> metric.compute().unit_mem
        tensor([0.8000, 0.0000], dtype=torch.float64)
        >>> metric.compute().winner
        tensor([5, 3])
    """

    def __init__(self, num_units: int, rest: Rest = "mean", **kwargs: Any) -> None:
        if rest not in ("mean", "median"):
            raise ValueError(f"Expected rest to be 'mean' or 'median', got {rest!r}.")
        super().__init__(num_units, 1, keep_rows=rest == "median", **kwargs)
        self.rest = rest

    def update(self, mu: Tensor, index: Tensor) -> None:
        """Add a batch of images.

        Args:
            mu: Activations of shape ``(B, U)``, averaged over views.
            index: Index of each image in the data set, shape ``(B,)``.
        """
        self._add(mu, index, torch.zeros_like(index))

    def compute(self) -> UnitMemValues:
        """Return UnitMem with the winning image of each unit.

        Raises:
            ValueError: If fewer than two images were seen.
        """
        maxima = self._merged()
        n_images = int(maxima.images[0])
        if n_images < 2:
            raise ValueError(f"UnitMem needs at least two images, got {n_images}.")
        mu_max, winner = maxima.largest[0], maxima.winner
        if self.rest == "mean":
            mu_rest = (maxima.total[0] - mu_max) / (n_images - 1)
        else:
            mu_rest = _median_without_largest(self._unique_unfolded()[0])
        dead = mu_max == 0
        return UnitMemValues(
            selectivity(mu_max, mu_rest), mu_max, mu_rest, winner, dead
        )


def _median_without_largest(rows: Tensor) -> Tensor:
    others = rows.sort(dim=0).values[:-1]
    return (others[(len(others) - 1) // 2] + others[len(others) // 2]) / 2
