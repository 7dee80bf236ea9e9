"""The base class of evaluators that measure units."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators.evaluator import Evaluator, R
from lightly_memloc.evaluators.view_loader import ViewBatch
from lightly_memloc.functional import unit_activation
from lightly_memloc.functional.unit_activation import RECTIFICATIONS, Rectify
from lightly_memloc.layers import CapturedLayer
from lightly_memloc.metrics.image_metric import refuse_non_finite
from lightly_memloc.runtime import PassOptions, gathered


class Rectification:
    """Rectify the outputs of layers that give negative values, and record which do.

    Args:
        rectify: How negative outputs are rectified.

    Raises:
        MemorizationError: If ``rectify`` is unknown.

    Attributes:
        negative: Names of the layers that have given negative outputs so far.
    """

    def __init__(self, rectify: Rectify) -> None:
        if rectify not in RECTIFICATIONS:
            raise MemorizationError(
                f"Expected rectify to be one of {RECTIFICATIONS}, got {rectify!r}."
            )
        self.rectify = rectify
        self.negative: set[str] = set()

    def of(self, layer: CapturedLayer, output: Tensor) -> Rectify:
        """Return how to rectify an output: ``"none"`` for a layer without negatives."""
        if layer.name not in self.negative and bool(output.amin() < 0):
            self.negative.add(layer.name)
        return self.rectify if layer.name in self.negative else "none"

    def rectified(self, layers: Sequence[CapturedLayer]) -> list[bool]:
        """Return whether each layer was rectified on any process."""
        negative = set().union(*gathered(self.negative))
        return [self.rectify != "none" and layer.name in negative for layer in layers]


class Activations(NamedTuple):
    """Activations of the units of all layers side by side.

    Attributes:
        mean: Averages over views, shape ``(B, U)``.
        halves: Averages over the first and over the last half of the views, shape
            ``(2, B, U)``; of an odd number, the middle view is left out.
    """

    mean: Tensor
    halves: Tensor


class UnitEvaluator(Evaluator[R]):
    """Measure the units of an encoder's layers by their activations on images.

    Args:
        model: The encoder.
        study: The images and their views.
        indices: Indices of the images to measure.
        layers: ``"auto"``, or names, globs or kinds of layers.
        rectify: How negative outputs are rectified.
        options: How the pass over the images runs.
        reference: A reference encoder of the same architecture, which sees the same
            views.

    Raises:
        MemorizationError: If ``rectify`` is unknown.
    """

    read: ClassVar[Literal["state", "units"]] = "units"

    def __init__(
        self,
        model: nn.Module,
        study: Study,
        indices: NDArray[np.int64],
        layers: str | Sequence[str],
        rectify: Rectify,
        options: PassOptions,
        reference: nn.Module | None = None,
    ) -> None:
        encoders = {"model": model}
        if reference is not None:
            encoders["reference"] = reference
        super().__init__(encoders, study, indices, layers, options)
        self.rectification = Rectification(rectify)

    @abstractmethod
    def take(self, encoder: str, mu: Activations, batch: ViewBatch) -> None:
        """Update the metrics with activations.

        Args:
            encoder: ``"model"`` or ``"reference"``.
            mu: Activations of its units.
            batch: The batch of images.
        """

    def identity(self) -> dict[str, Any]:
        """Return the options that must match to resume an interrupted measurement."""
        return super().identity() | {"rectify": self.rectification.rectify}

    def settings(self) -> dict[str, Any]:
        """Return the options, the device and the images left out."""
        return super().settings() | {"rectify": self.rectification.rectify}

    def accumulated(self) -> dict[str, Any]:
        """Return the state accumulated so far, in plain types and tensors."""
        return super().accumulated() | {"negative": list(self.rectification.negative)}

    def restore(self, accumulated: dict[str, Any]) -> None:
        """Restore the state that :meth:`accumulated` returned."""
        super().restore(accumulated)
        self.rectification.negative = set(accumulated["negative"])

    def reset(self) -> None:
        """Discard an earlier measurement."""
        super().reset()
        self.rectification.negative.clear()

    def measure(self, batch: ViewBatch, images: Tensor) -> None:
        """Update the metrics with a batch of images."""
        for encoder in self.encoders:
            self.take(encoder, self._activations(encoder, batch, images), batch)

    def _activations(
        self, encoder: str, batch: ViewBatch, images: Tensor
    ) -> Activations:
        mean: dict[str, Tensor] = {}
        halves: dict[str, Tensor] = {}

        def reduce(layer: CapturedLayer, views: Tensor) -> None:
            output = views.flatten(0, 1)
            rectify = self.rectification.of(layer, output)
            by_row = unit_activation(output, layer.channel_dim, rectify)
            by_view = by_row.reshape(*views.shape[:2], -1)
            half = by_view.shape[1] // 2
            mean[layer.name] = by_view.mean(1)
            refuse_non_finite(mean[layer.name], batch.indices)
            first, last = by_view[:, :half], by_view[:, by_view.shape[1] - half :]
            halves[layer.name] = torch.stack([first.mean(1), last.mean(1)])

        self.run_layers(encoder, batch, images, reduce)
        names = [layer.name for layer in self.layers]
        return Activations(
            torch.cat([mean[name] for name in names], dim=-1),
            torch.cat([halves[name] for name in names], dim=-1),
        )
