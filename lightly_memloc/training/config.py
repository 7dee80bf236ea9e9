"""The settings of a training, and the transforms that they describe."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from lightly.transforms.utils import IMAGENET_NORMALIZE
from torchvision import transforms

from lightly_memloc.errors import MemorizationError
from lightly_memloc.runtime import refuse_outside
from lightly_memloc.training.methods import method_class

_DIGITS_TRANSFORM = {
    "min_scale": 0.5,
    "hf_prob": 0.0,
    "cj_prob": 0.0,
    "random_gray_scale": 0.0,
    "gaussian_blur": 0.0,
    "normalize": None,
}


@dataclass(frozen=True)
class TrainingConfig:
    """Everything that is needed to repeat the training of a pair of encoders.

    Attributes:
        method: Name of the training method.
        backbone: Name of the backbone.
        epochs: Epochs of training.
        batch_size: Images per batch on each device.
        learning_rate: Peak learning rate.
        input_size: Side of the square views, in pixels.
        transform: Further keyword arguments of the method's transform.
        seed: Random seed of initialisation, order and augmentation.
        share_seeds: Whether f and g use the same random stream instead of independent
            ones: the same initialisation, and the same views of the images that both
            are trained on.
        precision: Lightning's precision, such as ``"32-true"`` or ``"bf16-mixed"``.
        num_workers: Worker processes that load images.
        devices: Number of devices that train together.
        strategy: Lightning's strategy for several devices, such as ``"ddp"``.

    Raises:
        MemorizationError: If a number is out of bounds or not finite.
    """

    method: str = "simclr"
    backbone: str = "resnet9"
    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-3
    input_size: int = 32
    transform: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    share_seeds: bool = False
    precision: str = "32-true"
    num_workers: int = 0
    devices: int = 1
    strategy: str = "auto"

    def __post_init__(self) -> None:
        least = {
            "epochs": 1,
            "batch_size": 2,
            "input_size": 1,
            "seed": 0,
            "num_workers": 0,
            "devices": 1,
        }
        for name, bound in least.items():
            refuse_outside(name, getattr(self, name), at_least=bound, whole=True)
        if not isinstance(self.transform, dict):
            raise MemorizationError(
                "Expected transform to be the transform's keyword arguments by name, got "
                f"{self.transform!r}."
            )
        refuse_outside("learning_rate", self.learning_rate, above=0)

    @classmethod
    def for_data(cls, data: str, **settings: Any) -> "TrainingConfig":
        """Make settings with defaults that suit a data set.

        The embedded digits are small and grey: their views have 16 pixels and crops of
        at least half the area, without flips, colour jitter or blur.

        Args:
            data: ``"digits"``, or a folder or a list of images.
            settings: Settings that differ from the defaults; None stands for the
                default.
        """
        chosen = {name: value for name, value in settings.items() if value is not None}
        if data != "digits":
            return cls(**chosen)
        transform = _DIGITS_TRANSFORM | chosen.pop("transform", {})
        return cls(**({"input_size": 16} | chosen), transform=transform)


def mixed_precision() -> str:
    """Lightning's name of the mixed precision that suits the machine.

    It is bfloat16, which needs no loss scaling, and float16 on GPUs without bfloat16.
    """
    lacks_it = torch.cuda.is_available() and not torch.cuda.is_bf16_supported()
    return "16-mixed" if lacks_it else "bf16-mixed"


def make_transform(config: TrainingConfig) -> Callable[[Any], Any]:
    """Make the augmentation into views that a method's settings describe."""
    return method_class(config.method).make_transform(
        input_size=config.input_size, **config.transform
    )


def make_plain_transform(config: TrainingConfig) -> Callable[[Any], Any]:
    """Make a transform without augmentation for the encoders of a training.

    Images are resized to the size of the views, cropped at the centre and normalized as
    in the training.
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
