"""BYOL, from lightly's parts."""

import copy
from collections.abc import Callable
from typing import Any

from lightly.loss import NegativeCosineSimilarity
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor

from lightly_memloc.training.methods.method import Method
from lightly_memloc.training.methods.views import byol_transform


class BYOL(Method):
    """BYOL [0]: predict a momentum encoder's projection of the other view.

    The momentum rises from 0.996 to 1 along a cosine, as in the paper.

    - [0]: BYOL, 2020, https://arxiv.org/abs/2006.07733
    """

    name = "byol"

    def make_heads(self) -> None:
        """Make heads and loss."""
        self.projection_head = BYOLProjectionHead(self.num_features, 1024, 256)
        self.prediction_head = BYOLPredictionHead(256, 1024, 256)
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        deactivate_requires_grad(self.backbone_momentum)
        deactivate_requires_grad(self.projection_head_momentum)
        self.criterion = NegativeCosineSimilarity()

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make lightly's BYOLTransform."""
        return byol_transform(**settings)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the mean distance between predictions and targets."""
        momentum = cosine_schedule(self.current_epoch, self.epochs, 0.996, 1)
        update_momentum(self.backbone, self.backbone_momentum, m=momentum)
        update_momentum(self.projection_head, self.projection_head_momentum, m=momentum)
        first, second = batch[0]
        loss: Tensor = 0.5 * (
            self.criterion(self._predict(first), self._target(second))
            + self.criterion(self._predict(second), self._target(first))
        )
        return loss

    def _predict(self, view: Tensor) -> Tensor:
        prediction: Tensor = self.prediction_head(
            self.projection_head(self.features(view))
        )
        return prediction

    def _target(self, view: Tensor) -> Tensor:
        features = self.backbone_momentum(view).flatten(start_dim=1)
        target: Tensor = self.projection_head_momentum(features).detach()
        return target
