"""What training methods have in common."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn


class Method(LightningModule):
    """A way to pre-train a backbone. Subclasses with a ``name`` are registered by it.

    Batches are lightly's ``(views, targets, filenames)``.

    Args:
        backbone: The encoder.
        num_features: Number of features that it returns per image.
        epochs: Epochs of training, for the learning rate schedule.
        learning_rate: Peak learning rate.
        num_classes: Number of classes of the images; 0 if unknown.
    """

    name: ClassVar[str]
    registry: ClassVar[dict[str, type["Method"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in vars(cls):
            Method.registry[cls.name] = cls

    def __init__(
        self,
        backbone: nn.Module,
        num_features: int,
        epochs: int,
        learning_rate: float,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_features = num_features
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.num_classes = num_classes
        self.make_heads()

    @abstractmethod
    def make_heads(self) -> None:
        """Make the heads on the backbone and the loss."""

    @staticmethod
    @abstractmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make the augmentation of an image into views.

        Args:
            settings: Keyword arguments of lightly's transform.
        """

    @abstractmethod
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the buffers that are not in the state_dict, such as a queue of keys."""
        kept = self.state_dict()
        checkpoint["other_buffers"] = {
            name: value for name, value in self.named_buffers() if name not in kept
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the buffers that are not in the state_dict."""
        for name, value in checkpoint["other_buffers"].items():
            self.get_buffer(name).copy_(value)

    def features(self, images: Tensor) -> Tensor:
        """Return the backbone's features of shape ``(B, num_features)``."""
        features: Tensor = self.backbone(images).flatten(start_dim=1)
        return features

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine schedule over the epochs."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.learning_rate)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


def without_solarization(settings: dict[str, Any]) -> bool:
    """Whether a transform must not solarize: where colours are not jittered either."""
    return settings.get("cj_prob") == 0.0
