"""A run folder: a pair of encoders with everything that is needed to measure it."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
from torch import nn

from lightly_memloc.data import MemorizationSplit, open_dataset
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import (
    CALLBACKS,
    Study,
    load_encoder,
    save_checkpoint,
)
from lightly_memloc.training.backbones import make_backbone
from lightly_memloc.training.config import TrainingConfig
from lightly_memloc.training.pair import make_transform, train_pair

_CONFIG, _SPLIT, _LOSSES = "config.yaml", "split.json", "losses.csv"


class Run:
    """A run folder with ``config.yaml``, ``split.json``, ``f.ckpt`` and ``g.ckpt``.

    Args:
        folder: The run folder.

    Raises:
        MemorizationError: If it is no run folder.

    Attributes:
        folder: The run folder.
        config: The training's settings.
        data: The data set's source: ``"digits"`` or a folder of images.
        split: The roles of the images.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        self.config, self.data = TrainingConfig.load(self.folder / _CONFIG)
        if not (self.folder / _SPLIT).is_file():
            raise MemorizationError(f"The run {folder} lacks its {_SPLIT}.")
        self.split = MemorizationSplit.load(self.folder / _SPLIT)

    @staticmethod
    def is_run(folder: str | PathLike[str]) -> bool:
        """Whether a folder is a run folder."""
        return (Path(folder) / _CONFIG).is_file()

    @classmethod
    def train(
        cls,
        folder: str | PathLike[str],
        data: str,
        split: MemorizationSplit,
        config: TrainingConfig,
        device: str = "auto",
        callbacks: Sequence[str] = (),
    ) -> "Run":
        """Train a pair and write the run folder.

        Args:
            folder: The run folder; must not hold a run yet.
            data: ``"digits"`` or a folder of images.
            split: The roles of the images.
            config: The training's settings.
            device: ``"auto"`` or the name of a Lightning accelerator.
            callbacks: Names of callbacks that follow both trainings; what they find
                goes to ``training/f/<name>`` and ``training/g/<name>``.

        Raises:
            MemorizationError: If the folder holds a run, or the pair cannot be trained.
        """
        path = Path(folder)
        if cls.is_run(path):
            raise MemorizationError(
                f"{folder} holds a run already. Choose another folder, or remove it."
            )
        dataset, transform = open_dataset(data), make_transform(config)
        f_study, g_study = (
            Study(nn.Identity(), dataset, transform, indices=i, holdout=split.external)
            for i in (split.candidate, split.independent)
        )
        following = (
            [
                CALLBACKS[c].from_study(f_study, path / "training/f" / c)
                for c in callbacks
            ],
            [
                CALLBACKS[c].from_study(g_study, path / "training/g" / c)
                for c in callbacks
            ],
        )
        f, g = train_pair(dataset, split, config, transform, device, following)
        path.mkdir(parents=True, exist_ok=True)
        for name, encoder in (("f", f), ("g", g)):
            save_checkpoint(encoder.method, path / f"{name}.ckpt")
        losses = pd.DataFrame({"f": f.losses, "g": g.losses})
        losses.rename_axis("epoch").to_csv(path / _LOSSES)
        split.save(path / _SPLIT)
        source = data if data == "digits" else str(Path(data).resolve())
        config.save(path / _CONFIG, source)
        return cls(path)

    def dataset(self) -> Any:
        """Open the data set."""
        return open_dataset(self.data)

    def transform(self) -> Callable[[Any], Any]:
        """Make the training's augmentation."""
        return make_transform(self.config)

    def encoder(self, name: str) -> nn.Module:
        """Load encoder ``"f"`` or ``"g"``."""
        backbone = make_backbone(self.config.backbone, self.config.input_size)
        return load_encoder(backbone, self.folder / f"{name}.ckpt")

    def losses(self) -> pd.DataFrame:
        """Return the mean loss of each epoch: a row an epoch, a column an encoder."""
        return pd.read_csv(self.folder / _LOSSES, index_col="epoch")
