"""Alignment distance of each image, as a streaming metric."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lightly_memloc.functional import alignment_distance
from lightly_memloc.metrics.image_metric import (
    Average,
    ImageMetric,
    Values,
    check_average,
)


class AlignmentDistance(ImageMetric):
    r"""Compute the alignment distance of each image over its views [0].

    .. math::
        a(x) = \frac{1}{|P|} \sum_{(v, w) \in P} \lVert z_v - z_w \rVert_2

    See :func:`lightly_memloc.functional.alignment_distance` for the definition. The
    state consists of one number (three with ``halves``) and one integer per image.

    ``compute()`` returns a dictionary, or a scalar if ``average="mean"``:

    - ``image``: indices of the images in ascending order, shape ``(N,)``;
    - ``distance``: their alignment distances, shape ``(N,)``; in [0, 2] if normalized;
    - ``halves``, if asked for: those over the first and over the second half of the
      views, shape ``(N, 2)``.

    As in all torchmetrics, tensors of one element become scalars.

    - [0]: SSLMem, 2024, https://arxiv.org/abs/2401.12233

    Args:
        normalize: Whether to divide representations by their L2 norm.
        pairs: ``"all"`` pairs of views, or ``"anchor"`` pairs of the first view with
            each other view.
        halves: Whether to compute the distance over either half of the views as well.
        average: ``"mean"`` returns the mean over images, as ``self.log`` needs it;
            ``None`` returns one value per image.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Raises:
        ValueError: If ``average`` is unknown.

    Examples:
        >>> import torch
        >>> from lightly_memloc import AlignmentDistance
        >>> metric = AlignmentDistance()
        >>> views = torch.tensor([[[3.0, 0.0], [0.0, 0.5]], [[1.0, 1.0], [2.0, 2.0]]])
        >>> metric.update(views, index=torch.tensor([7, 4]))
        >>> metric.compute()["image"]
        tensor([4, 7])
        >>> metric.compute()["distance"]
        tensor([0.0000, 1.4142], dtype=torch.float64)
    """

    value_name: ClassVar[str | None] = "distance"

    def __init__(
        self,
        normalize: bool = True,
        pairs: Literal["all", "anchor"] = "all",
        *,
        halves: bool = False,
        average: Average = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(keep_rows=True, **kwargs)
        self.normalize = normalize
        self.pairs = pairs
        self.halves = halves
        self.average = check_average(average)
        self._keep_apart(normalize, pairs, halves)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of the row of one image: a single number, or three with halves."""
        return (3,) if self.halves else ()

    def update(self, views: Tensor, index: Tensor) -> None:
        """Add a batch of images.

        Args:
            views: Representations of shape ``(B, V, ...)``.
            index: Index of each image in the data set, shape ``(B,)``.

        Raises:
            NonFiniteError: If a representation is not finite.
            ValueError: If the shapes do not fit, or there are fewer than two views.
        """
        distances = alignment_distance(views, self.normalize, self.pairs, self.halves)
        self._add(distances, index, torch.zeros_like(index))

    def compute(self) -> Values | Tensor:
        """Return the distance of each image, or the mean over images."""
        distances, index, _ = self._unique_unfolded()
        order = torch.argsort(index)
        values = {"image": index[order], "distance": distances[order]}
        if self.halves:
            by_views = values["distance"]
            values |= {"distance": by_views[:, 0], "halves": by_views[:, 1:]}
        return self._averaged(values, self.average)
