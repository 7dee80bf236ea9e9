"""SimCLR, from lightly's parts."""

from collections.abc import Callable
from typing import Any

from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.transforms import SimCLRTransform
from torch import Tensor

from lightly_memloc.training.methods.method import Method


class SimCLR(Method):
    """SimCLR [0].

    - [0]: SimCLR, 2020, https://arxiv.org/abs/2002.05709
    """

    name = "simclr"

    def make_heads(self) -> None:
        """Make heads and loss."""
        self.projection_head = SimCLRProjectionHead(
            self.num_features, self.num_features, 128
        )
        self.criterion = NTXentLoss(gather_distributed=True)

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make lightly's SimCLRTransform."""
        transform: Callable[[Any], Any] = SimCLRTransform(**settings)
        return transform

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the contrastive loss of two views."""
        first, second = batch[0]
        loss: Tensor = self.criterion(
            self.projection_head(self.features(first)),
            self.projection_head(self.features(second)),
        )
        return loss
