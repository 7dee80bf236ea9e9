"""SimSiam, from lightly's parts."""

from collections.abc import Callable
from typing import Any

from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead
from lightly.transforms import SimSiamTransform
from torch import Tensor

from lightly_memloc.training.methods.method import Method


class SimSiam(Method):
    """SimSiam [0]: predict the other view's projection, through a stopped gradient.

    The predictor's hidden layer is a quarter as wide as its output, as in the paper.

    - [0]: SimSiam, 2020, https://arxiv.org/abs/2011.10566
    """

    name = "simsiam"

    def make_heads(self) -> None:
        """Make heads and loss."""
        width = self.num_features
        self.projection_head = SimSiamProjectionHead(width, width, width)
        self.prediction_head = SimSiamPredictionHead(width, width // 4, width)
        self.criterion = NegativeCosineSimilarity()

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make lightly's SimSiamTransform."""
        transform: Callable[[Any], Any] = SimSiamTransform(**settings)
        return transform

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the mean distance between predictions and projections."""
        first, second = (self.projection_head(self.features(v)) for v in batch[0])
        loss: Tensor = 0.5 * (
            self.criterion(self.prediction_head(first), second.detach())
            + self.criterion(self.prediction_head(second), first.detach())
        )
        return loss
