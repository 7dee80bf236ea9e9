"""The settings of a training."""

from dataclasses import dataclass, field
from typing import Any

import torch

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
    """Everything needed to train a pair of encoders again.

    Attributes:
        method: Name of the training method.
        backbone: Name of the backbone.
        epochs: Epochs of training.
        batch_size: Images per batch on each device.
        learning_rate: Peak learning rate.
        input_size: Side of the square views, in pixels.
        transform: Further keyword arguments of the method's transform.
        seed: Seed of initialisation, order and augmentation.
        share_seeds: Whether f and g draw the same random stream from the seed, instead
            of independent ones: the same initialisation, and the same views of the
            images that both are trained on.
        precision: Lightning's precision, such as ``"32-true"`` or ``"bf16-mixed"``.
        num_workers: Worker processes that load images.
        devices: Devices that train together, as Lightning takes them.
        strategy: Lightning's strategy for several devices, such as ``"ddp"``.
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

    @classmethod
    def for_data(cls, data: str, **settings: Any) -> "TrainingConfig":
        """Settings with defaults that suit a data set.

        The embedded digits are tiny and grey: views of 16 pixels, crops of at least
        half the area, neither flips nor colours nor blur.

        Args:
            data: ``"digits"`` or a folder of images.
            settings: Settings that differ from the defaults; None is the default.
        """
        chosen = {name: value for name, value in settings.items() if value is not None}
        if data != "digits":
            return cls(**chosen)
        transform = _DIGITS_TRANSFORM | chosen.pop("transform", {})
        return cls(**({"input_size": 16} | chosen), transform=transform)


def mixed_precision() -> str:
    """Lightning's name of the mixed precision that suits the machine.

    bfloat16, which needs no scaling of the loss; float16 on GPUs that lack it.
    """
    lacks_it = torch.cuda.is_available() and not torch.cuda.is_bf16_supported()
    return "16-mixed" if lacks_it else "bf16-mixed"
