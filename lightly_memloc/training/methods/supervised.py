"""Supervised training, for comparison."""

from collections.abc import Callable
from typing import Any

from lightly.transforms.multi_view_transform import MultiViewTransform
from lightly.transforms.simclr_transform import SimCLRViewTransform
from torch import Tensor, nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.training.methods.method import Method


class Supervised(Method):
    """Cross-entropy with the classes of the images, on SimCLR's views.

    It uses the views of SimCLR, so that the two differ in the labels only.

    Raises:
        MemorizationError: If the data set has no classes.
    """

    name = "supervised"

    def make_heads(self) -> None:
        """Make the classifier."""
        if self.num_classes < 2:
            raise MemorizationError(
                "Supervised training needs images of at least two classes, got "
                f"{self.num_classes}. In a folder of images, each class is a subfolder."
            )
        self.classifier = nn.Linear(self.num_features, self.num_classes)
        self.criterion = nn.CrossEntropyLoss()

    @staticmethod
    def make_transform(**settings: Any) -> Callable[[Any], Any]:
        """Make a transform that returns one of SimCLR's views."""
        transform: Callable[[Any], Any] = MultiViewTransform(
            transforms=[SimCLRViewTransform(**settings)]
        )
        return transform

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the cross-entropy."""
        (view,), targets = batch[0], batch[1]
        loss: Tensor = self.criterion(self.classifier(self.features(view)), targets)
        return loss
