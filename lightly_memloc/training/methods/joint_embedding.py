"""Methods with one loss on the projections of two views: SimCLR and its relatives."""

from collections.abc import Callable
from typing import Any

from lightly.loss import BarlowTwinsLoss, NTXentLoss, VICRegLoss
from lightly.models.modules import BarlowTwinsProjectionHead, SimCLRProjectionHead
from lightly.models.modules.heads import VICRegProjectionHead
from lightly.transforms import SimCLRTransform, VICRegTransform
from torch import Tensor, nn

from lightly_memloc.training.methods.method import Method, without_solarization
from lightly_memloc.training.methods.stop_gradient import BYOL


class JointEmbedding(Method):
    """Apply a loss to the projections of two views, from the same encoder and head."""

    projection_head: nn.Module
    criterion: nn.Module

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of the projections of two views."""
        first, second = batch[0]
        loss: Tensor = self.criterion(
            self.projection_head(self.features(first)),
            self.projection_head(self.features(second)),
        )
        return loss


class SimCLR(JointEmbedding):
    """SimCLR [0]: recognise the other view of an image among all views of the batch.

    - [0]: SimCLR, 2020, https://arxiv.org/abs/2002.05709
    """

    name = "simclr"

    def make_heads(self) -> None:
        """Make head and loss."""
        self.projection_head = SimCLRProjectionHead(
            self.num_features, self.num_features, 128
        )
        self.criterion = NTXentLoss(gather_distributed=True)

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make lightly's SimCLRTransform."""
        transform: Callable[[Any], Any] = SimCLRTransform(**settings)
        return transform


class BarlowTwins(JointEmbedding):
    """Barlow Twins [0]: each feature of two views correlates only with itself.

    The weight of the redundancy term is 0.005 and the views are BYOL's, as in the paper.

    - [0]: Barlow Twins, 2021, https://arxiv.org/abs/2103.03230
    """

    name = "barlow_twins"
    make_transform = staticmethod(BYOL.make_transform)

    def make_heads(self) -> None:
        """Make head and loss."""
        self.projection_head = BarlowTwinsProjectionHead(self.num_features, 2048, 2048)
        self.criterion = BarlowTwinsLoss(lambda_param=5e-3, gather_distributed=True)


class VICReg(JointEmbedding):
    """VICReg [0]: invariance, variance and covariance of the features of two views.

    The terms are weighted by 25, 25 and 1, as in the paper.

    - [0]: VICReg, 2021, https://arxiv.org/abs/2105.04906
    """

    name = "vicreg"

    def make_heads(self) -> None:
        """Make head and loss."""
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
