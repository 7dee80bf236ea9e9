"""Methods in which one branch follows another that gets no gradient, as in BYOL."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from lightly.loss import DINOLoss, NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import (
    BYOLPredictionHead,
    BYOLProjectionHead,
    DINOProjectionHead,
    MoCoProjectionHead,
    SimSiamPredictionHead,
    SimSiamProjectionHead,
)
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import (
    BYOLTransform,
    DINOTransform,
    MoCoV2Transform,
    SimSiamTransform,
)
from lightly.transforms.byol_transform import BYOLView1Transform, BYOLView2Transform
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor, nn

from lightly_memloc.training.methods.method import Method, without_solarization

Module = TypeVar("Module", bound=nn.Module)


class MoCo(Method):
    """MoCo v2 [0]: queries against a queue of keys from a momentum encoder.

    The temperature of 0.2 is the paper's. The queue of 256 keys and the momentum of
    0.99 suit data sets of thousands of images. With the paper's 65,536 keys and 0.999,
    chosen for a million images, keys of the same images would fill the queue.

    - [0]: MoCo v2, 2020, https://arxiv.org/abs/2003.04297
    """

    name = "moco"

    def make_heads(self) -> None:
        """Make heads and loss."""
        self.projection_head = MoCoProjectionHead(
            self.num_features, self.num_features, 128
        )
        self.backbone_momentum = _momentum_copy(self.backbone)
        self.projection_head_momentum = _momentum_copy(self.projection_head)
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


class BYOL(Method):
    """BYOL [0]: predict the momentum encoder's projection of the other view.

    The momentum rises from 0.996 to 1 along a cosine, as in the paper.

    - [0]: BYOL, 2020, https://arxiv.org/abs/2006.07733
    """

    name = "byol"

    def make_heads(self) -> None:
        """Make heads and loss."""
        self.projection_head = BYOLProjectionHead(self.num_features, 1024, 256)
        self.prediction_head = BYOLPredictionHead(256, 1024, 256)
        self.backbone_momentum = _momentum_copy(self.backbone)
        self.projection_head_momentum = _momentum_copy(self.projection_head)
        self.criterion = NegativeCosineSimilarity()

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make lightly's BYOLTransform, with the same settings for both views."""
        second = dict(settings)
        if without_solarization(settings):
            second["solarization_prob"] = 0.0
        transform: Callable[[Any], Any] = BYOLTransform(
            view_1_transform=BYOLView1Transform(**settings),
            view_2_transform=BYOLView2Transform(**second),
        )
        return transform

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


class SimSiam(Method):
    """SimSiam [0]: predict the projection of the other view, without its gradient.

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


class DINO(Method):
    """DINO [0]: predict the momentum teacher's output for global views from local ones.

    As in the paper, there are six local views of half the size, the momentum of the
    teacher rises from 0.996 to 1 along a cosine, and the last layer of the head is
    frozen in the first epoch. The number of 2,048 prototypes suits small data sets.

    - [0]: DINO, 2021, https://arxiv.org/abs/2104.14294
    """

    name = "dino"

    def make_heads(self) -> None:
        """Make heads and loss."""
        self.student_head = DINOProjectionHead(
            self.num_features, 512, 64, 2048, freeze_last_layer=1
        )
        self.teacher_backbone = _momentum_copy(self.backbone)
        self.teacher_head = DINOProjectionHead(self.num_features, 512, 64, 2048)
        deactivate_requires_grad(self.teacher_head)
        self.criterion = DINOLoss(output_dim=2048, warmup_teacher_temp_epochs=5)

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make lightly's DINOTransform; local views have half the size of global ones."""
        size, smallest = settings.pop("input_size"), settings.pop("min_scale", 0.4)
        if without_solarization(settings):
            settings["solarization_prob"] = 0.0
        if "gaussian_blur" in settings:
            settings["gaussian_blur"] = (settings["gaussian_blur"],) * 3
        transform: Callable[[Any], Any] = DINOTransform(
            global_crop_size=size,
            global_crop_scale=(smallest, 1.0),
            local_crop_size=size // 2,
            local_crop_scale=(0.05, smallest),
            **settings,
        )
        return transform

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the cross-entropy between the teacher's and the student's outputs."""
        momentum = cosine_schedule(self.current_epoch, self.epochs, 0.996, 1)
        update_momentum(self.backbone, self.teacher_backbone, m=momentum)
        update_momentum(self.student_head, self.teacher_head, m=momentum)
        views = batch[0]
        teacher = [
            self.teacher_head(self.teacher_backbone(view).flatten(start_dim=1))
            for view in views[:2]
        ]
        student = [self.student_head(self.features(view)) for view in views]
        loss: Tensor = self.criterion(teacher, student, epoch=self.current_epoch)
        return loss

    def on_after_backward(self) -> None:
        """Freeze the last layer of the head in the first epoch."""
        self.student_head.cancel_last_layer_gradients(current_epoch=self.current_epoch)


def _momentum_copy(module: Module) -> Module:
    """A copy of a module that follows it without gradients."""
    follower = copy.deepcopy(module)
    deactivate_requires_grad(follower)
    return follower
