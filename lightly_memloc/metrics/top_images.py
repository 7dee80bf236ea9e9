"""The images that activate each unit most, as a streaming metric."""

from typing import Any

import torch
from torch import Tensor

from lightly_memloc.functional.unit_mem import NO_IMAGE, winner
from lightly_memloc.metrics.image_metric import ImageMetric, Values

# Activations and indices of images, each of shape (n, U).
Ranked = tuple[Tensor, Tensor]


class TopImages(ImageMetric):
    """Find the k images that activate each unit most.

    The state consists of 2k numbers per unit, the rows of the latest batch, and one
    integer per image. Merging ranks is exact.

    ``compute()`` returns a dictionary, with the most activating image first. Of
    equally large activations, the one with the smallest index comes first.

    - ``activation``: activations of the images, shape ``(k, U)``;
    - ``image``: indices of the images, shape ``(k, U)``.

    Args:
        num_units: Number of units of the layer.
        k: Number of images per unit.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Examples:
        >>> import torch
        >>> from lightly_memloc.metrics import TopImages
        >>> metric = TopImages(num_units=1, k=2)
        >>> metric.update(torch.tensor([[1.0], [3.0], [2.0]]), torch.arange(3))
        >>> metric.compute()["image"]
        tensor([[1],
                [2]])
    """

    activation: Tensor
    image: Tensor

    def __init__(self, num_units: int, k: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_units, self.k = num_units, k
        lowest = torch.full((k, num_units), -torch.inf, dtype=torch.float64)
        none = torch.full((k, num_units), NO_IMAGE)
        # The two states belong together: ranks are stacked here and merged below.
        self.add_state("activation", lowest, dist_reduce_fx=None)
        self.add_state("image", none, dist_reduce_fx=None)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of the row of one image: one activation per unit."""
        return (self.num_units,)

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

    def compute(self) -> Values:
        """Return the k images of each unit, or all of them if fewer were seen."""
        rows, index, _ = self._unique_unfolded()
        activation, image = self._topped(rows, index)
        n_images = len(torch.unique(self._seen()))
        return {"activation": activation[:n_images], "image": image[:n_images]}

    def _fold(self, rows: Tensor, index: Tensor, group: Tensor) -> None:
        self.activation, self.image = self._topped(rows, index)

    def _topped(self, rows: Tensor, index: Tensor) -> Ranked:
        activation, image = self._largest_rows(rows, index)
        return _largest(
            torch.cat([self.activation.reshape(-1, self.num_units), activation]),
            torch.cat([self.image.reshape(-1, self.num_units), image]),
            self.k,
        )

    def _largest_rows(self, rows: Tensor, index: Tensor) -> Ranked:
        """The k largest rows of each unit, unordered: this leaves few to compare."""
        image = index.unsqueeze(1).expand(rows.shape)
        if len(rows) <= self.k:
            return rows, image
        top = rows.topk(self.k + 1, dim=0, sorted=True)
        largest = top.values[:-1], index[top.indices[:-1]]
        # If the first row left out is equally large, topk chooses arbitrarily.
        tied = top.values[-1] == top.values[-2]
        for chosen, of in zip(
            largest, _largest(rows[:, tied], image[:, tied], self.k), strict=True
        ):
            chosen[:, tied] = of
        return largest


def _largest(activation: Tensor, image: Tensor, k: int) -> Ranked:
    """The k largest activations in descending order; ties in order of their indices."""
    activation, best = activation.clone(), []
    for _ in range(k):
        best.append((activation.amax(dim=0), winner(activation, image)))
        activation.masked_fill_(image == best[-1][1], -torch.inf)
    values, images = zip(*best, strict=True)
    return torch.stack(values), torch.stack(images)
