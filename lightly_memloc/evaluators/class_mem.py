"""Measuring ClassMem: which units are tied to classes of images."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from lightly_memloc.data import MultiViewDataset, targets_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators.device import resolve_device, state_device
from lightly_memloc.evaluators.unit_activations import UnitActivations
from lightly_memloc.evaluators.unit_tables import layer_table, unit_table
from lightly_memloc.evaluators.view_loader import ViewBatch, ViewLoader
from lightly_memloc.functional.unit_activation import Rectify
from lightly_memloc.metrics import ClassMem
from lightly_memloc.results import ClassMemResult


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

    Returns:
        The result; ``to_pandas()`` has a row a unit.

    Raises:
        MemorizationError: If the targets are no class indices or of fewer than two
            classes, a layer is not found or does not run, or activations are not
            finite.
        UnreadableImageError: If an image cannot be read.
    """
    chosen = np.unique(np.asarray(range(len(dataset)) if indices is None else indices))
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
    classes = num_classes or int(np.max(known if known is not None else 0)) + 1
    loader = ViewLoader(
        MultiViewDataset(dataset, transform, n_views, seed),
        chosen,
        batch_size,
        num_workers,
        skip_unreadable,
        "Measuring ClassMem",
    )
    on = resolve_device(device, model)
    activations = UnitActivations(model, loader, layers, rectify, on)
    class_mem: ClassMem | None = None

    def receive(mu: Tensor, batch: ViewBatch) -> None:
        nonlocal class_mem
        if class_mem is None:
            class_mem = ClassMem(mu.shape[1], classes).to(state_device(on))
        class_mem.update(mu, _class_indices(batch), batch.index)

    activations.stream(receive)
    assert class_mem is not None
    values = class_mem.compute()
    units = unit_table(
        activations.layers,
        **{"class_mem": values.class_mem, "class": values.target, "dead": values.dead},
    )
    by_layer = layer_table(
        activations.layers, units, "class_mem", rectified=activations.rectified()
    )
    return ClassMemResult(
        {
            "n_views": n_views,
            "seed": seed,
            "rectify": rectify,
            "images": len(chosen),
            "classes": classes,
            "skipped": loader.all_skipped(),
        },
        {"layers": by_layer, "units": units},
    )


def _class_indices(batch: ViewBatch) -> Tensor:
    targets = torch.as_tensor(np.asarray(batch.targets))
    if targets.ndim != 1 or targets.is_floating_point():
        raise MemorizationError(
            "Expected an integer class index as the target of each image, got "
            f"{batch.targets[0]!r}."
        )
    return targets
