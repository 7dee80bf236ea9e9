"""Barlow Twins, from lightly's parts."""

from collections.abc import Callable
from typing import Any

from lightly.loss import BarlowTwinsLoss
from lightly.models.modules import BarlowTwinsProjectionHead
from torch import Tensor

from lightly_memloc.training.methods.method import Method
from lightly_memloc.training.methods.views import byol_transform


class BarlowTwins(Method):
    """Barlow Twins [0]: features of two views correlate with themselves alone.

    The weight of the redundancy is 0.005 and the views are BYOL's, as in the paper.

    - [0]: Barlow Twins, 2021, https://arxiv.org/abs/2103.03230
    """

    name = "barlow_twins"

    def make_heads(self) -> None:
        """Make heads and loss."""
        self.projection_head = BarlowTwinsProjectionHead(self.num_features, 2048, 2048)
        self.criterion = BarlowTwinsLoss(lambda_param=5e-3, gather_distributed=True)

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make lightly's BYOLTransform."""
        return byol_transform(**settings)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of the cross-correlation of two views."""
        first, second = batch[0]
        loss: Tensor = self.criterion(
            self.projection_head(self.features(first)),
            self.projection_head(self.features(second)),
        )
        return loss
