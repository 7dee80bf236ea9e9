"""MoCo v2, from lightly's parts."""

import copy
from collections.abc import Callable
from typing import Any

from lightly.loss import NTXentLoss
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import MoCoV2Transform
from torch import Tensor

from lightly_memloc.training.methods.method import Method


class MoCo(Method):
    """MoCo v2 [0]: queries against a queue of keys from a momentum encoder.

    The temperature of 0.2 is the paper's. The queue of 256 keys and the momentum of
    0.99 are for data sets of thousands of images, where the paper's 65,536 and 0.999
    are for a million: keys of the same image would fill the queue.

    - [0]: MoCo v2, 2020, https://arxiv.org/abs/2003.04297
    """

    name = "moco"

    def make_heads(self) -> None:
        """Make heads and loss."""
        self.projection_head = MoCoProjectionHead(
            self.num_features, self.num_features, 128
        )
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        deactivate_requires_grad(self.backbone_momentum)
        deactivate_requires_grad(self.projection_head_momentum)
        self.criterion = NTXentLoss(
            temperature=0.2, memory_bank_size=(256, 128), gather_distributed=True
        )

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make lightly's MoCoV2Transform."""
        transform: Callable[[Any], Any] = MoCoV2Transform(**settings)
        return transform

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the contrastive loss of queries and keys."""
        update_momentum(self.backbone, self.backbone_momentum, m=0.99)
        update_momentum(self.projection_head, self.projection_head_momentum, m=0.99)
        query_view, key_view = batch[0]
        query = self.projection_head(self.features(query_view))
        key = self.projection_head_momentum(
            self.backbone_momentum(key_view).flatten(start_dim=1)
        ).detach()
        loss: Tensor = self.criterion(query, key)
        return loss
