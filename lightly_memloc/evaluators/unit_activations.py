"""Unit activations of images, layer by layer, as the images pass through an encoder."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators.trace_free import leave_no_trace
from lightly_memloc.evaluators.view_loader import ViewBatch, ViewLoader, gathered
from lightly_memloc.functional import unit_activation
from lightly_memloc.functional.unit_activation import RECTIFICATIONS, Rectify
from lightly_memloc.layers import CapturedLayer, captured, trace_layers
from lightly_memloc.metrics.image_metric import refuse_non_finite


class UnitActivations:
    """Stream the images' activations on every unit, averaged over views.

    Args:
        model: The encoder.
        loader: The images' views.
        layers: ``"auto"``, or names, globs or kinds of layers.
        rectify: How negative outputs are rectified.
        device: Where the encoder runs.

    Raises:
        MemorizationError: If ``rectify`` is unknown.

    Attributes:
        layers: The layers in forward order, once the first batch has passed.
    """

    def __init__(
        self,
        model: nn.Module,
        loader: ViewLoader,
        layers: str | Sequence[str],
        rectify: Rectify,
        device: torch.device,
    ) -> None:
        if rectify not in RECTIFICATIONS:
            raise MemorizationError(
                f"Expected rectify to be one of {RECTIFICATIONS}, got {rectify!r}."
            )
        self.model = model
        self.loader = loader
        self.patterns = layers
        self.rectify = rectify
        self.device = device
        self.layers: list[CapturedLayer] = []
        self._negative: dict[str, bool] = {}

    def stream(self, receive: Callable[[Tensor, ViewBatch], Any]) -> None:
        """Pass all images through the encoder, once.

        Args:
            receive: Called with activations of shape ``(B, U)``, the units of all
                layers side by side, and the batch.
        """
        with leave_no_trace([self.model], self.device):
            for batch, images in self._batches():
                mu: dict[str, Tensor] = {}

                def reduce(
                    layer: CapturedLayer,
                    output: Tensor,
                    batch: ViewBatch = batch,
                    mu: dict[str, Tensor] = mu,
                ) -> None:
                    rectify = self._rectification(layer, output)
                    views = unit_activation(output, layer.channel_dim, rectify)
                    by_image = views.reshape(*batch.views.shape[:2], -1).mean(1)
                    refuse_non_finite(by_image, batch.index)
                    mu[layer.name] = by_image

                with captured(self.model, self.layers, reduce):
                    self.model(images)
                receive(self._side_by_side(mu), batch)

    def rectified(self) -> list[bool]:
        """Whether each layer gave negative outputs that were rectified, on any rank."""
        ranks = gathered(self._negative)
        return [
            self.rectify != "none"
            and any(rank.get(layer.name, False) for rank in ranks)
            for layer in self.layers
        ]

    def _side_by_side(self, mu: dict[str, Tensor]) -> Tensor:
        for layer in self.layers:
            if layer.name not in mu:
                raise MemorizationError(
                    f"Layer {layer.name} ran on the first batch but not on a later one."
                )
        return torch.cat([mu[layer.name] for layer in self.layers], dim=1)

    def _batches(self) -> Iterator[tuple[ViewBatch, Tensor]]:
        for batch in self.loader:
            images = batch.flat.to(self.device)
            if not self.layers:
                self.layers = trace_layers(
                    self.model, self.patterns, "units", images[:2]
                )
            yield batch, images

    def _rectification(self, layer: CapturedLayer, output: Tensor) -> Rectify:
        """How to rectify; not at all where an output has nothing to rectify."""
        negative = self._negative.get(layer.name, False) or bool(output.amin() < 0)
        self._negative[layer.name] = negative
        return self.rectify if negative else "none"
