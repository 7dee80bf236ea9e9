"""What is trained and measured, for two cores and for the paper's setting."""

from dataclasses import dataclass, replace
from typing import Any

# The trainings whose encoders are measured with the augmentation of either.
AUGMENTED = {
    "simclr": "the weaker augmentation",
    "simclr_strong": "the stronger augmentation",
}
# The trainings whose units are compared by equal numbers of images and classes.
TIED = ("simclr", "supervised")


@dataclass(frozen=True)
class Training:
    """The training of a pair, and what is measured besides its memorisation.

    Attributes:
        settings: Settings of ``TrainingConfig``.
        callbacks: Names of the callbacks used in training.
        controls: Whether the controls are measured as well.
        interventions: Whether the encoder is pruned and fine-tuned.
    """

    settings: dict[str, Any]
    callbacks: tuple[str, ...] = ()
    controls: bool = False
    interventions: bool = False


@dataclass(frozen=True)
class Scale:
    """The amount of training and measuring.

    Attributes:
        roles: Numbers of shared, candidate, independent and external images.
        probes: Numbers of images to train and to test the probes.
        trainings: The trainings by name.
        pairs: Number of pairs of each training.
        first: Number of the first pair. Each number has its own images and seeds.
        n_views: Views per image.
        pruned: Fraction of each layer's live units that is pruned.
        tuning_epochs: Epochs of fine-tuning.
        trials: How often each pair is pruned and fine-tuned, each time with new seeds.
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
    """Make the trainings that the findings need.

    Args:
        resnet: Settings of the ResNet trainings.
        vit: Settings of the vision transformer trainings.
        mae: Settings of MAE, where they differ from ``vit``.
        strong: Settings of stronger augmentation, where they differ from ``resnet``.
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

# The pairs by which the settings of CPU and its number of pairs were chosen.
PILOT = replace(CPU, pairs=3, first=101)

# The roles are from the paper; batch sizes and epochs are from its scripts.
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
    """Shrink a scale to tiny numbers."""

    def shrunk(training):
        settings = {**training.settings, "epochs": 1, "batch_size": 8}
        return replace(training, settings=settings)

    return replace(
        scale,
        roles=(20, 20, 20, 60),
        probes=(20, 20),
        trainings={name: shrunk(of) for name, of in scale.trainings.items()},
        pairs=3,
        n_views=4,
        tuning_epochs=1,
        trials=1,
    )
