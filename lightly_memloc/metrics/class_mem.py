"""ClassMem as a streaming metric."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from lightly_memloc.functional import class_selectivity
from lightly_memloc.functional.unit_mem import is_dead, winner
from lightly_memloc.metrics.image_metric import (
    Average,
    ImageMetric,
    Values,
    check_average,
)


class ClassMem(ImageMetric):
    r"""Compute ClassMem of each unit over labelled images [0].

    .. math::
        \mathrm{ClassMem}(u) = \frac{m_{max} - m_{rest}}{m_{max} + m_{rest}}

    See :func:`lightly_memloc.functional.class_mem` for the definition. Classes without
    an image are left out. The state consists of one number per unit and class, the
    rows of the latest batch, and one integer per image.

    ``compute()`` returns a dictionary, or a scalar if ``average="mean"``. Each entry
    has the shape ``(U,)``:

    - ``class_mem``: ClassMem, in [0, 1] if no activation is negative; 0 for dead units;
    - ``target``: the class with the largest mean activation;
    - ``dead``: whether the unit is dead: its largest class mean is 0.

    As in all torchmetrics, tensors of one element become scalars.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        num_units: Number of units of the layer.
        num_classes: Number of classes; targets are in ``[0, num_classes)``.
        average: ``"mean"`` returns the mean over live units, as ``self.log`` needs it
            (NaN if all units are dead); ``None`` returns one value per unit.
        kwargs: Keyword arguments of ``torchmetrics.Metric``.

    Raises:
        ValueError: If ``average`` is unknown.

    Examples:
        >>> import torch
        >>> from lightly_memloc import ClassMem
        >>> metric = ClassMem(num_units=2, num_classes=2)
        >>> mu, targets = torch.tensor([[1.0, 2.0], [3.0, 2.0]]), torch.tensor([0, 1])
        >>> metric.update(mu, targets, index=torch.tensor([0, 1]))
        >>> metric.compute()["class_mem"]
        tensor([0.5000, 0.0000], dtype=torch.float64)
        >>> metric.compute()["target"]
        tensor([1, 0])
    """

    value_name: ClassVar[str | None] = "class_mem"

    total: Tensor
    count: Tensor

    def __init__(
        self,
        num_units: int,
        num_classes: int,
        *,
        average: Average = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_units, self.num_classes = num_units, num_classes
        self.average = check_average(average)
        zero = torch.zeros(num_classes, num_units, dtype=torch.float64)
        self.add_state("total", zero, dist_reduce_fx="sum")
        count = torch.zeros(num_classes, dtype=torch.int64)
        self.add_state("count", count, dist_reduce_fx="sum")

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of the row of one image: one activation per unit."""
        return (self.num_units,)

    def update(self, mu: Tensor, targets: Tensor, index: Tensor) -> None:
        """Add a batch of images.

        Args:
            mu: Activations of shape ``(B, U)``, averaged over views.
            targets: Class of each image, shape ``(B,)``.
            index: Index of each image in the data set, shape ``(B,)``.

        Raises:
            NonFiniteError: If an activation is not finite.
            ValueError: If the shapes do not fit, or a target is not in
                ``[0, num_classes)``.
        """
        if len(targets) and not (
            int(targets.min()) >= 0 and int(targets.max()) < self.num_classes
        ):
            raise ValueError(
                f"Expected targets in [0, {self.num_classes}), got "
                f"{int(targets.min())} to {int(targets.max())}."
            )
        self._add(mu, index, targets)

    def compute(self) -> Values | Tensor:
        """Return ClassMem and the preferred class of each unit, or the mean over units.

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
        values = {
            "class_mem": class_selectivity(means),
            "target": winner(means, classes),
            "dead": is_dead(means.amax(dim=0)),
        }
        return self._averaged(values, self.average)

    def _fold(self, rows: Tensor, index: Tensor, group: Tensor) -> None:
        self.total, self.count = self._with(rows, group)

    def _with(self, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        return (
            self.total.index_add(0, targets, rows),
            self.count + targets.bincount(minlength=self.num_classes),
        )
