"""The images that activate each unit most, as a streaming metric."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightly_memloc.metrics.image_metric import ImageMetric
from lightly_memloc.metrics.winning_image import NO_IMAGE, winning_image


class TopImagesValues(NamedTuple):
    """The images that activate each unit most, the most activating first.

    Attributes:
        activation: Their activations, shape ``(k, U)``.
        image: Their indices, shape ``(k, U)``.
    """

    activation: Tensor
    image: Tensor


class TopImages(ImageMetric):
    """Accumulate the k images that activate each unit most.

    State: 2k numbers a unit, the rows of the latest batch and one integer an image.
    Merging ranks is exact; of equal activations, that of the smallest index comes
    first.

    Args:
        num_units: Units of the layer.
        k: Images per unit.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Examples:
        >>> import torch
        >>> from lightly_memloc.metrics import TopImages
        >>> metric = TopImages(num_units=1, k=2)
        >>> metric.update(torch.tensor([[1.0], [3.0], [2.0]]), torch.arange(3))
        >>> metric.compute().image
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
        # Ranks are stacked here and merged below: the two states go together.
        self.add_state("activation", lowest, dist_reduce_fx=None)
        self.add_state("image", none, dist_reduce_fx=None)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one image's row: an activation a unit."""
        return (self.num_units,)

    def update(self, mu: Tensor, index: Tensor) -> None:
        """Add a batch of images.

        Args:
            mu: Activations of shape ``(B, U)``, averaged over views.
            index: Index of each image in the data set, shape ``(B,)``.
        """
        self._add(mu, index, torch.zeros_like(index))

    def compute(self) -> TopImagesValues:
        """Return the images; as many as were seen if those are fewer than k."""
        rows, index, _ = self._unique_unfolded()
        top = self._topped(rows, index)
        n_images = len(torch.unique(self._seen()))
        return TopImagesValues(*(field[:n_images] for field in top))

    def _fold(self, rows: Tensor, index: Tensor, group: Tensor) -> None:
        self.activation, self.image = self._topped(rows, index)

    def _topped(self, rows: Tensor, index: Tensor) -> TopImagesValues:
        new = self._largest_rows(rows, index)
        return _largest(
            torch.cat([self.activation.reshape(-1, self.num_units), new.activation]),
            torch.cat([self.image.reshape(-1, self.num_units), new.image]),
            self.k,
        )

    def _largest_rows(self, rows: Tensor, index: Tensor) -> TopImagesValues:
        """The k largest rows of each unit, in no order: few are left to be compared."""
        image = index.unsqueeze(1).expand(rows.shape)
        if len(rows) <= self.k:
            return TopImagesValues(rows, image)
        top = rows.topk(self.k + 1, dim=0, sorted=True)
        largest = TopImagesValues(top.values[:-1], index[top.indices[:-1]])
        # Where the first that is left out is as large, chance would choose.
        tied = top.values[-1] == top.values[-2]
        for chosen, of in zip(
            largest, _largest(rows[:, tied], image[:, tied], self.k), strict=True
        ):
            chosen[:, tied] = of
        return largest


def _largest(activation: Tensor, image: Tensor, k: int) -> TopImagesValues:
    """The k largest activations, the largest first; of equal ones the smallest index."""
    activation, best = activation.clone(), []
    for _ in range(k):
        best.append((activation.amax(dim=0), winning_image(activation, image)))
        activation.masked_fill_(image == best[-1][1], -torch.inf)
    return TopImagesValues(*map(torch.stack, zip(*best, strict=True)))
