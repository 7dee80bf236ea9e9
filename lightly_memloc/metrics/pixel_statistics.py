"""Pixel statistics of each image's views, as a streaming metric."""

from typing import Any

import torch
from torch import Tensor

from lightly_memloc.functional import pixel_statistics
from lightly_memloc.functional.pixel_statistics import PIXEL_STATISTICS
from lightly_memloc.metrics.image_metric import ImageMetric, Values


class PixelStatistics(ImageMetric):
    """Compute statistics of the pixels of each image's views.

    See :func:`lightly_memloc.functional.pixel_statistics` for the definition. The state
    consists of five numbers and one integer per image.

    ``compute()`` returns a dictionary:

    - ``image``: indices of the images in ascending order, shape ``(N,)``;
    - ``statistics``: their statistics, shape ``(N, 5)``.

    Args:
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Examples:
        >>> import torch
        >>> from lightly_memloc.metrics import PixelStatistics
        >>> metric = PixelStatistics()
        >>> metric.update(torch.rand(3, 2, 1, 4, 4), index=torch.tensor([7, 4, 5]))
        >>> metric.compute()["image"]
        tensor([4, 5, 7])
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(keep_rows=True, **kwargs)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of the row of one image: five statistics."""
        return (len(PIXEL_STATISTICS),)

    def update(self, views: Tensor, index: Tensor) -> None:
        """Add a batch of images.

        Args:
            views: Views of shape ``(B, V, C, H, W)``.
            index: Index of each image in the data set, shape ``(B,)``.

        Raises:
            NonFiniteError: If a pixel is not finite.
            ValueError: If the shapes do not fit, or there are fewer than two views.
        """
        self._add(pixel_statistics(views), index, torch.zeros_like(index))

    def compute(self) -> Values:
        """Return the statistics of each image."""
        statistics, index, _ = self._unique_unfolded()
        order = torch.argsort(index)
        return {"image": index[order], "statistics": statistics[order]}
