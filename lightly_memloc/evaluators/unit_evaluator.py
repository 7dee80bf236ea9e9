"""The common part of the evaluators that measure units."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, ClassVar, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightly_memloc.data import MultiViewDataset
from lightly_memloc.evaluators.evaluator import Evaluator, R
from lightly_memloc.evaluators.rectification import Rectification
from lightly_memloc.evaluators.view_loader import ViewBatch
from lightly_memloc.functional import unit_activation
from lightly_memloc.functional.unit_activation import Rectify
from lightly_memloc.layers import CapturedLayer
from lightly_memloc.metrics.image_metric import refuse_non_finite


class UnitEvaluator(Evaluator[R]):
    """Measure the units of an encoder's layers by their activations on images.

    Args:
        model: The encoder.
        dataset: Map-style data set of images without a transform of its own.
        transform: The training augmentation.
        indices: The images to measure.
        layers: ``"auto"``, or names, globs or kinds of layers.
        n_views: Views per image.
        batch_size: Images per batch and process.
        num_workers: Worker processes that load images.
        seed: Seed of all that is random.
        rectify: How negative outputs are rectified.
        skip_unreadable: Whether unreadable images are left out instead of refused.
        state_file: Where the state is kept as the measurement goes on.

    Raises:
        MemorizationError: If ``rectify`` is unknown or the images do not fit.
    """

    read: ClassVar[Literal["state", "units"]] = "units"

    def __init__(
        self,
        model: nn.Module,
        dataset: Any,
        transform: Callable[[Any], Any],
        indices: NDArray[Any],
        layers: str | Sequence[str],
        n_views: int,
        batch_size: int,
        num_workers: int,
        seed: int,
        rectify: Rectify,
        skip_unreadable: bool,
        state_file: str | PathLike[str] | None,
    ) -> None:
        super().__init__(
            {"model": model},
            MultiViewDataset(dataset, transform, n_views, seed),
            indices,
            layers,
            batch_size,
            num_workers,
            skip_unreadable,
            state_file,
        )
        self.rectification = Rectification(rectify)

    @abstractmethod
    def take(self, mu: Tensor, batch: ViewBatch) -> None:
        """Take activations into the metrics.

        Args:
            mu: Shape ``(B, U)``: averaged over views, the units of all layers side by
                side.
            batch: The batch of images.
        """

    def arrays(self, metric: str) -> dict[str, NDArray[Any]]:
        """The values of a metric over the images of all processes, as arrays."""
        values = self.metrics[metric].compute()
        return {name: of.cpu().numpy() for name, of in values.items()}

    def settings(self) -> dict[str, Any]:
        """What identifies the measurement, besides encoders, images and views."""
        return super().settings() | {"rectify": self.rectification.rectify}

    def accumulated(self) -> dict[str, Any]:
        """What has been accumulated so far, in plain types and tensors."""
        return super().accumulated() | {"negative": list(self.rectification.negative)}

    def restore(self, accumulated: dict[str, Any]) -> None:
        """Take back what :meth:`accumulated` gave."""
        super().restore(accumulated)
        self.rectification.negative = set(accumulated["negative"])

    def reset(self) -> None:
        """Forget an earlier measurement."""
        super().reset()
        self.rectification.negative.clear()

    def measure(self, batch: ViewBatch, images: Tensor) -> None:
        """Take a batch of images into the metrics."""
        mu: dict[str, Tensor] = {}

        def reduce(layer: CapturedLayer, views: Tensor) -> None:
            output = views.flatten(0, 1)
            rectify = self.rectification.of(layer, output)
            by_view = unit_activation(output, layer.channel_dim, rectify)
            by_image = by_view.reshape(*views.shape[:2], -1).mean(1)
            refuse_non_finite(by_image, batch.indices)
            mu[layer.name] = by_image

        self.run_layers("model", batch, images, reduce)
        self.take(torch.cat([mu[layer.name] for layer in self.layers], dim=1), batch)
