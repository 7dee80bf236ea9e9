"""Measuring ClassMem: which units are tied to classes of images."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torchmetrics import Metric
from typing_extensions import Self

from lightly_memloc.data import targets_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import layer_table, unit_table
from lightly_memloc.evaluators.evaluator import EVALUATORS
from lightly_memloc.evaluators.measure import measure
from lightly_memloc.evaluators.study import Study
from lightly_memloc.evaluators.unit_evaluator import UnitEvaluator
from lightly_memloc.evaluators.view_loader import ViewBatch
from lightly_memloc.functional.unit_activation import Rectify
from lightly_memloc.metrics import ClassMem
from lightly_memloc.results import ClassMemResult


@EVALUATORS.register("class_mem")
class ClassMemEvaluator(UnitEvaluator[ClassMemResult]):
    """Measure ClassMem of every unit of every layer in one pass [0].

    See :func:`lightly_memloc.measure_class_mem`, which runs it, for what is measured
    and for the arguments.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069
    """

    title: ClassVar[str] = "Measuring ClassMem"

    def __init__(
        self,
        model: nn.Module,
        dataset: Any,
        transform: Callable[[Any], Any],
        indices: ArrayLike | None = None,
        layers: str | Sequence[str] = "auto",
        n_views: int = 10,
        batch_size: int = 64,
        num_workers: int = 0,
        seed: int = 0,
        rectify: Rectify = "auto",
        *,
        num_classes: int | None = None,
        skip_unreadable: bool = False,
        state_file: str | PathLike[str] | None = None,
    ) -> None:
        chosen = np.unique(
            np.asarray(range(len(dataset)) if indices is None else indices)
        )
        known = targets_of(dataset)
        if num_classes is None and known is None:
            raise MemorizationError(
                "The data set does not tell its classes: pass num_classes=..., with targets "
                "from 0 to num_classes - 1."
            )
        if known is not None and len(np.unique(known[chosen])) < 2:
            raise MemorizationError(
                "ClassMem needs labelled images of at least two classes, got "
                f"{len(np.unique(known[chosen]))}. A folder gives a class a subfolder."
            )
        n_classes = num_classes or int(np.max(known if known is not None else 0)) + 1
        super().__init__(
            model,
            dataset,
            transform,
            chosen,
            layers,
            n_views,
            batch_size,
            num_workers,
            seed,
            rectify,
            skip_unreadable,
            state_file,
        )
        self.n_classes = n_classes

    @classmethod
    def from_study(cls, study: Study, **options: Any) -> Self:
        """Make the evaluator of a study of labelled images."""
        return cls(
            study.model,
            study.dataset,
            study.transform,
            study.members,
            **study.options(),
            **options,
        )

    def settings(self) -> dict[str, Any]:
        """What identifies the measurement, besides encoders, images and views."""
        return super().settings() | {"classes": self.n_classes}

    def make_metrics(self) -> dict[str, Metric | nn.ModuleList]:
        """Make the metric that accumulates, once the layers are known."""
        n_units = sum(layer.num_units for layer in self.layers)
        return {"class_mem": ClassMem(n_units, self.n_classes)}

    def take(self, mu: Tensor, batch: ViewBatch) -> None:
        """Take activations into the metric."""
        self.metrics["class_mem"].update(mu, _class_indices(batch), batch.indices)

    def compute(self) -> ClassMemResult:
        """Return the result over the images of all processes."""
        values = self.arrays("class_mem")
        columns = {"class_mem": values["class_mem"], "class": values["target"]}
        units = unit_table(self.layers, **columns, dead=values["dead"])
        rectified = self.rectification.rectified(self.layers)
        by_layer = layer_table(self.layers, units, "class_mem", rectified=rectified)
        return ClassMemResult(
            {
                "n_views": self.views.n_views,
                "seed": self.views.seed,
                "rectify": self.rectification.rectify,
                "images": len(self.indices),
                "classes": self.n_classes,
                "skipped": self.all_skipped(),
            },
            {"layers": by_layer, "units": units},
        )


def measure_class_mem(
    model: nn.Module,
    dataset: Any,
    transform: Callable[[Any], Any],
    indices: ArrayLike | None = None,
    layers: str | Sequence[str] = "auto",
    n_views: int = 10,
    batch_size: int = 64,
    num_workers: int = 0,
    seed: int = 0,
    device: str | torch.device = "auto",
    rectify: Rectify = "auto",
    *,
    num_classes: int | None = None,
    skip_unreadable: bool = False,
    state_file: str | PathLike[str] | None = None,
) -> ClassMemResult:
    """Measure ClassMem of every unit of every layer in one pass [0].

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder.
        dataset: Map-style data set of labelled images ``(image, target, ...)`` without
            a transform of its own.
        transform: The training augmentation: a view transform, or a lightly
            ``MultiViewTransform``, whose first view counts.
        indices: The images to measure; all of them by default.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Views per image.
        batch_size: Images per batch; the encoder sees ``batch_size * n_views`` views.
        num_workers: Worker processes that load images.
        seed: Seed of the views.
        device: ``"auto"`` or a torch device.
        rectify: ``"auto"`` and ``"relu"`` set negative outputs to 0, ``"abs"`` takes
            absolute values, ``"none"`` leaves them, and ClassMem unbounded.
        num_classes: Number of classes; needed for data sets without ``targets``.
        skip_unreadable: Whether unreadable images are left out instead of refused.
        state_file: Where the state is kept as the measurement goes on, and removed
            when it is complete. If it is there already, left by the same measurement
            when it was interrupted, that is resumed, with the same result.

    Returns:
        The result; ``to_pandas()`` has a row a unit.

    Raises:
        MemorizationError: If the targets are no class indices or of fewer than two
            classes, a layer is not found or does not run, activations are not finite,
            or the state file is that of another measurement.
        UnreadableImageError: If an image cannot be read.
    """
    return measure(
        ClassMemEvaluator(
            model,
            dataset,
            transform,
            indices,
            layers,
            n_views,
            batch_size,
            num_workers,
            seed,
            rectify,
            num_classes=num_classes,
            skip_unreadable=skip_unreadable,
            state_file=state_file,
        ),
        device,
    )


def _class_indices(batch: ViewBatch) -> Tensor:
    targets = torch.as_tensor(np.asarray(batch.targets))
    if targets.ndim != 1 or targets.is_floating_point():
        raise MemorizationError(
            "Expected an integer class index as the target of each image, got "
            f"{batch.targets[0]!r}."
        )
    return targets
