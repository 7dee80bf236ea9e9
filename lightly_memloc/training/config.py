"""The settings of a training, as they are saved with a run."""

from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from lightly_memloc.errors import MemorizationError

_PACKAGES = ("lightly-memloc", "lightly", "torch", "torchvision", "pytorch-lightning")
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
        batch_size: Images per batch.
        learning_rate: Peak learning rate.
        input_size: Side of the square views, in pixels.
        transform: Further keyword arguments of the method's transform.
        seed: Seed of initialisation, order and augmentation; f and g draw independent
            streams from it.
        precision: Lightning's precision, such as ``"32-true"`` or ``"bf16-mixed"``.
        num_workers: Worker processes that load images.
    """

    method: str = "simclr"
    backbone: str = "resnet9"
    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-3
    input_size: int = 32
    transform: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    precision: str = "32-true"
    num_workers: int = 0

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

    def save(self, path: Path, data: str) -> None:
        """Write the settings, the data's source and the versions to a YAML file."""
        versions = {package: version(package) for package in _PACKAGES}
        document = {"data": data, "training": asdict(self), "versions": versions}
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> tuple["TrainingConfig", str]:
        """Read the settings and the data's source from a YAML file.

        Raises:
            MemorizationError: If the file holds no such settings.
        """
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
            known = {f.name for f in fields(cls)}
            settings = {k: v for k, v in document["training"].items() if k in known}
            return cls(**settings), str(document["data"])
        except (OSError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            raise MemorizationError(
                f"{path} holds no training settings, as `lightly-memloc train` writes "
                f"them ({error})."
            ) from error
