"""Features of each image, kept as they are, as a streaming metric."""

from typing import Any

import torch
from torch import Tensor

from lightly_memloc.metrics.image_metric import ImageMetric, Values


class ImageFeatures(ImageMetric):
    """Keep features of each image.

    The state consists of the features and one integer per image. ``compute()`` returns
    a dictionary:

    - ``image``: indices of the images in ascending order, shape ``(N,)``;
    - ``features``: their features, shape ``(N, n_features)``.

    Args:
        n_features: Number of features of an image.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Examples:
        >>> import torch
        >>> from lightly_memloc.metrics import ImageFeatures
        >>> metric = ImageFeatures(2)
        >>> metric.update(torch.eye(2), index=torch.tensor([7, 4]))
        >>> metric.compute()["image"]
        tensor([4, 7])
    """

    def __init__(self, n_features: int, **kwargs: Any) -> None:
        super().__init__(keep_rows=True, **kwargs)
        self.n_features = n_features
        self._keep_apart(n_features)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of the row of one image."""
        return (self.n_features,)

    def update(self, features: Tensor, index: Tensor) -> None:
        """Add a batch of images.

        Args:
            features: Shape ``(B, n_features)``.
            index: Index of each image in the data set, shape ``(B,)``.

        Raises:
            NonFiniteError: If a feature is not finite.
            ValueError: If the shapes do not fit.
        """
        self._add(features, index, torch.zeros_like(index))

    def compute(self) -> Values:
        """Return the features of each image."""
        features, index, _ = self._unique_unfolded()
        order = torch.argsort(index)
        return {"image": index[order], "features": features[order]}
