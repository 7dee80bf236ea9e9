"""Alignment distance of each image, as a streaming metric."""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from lightly_memloc.functional import alignment_distance
from lightly_memloc.metrics.image_metric import ImageMetric


class AlignmentDistanceValues(NamedTuple):
    """Alignment distances by image.

    Attributes:
        image: Indices of the images, ascending, shape ``(N,)``.
        distance: Their alignment distances, shape ``(N,)``.
    """

    image: Tensor
    distance: Tensor


class AlignmentDistance(ImageMetric):
    """Collect the alignment distance of each image [0].

    State: one number and one integer an image. See
    :func:`lightly_memloc.functional.alignment_distance` for the definition.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233

    Args:
        normalize: Whether representations are divided by their L2 norm.
        pairs: ``"all"`` pairs of views, or ``"anchor"`` pairs of the first view with
            each other view.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Examples:
        >>> import torch
        >>> from lightly_memloc import AlignmentDistance
        >>> metric = AlignmentDistance()
        >>> views = torch.tensor([[[3.0, 0.0], [0.0, 0.5]], [[1.0, 1.0], [2.0, 2.0]]])
        >>> metric.update(views, index=torch.tensor([7, 4]))
        >>> metric.compute().image
        tensor([4, 7])
        >>> metric.compute().distance
        tensor([0.0000, 1.4142], dtype=torch.float64)
    """

    def __init__(
        self,
        normalize: bool = True,
        pairs: Literal["all", "anchor"] = "all",
        **kwargs: Any,
    ) -> None:
        super().__init__(keep_rows=True, **kwargs)
        self.normalize = normalize
        self.pairs = pairs

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one image's row: a single number."""
        return ()

    def update(self, views: Tensor, index: Tensor) -> None:
        """Add a batch of images.

        Args:
            views: Representations of shape ``(B, V, ...)``.
            index: Index of each image in the data set, shape ``(B,)``.
        """
        distances = alignment_distance(views, self.normalize, self.pairs)
        self._add(distances, index, torch.zeros_like(index))

    def compute(self) -> AlignmentDistanceValues:
        """Return the images' indices, ascending, and their distances."""
        distances, index, _ = self._unique_unfolded()
        order = torch.argsort(index)
        return AlignmentDistanceValues(index[order], distances[order])
