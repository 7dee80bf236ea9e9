"""DINO, from lightly's parts."""

import copy
from collections.abc import Callable
from typing import Any

from lightly.loss import DINOLoss
from lightly.models.modules import DINOProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import DINOTransform
from lightly.utils.scheduler import cosine_schedule
from torch import Tensor

from lightly_memloc.training.methods.method import Method
from lightly_memloc.training.methods.views import without_solarization


class DINO(Method):
    """DINO [0]: local views predict what a momentum teacher says of global ones.

    Six local views of half the size, a teacher's momentum that rises from 0.996 to 1
    along a cosine, and a head whose last layer rests in the first epoch are the
    paper's; 2,048 prototypes suit small data.

    - [0]: DINO, 2021, https://arxiv.org/abs/2104.14294
    """

    name = "dino"

    def make_heads(self) -> None:
        """Make heads and loss."""
        self.student_head = DINOProjectionHead(
            self.num_features, 512, 64, 2048, freeze_last_layer=1
        )
        self.teacher_backbone = copy.deepcopy(self.backbone)
        self.teacher_head = DINOProjectionHead(self.num_features, 512, 64, 2048)
        deactivate_requires_grad(self.teacher_backbone)
        deactivate_requires_grad(self.teacher_head)
        self.criterion = DINOLoss(output_dim=2048, warmup_teacher_temp_epochs=5)

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make lightly's DINOTransform; local views are half as large as global ones."""
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
        """Return the cross-entropy of the student's views and the teacher's."""
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
        """Let the head's last layer rest in the first epoch."""
        self.student_head.cancel_last_layer_gradients(current_epoch=self.current_epoch)
