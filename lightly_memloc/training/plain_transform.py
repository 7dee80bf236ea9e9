"""The transform of images that are not augmented."""

from collections.abc import Callable
from typing import Any

from lightly.transforms.utils import IMAGENET_NORMALIZE
from torchvision import transforms

from lightly_memloc.training.config import TrainingConfig


def make_plain_transform(config: TrainingConfig) -> Callable[[Any], Any]:
    """Make the transform without augmentation that suits a training's.

    Images are resized to the views' size, cropped at the centre, and normalized as the
    training normalizes.
    """
    size = config.input_size
    normalize = config.transform.get("normalize", IMAGENET_NORMALIZE)
    steps = [
        transforms.Resize(size, antialias=True),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
    ]
    if normalize is not None:
        steps.append(transforms.Normalize(**normalize))
    plain: Callable[[Any], Any] = transforms.Compose(steps)
    return plain
