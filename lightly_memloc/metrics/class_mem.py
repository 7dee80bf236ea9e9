"""ClassMem as a streaming metric."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lightly_memloc.functional import class_selectivity
from lightly_memloc.metrics.image_metric import ImageMetric


class ClassMemValues(NamedTuple):
    """ClassMem by unit, each field of shape ``(U,)``.

    Attributes:
        class_mem: ClassMem; 0 for dead units.
        target: The class of the largest mean activation.
        dead: Whether the unit is dead: its largest class mean is 0.
    """

    class_mem: Tensor
    target: Tensor
    dead: Tensor


class ClassMem(ImageMetric):
    """Accumulate ClassMem over labelled images [0].

    State: one number a unit and class, the rows of the latest batch and one integer an
    image. Classes without an image are left out. See
    :func:`lightly_memloc.functional.class_mem`.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        num_units: Units of the layer.
        num_classes: Classes; targets are in ``[0, num_classes)``.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Examples:
        >>> import torch
        >>> from lightly_memloc import ClassMem
        >>> metric = ClassMem(num_units=1, num_classes=2)
        >>> mu, targets = torch.tensor([[1.0], [3.0]]), torch.tensor([0, 1])
        >>> metric.update(mu, targets, index=torch.tensor([0, 1]))
        >>> metric.compute().class_mem.item(), metric.compute().target.item()
        (0.5, 1)
    """

    total: Tensor
    count: Tensor

    def __init__(self, num_units: int, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_units, self.num_classes = num_units, num_classes
        zero = torch.zeros(num_classes, num_units, dtype=torch.float64)
        self.add_state("total", zero, dist_reduce_fx="sum")
        count = torch.zeros(num_classes, dtype=torch.int64)
        self.add_state("count", count, dist_reduce_fx="sum")

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one image's row: an activation a unit."""
        return (self.num_units,)

    def update(self, mu: Tensor, targets: Tensor, index: Tensor) -> None:
        """Add a batch of images.

        Args:
            mu: Activations of shape ``(B, U)``, averaged over views.
            targets: Class of each image, shape ``(B,)``.
            index: Index of each image in the data set, shape ``(B,)``.

        Raises:
            ValueError: If a target is not in ``[0, num_classes)``.
        """
        if len(targets) and not (
            int(targets.min()) >= 0 and int(targets.max()) < self.num_classes
        ):
            raise ValueError(
                f"Expected targets in [0, {self.num_classes}), got "
                f"{int(targets.min())} to {int(targets.max())}."
            )
        self._add(mu, index, targets)

    def compute(self) -> ClassMemValues:
        """Return ClassMem with the preferred class of each unit.

        Raises:
            ValueError: If images of fewer than two classes were seen.
        """
        rows, _, targets = self._unique_unfolded()
        total, count = self._with(rows, targets)
        classes = count.nonzero().squeeze(1)
        if len(classes) < 2:
            raise ValueError(
                f"ClassMem needs images of at least two classes, got {len(classes)}."
            )
        means = total[classes] / count[classes].unsqueeze(1)
        return ClassMemValues(
            class_selectivity(means),
            classes[means.argmax(dim=0)],
            means.amax(dim=0) == 0,
        )

    def _fold(self, rows: Tensor, index: Tensor, group: Tensor) -> None:
        self.total, self.count = self._with(rows, group)

    def _with(self, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return (
            self.total.index_add(0, targets, rows),
            self.count + targets.bincount(minlength=self.num_classes),
        )
