"""Measuring ClassMem: which units respond to a single class of images."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torchmetrics import Metric
from typing_extensions import Unpack

from lightly_memloc.data import Study, targets_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import layer_table, unit_table
from lightly_memloc.evaluators.evaluator import EVALUATORS, computed
from lightly_memloc.evaluators.unit_evaluator import Activations, UnitEvaluator
from lightly_memloc.evaluators.view_loader import ViewBatch
from lightly_memloc.functional.unit_activation import Rectify
from lightly_memloc.metrics import ClassMem
from lightly_memloc.results import ClassMemResult
from lightly_memloc.runtime import PassArguments, PassOptions


@EVALUATORS.register("class_mem")
class ClassMemEvaluator(UnitEvaluator[ClassMemResult]):
    """Measure ClassMem of every unit of every layer in one pass [0].

    See :func:`lightly_memloc.measure_class_mem` for the arguments and the result.

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069
    """

    title: ClassVar[str] = "Measuring ClassMem"

    def __init__(
        self,
        model: nn.Module,
        study: Study,
        reference: nn.Module | None = None,
        *,
        layers: str | Sequence[str] = "auto",
        rectify: Rectify = "auto",
        num_classes: int | None = None,
        **options: Unpack[PassArguments],
    ) -> None:
        known = targets_of(study.dataset)
        if num_classes is None and known is None:
            raise MemorizationError(
                "The data set does not list its classes: pass num_classes=..., with "
                "targets from 0 to num_classes - 1."
            )
        if known is not None and len(np.unique(known[study.members])) < 2:
            raise MemorizationError(
                "ClassMem needs labelled images of at least two classes, got "
                f"{len(np.unique(known[study.members]))}. In a folder of images, each "
                "class is a subfolder."
            )
        super().__init__(
            model, study, study.members, layers, rectify, PassOptions(**options)
        )
        self.n_classes = (
            num_classes or int(np.max(known if known is not None else 0)) + 1
        )

    def identity(self) -> dict[str, Any]:
        """Return the options that must match to resume an interrupted measurement."""
        return super().identity() | {"classes": self.n_classes}

    def settings(self) -> dict[str, Any]:
        """Return the options, the device and the images left out."""
        return super().settings() | {
            "images": len(self.indices),
            "classes": self.n_classes,
        }

    def make_metrics(self) -> dict[str, Metric | nn.ModuleList]:
        """Create the metric. Called once the layers are known."""
        n_units = sum(layer.num_units for layer in self.layers)
        return {"class_mem": ClassMem(n_units, self.n_classes)}

    def take(self, encoder: str, mu: Activations, batch: ViewBatch) -> None:
        """Update the metric with activations."""
        targets = _class_indices(batch)
        self.metrics["class_mem"].update(mu.mean, targets, batch.indices)

    def compute(self) -> ClassMemResult:
        """Return the result over the images of all processes."""
        values = computed(self.metrics["class_mem"])
        columns = {"class_mem": values["class_mem"], "class": values["target"]}
        units = unit_table(self.layers, **columns, dead=values["dead"])
        rectified = self.rectification.rectified(self.layers)
        by_layer = layer_table(self.layers, units, "class_mem", rectified=rectified)
        return ClassMemResult(self.settings(), {"layers": by_layer, "units": units})


def measure_class_mem(
    model: nn.Module,
    dataset: Any,
    transform: Callable[[Any], Any],
    indices: ArrayLike | None = None,
    *,
    layers: str | Sequence[str] = "auto",
    n_views: int = 10,
    seed: int = 0,
    rectify: Rectify = "auto",
    num_classes: int | None = None,
    **options: Unpack[PassArguments],
) -> ClassMemResult:
    """Measure ClassMem of every unit of every layer in one pass [0].

    - [0]: UnitMem, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The encoder.
        dataset: Map-style data set of labelled images ``(image, target, ...)`` without
            a transform of its own.
        transform: The training augmentation: a view transform, or a lightly
            ``MultiViewTransform``, whose first view counts.
        indices: Indices of the images to measure; all images by default.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Views per image.
        seed: Random seed of the views.
        rectify: ``"auto"`` and ``"relu"`` set negative outputs to 0, ``"abs"`` takes
            absolute values. ``"none"`` keeps negative outputs, so that ClassMem is not
            bounded by 0 and 1.
        num_classes: Number of classes; needed for data sets without ``targets``.
        options: How the pass over the images runs: ``batch_size``, ``num_workers``,
            ``device``, ``precision``, ``skip_unreadable`` and ``state_file``, as in
            :class:`~lightly_memloc.runtime.PassOptions`.

    Returns:
        The result. ``to_pandas()`` has one row per unit, with ClassMem from 0 to 1 and
        the class that activates the unit most.

    Raises:
        MemorizationError: If the targets are not class indices, there are fewer than
            two classes, a layer is not found or does not run, activations are not
            finite, or the state file belongs to another measurement.
        UnreadableImageError: If an image cannot be read.
    """
    study = Study(dataset, transform, indices=indices, n_views=n_views, seed=seed)
    return ClassMemEvaluator(
        model,
        study,
        layers=layers,
        rectify=rectify,
        num_classes=num_classes,
        **options,
    ).run()


def _class_indices(batch: ViewBatch) -> Tensor:
    targets = torch.as_tensor(np.asarray(batch.targets))
    if targets.ndim != 1 or targets.is_floating_point():
        raise MemorizationError(
            "Expected an integer class index as the target of each image, got "
            f"{batch.targets[0]!r}."
        )
    return targets
