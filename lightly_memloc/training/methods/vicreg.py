"""VICReg, from lightly's parts."""

from collections.abc import Callable
from typing import Any

from lightly.loss import VICRegLoss
from lightly.models.modules.heads import VICRegProjectionHead
from lightly.transforms import VICRegTransform
from torch import Tensor

from lightly_memloc.training.methods.method import Method
from lightly_memloc.training.methods.views import without_solarization


class VICReg(Method):
    """VICReg [0]: invariance, variance and covariance of two views' features.

    The terms' weights of 25, 25 and 1 are the paper's.

    - [0]: VICReg, 2021, https://arxiv.org/abs/2105.04906
    """

    name = "vicreg"

    def make_heads(self) -> None:
        """Make heads and loss."""
        self.projection_head = VICRegProjectionHead(
            self.num_features, hidden_dim=2048, output_dim=2048, num_layers=2
        )
        self.criterion = VICRegLoss(gather_distributed=True)

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make lightly's VICRegTransform."""
        if without_solarization(settings):
            settings["solarize_prob"] = 0.0
        transform: Callable[[Any], Any] = VICRegTransform(**settings)
        return transform

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of two views."""
        first, second = batch[0]
        loss: Tensor = self.criterion(
            self.projection_head(self.features(first)),
            self.projection_head(self.features(second)),
        )
        return loss
