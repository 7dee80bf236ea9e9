"""What is trained and measured: on two cores, and in the paper's setting."""

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Training:
    """A training of a pair, and what is done with it beyond measuring.

    Attributes:
        settings: Settings of ``TrainingConfig``.
        callbacks: Names of callbacks that follow it.
        controls: Whether the controls are measured beside it.
        interventions: Whether it is pruned and fine-tuned.
    """

    settings: dict[str, Any]
    callbacks: tuple[str, ...] = ()
    controls: bool = False
    interventions: bool = False


@dataclass(frozen=True)
class Scale:
    """How much is trained and measured.

    Attributes:
        roles: Numbers of shared, candidate, independent and external images.
        probes: Numbers of images to train probes on, and to test them on.
        trainings: The trainings by name.
        pairs: Pairs of each training.
        first: Number of the first pair; other numbers are other images and seeds.
        n_views: Views per image.
        pruned: Fraction of each layer's live units that is pruned.
        tuning_epochs: Epochs of fine-tuning.
        trials: Times that each pair is pruned and fine-tuned, with other seeds.
    """

    roles: tuple[int, int, int, int]
    probes: tuple[int, int]
    trainings: dict[str, Training]
    pairs: int
    first: int = 1
    n_views: int = 10
    pruned: float = 0.5
    tuning_epochs: int = 10
    trials: int = 3

    @property
    def numbers(self):
        """Numbers of the pairs."""
        return range(self.first, self.first + self.pairs)


def _trainings(resnet, vit, mae, strong):
    """The trainings that the findings need.

    Args:
        resnet: Settings of the ResNet's trainings.
        vit: Settings of the vision transformer's trainings.
        mae: Settings of MAE that differ from those.
        strong: Settings of the stronger augmentation's training that differ.
    """
    return {
        "simclr": Training(
            {"method": "simclr", **resnet},
            callbacks=("online_unit_mem",),
            controls=True,
            interventions=True,
        ),
        "simclr_strong": Training({"method": "simclr", **resnet, **strong}),
        "supervised": Training({"method": "supervised", **resnet}),
        "byol": Training({"method": "byol", **resnet}),
        "simclr_vit": Training({"method": "simclr", **vit}, controls=True),
        "mae": Training({"method": "mae", **vit, **mae}),
        "private_mae": Training({"method": "private_mae", **vit, **mae}),
    }


_CROPS_AND_FLIPS = {
    "min_scale": 0.5,
    "cj_prob": 0.0,
    "random_gray_scale": 0.0,
    "gaussian_blur": 0.0,
}
_SMALL = {
    "epochs": 150,
    "batch_size": 64,
    "learning_rate": 3e-3,
    "transform": _CROPS_AND_FLIPS,
}
CPU = Scale(
    roles=(100, 100, 100, 100),
    probes=(1000, 2000),
    trainings=_trainings(
        {"backbone": "resnet9-slim", **_SMALL},
        {"backbone": "vits:small_vit", **_SMALL, "epochs": 300},
        {"transform": {"min_scale": 0.5}},
        {"transform": {"min_scale": 0.5, "gaussian_blur": 0.0}},
    ),
    pairs=8,
)

# What CPU's settings and number of pairs are chosen by.
PILOT = replace(CPU, pairs=3, first=101)

# Roles of the paper; batches and epochs of its scripts.
_PUBLISHED = {
    "epochs": 100,
    "batch_size": 128,
    "transform": {"gaussian_blur": 0.0},
}
FULL = Scale(
    roles=(40_000, 5_000, 5_000, 5_000),
    probes=(2_500, 2_500),
    trainings=_trainings(
        {"backbone": "resnet9", **_PUBLISHED},
        {"backbone": "vit_tiny_patch4", **_PUBLISHED},
        {"epochs": 800, "batch_size": 2048},
        {"transform": {"gaussian_blur": 0.0, "cj_strength": 1.5}},
    ),
    pairs=3,
    tuning_epochs=50,
)
SCALES = {"cpu": CPU, "pilot": PILOT, "full": FULL}


def smoke(scale):
    """The same scale with tiny numbers."""

    def shrunk(training):
        settings = {**training.settings, "epochs": 1, "batch_size": 8}
        return replace(training, settings=settings)

    return replace(
        scale,
        roles=(8, 8, 8, 24),
        probes=(20, 20),
        trainings={name: shrunk(of) for name, of in scale.trainings.items()},
        pairs=3,
        n_views=2,
        tuning_epochs=1,
        trials=1,
    )
