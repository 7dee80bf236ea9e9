"""A run folder: a pair of encoders with everything that is needed to measure it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from pytorch_lightning.utilities import rank_zero_only
from torch import nn

from lightly_memloc.data import (
    ROLES,
    MemorizationSplit,
    Study,
    fingerprint,
    open_dataset,
)
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import CALLBACKS
from lightly_memloc.runtime import load_encoder, replacing
from lightly_memloc.training.backbones import make_backbone
from lightly_memloc.training.config import TrainingConfig
from lightly_memloc.training.pair import make_transform, train_pair
from lightly_memloc.training.provenance import provenance

_CONFIG, _SPLIT, _LOSSES = "config.yaml", "split.json", "losses.csv"

# How many processes load the images changes no number.
_FREE = {"num_workers"}


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
        self.config, self.data = _read_config(self.folder / _CONFIG)
        if not (self.folder / _SPLIT).is_file():
            raise MemorizationError(f"The run {folder} lacks its {_SPLIT}.")
        self.split = MemorizationSplit.load(self.folder / _SPLIT)

    @staticmethod
    def is_run(folder: str | PathLike[str]) -> bool:
        """Whether a folder is a run folder."""
        return (Path(folder) / _CONFIG).is_file()

    @property
    def is_trained(self) -> bool:
        """Whether both encoders are trained."""
        return all(
            (self.folder / name).is_file() for name in ("f.ckpt", "g.ckpt", _LOSSES)
        )

    @classmethod
    def train(
        cls,
        folder: str | PathLike[str],
        data: str,
        split: MemorizationSplit | None = None,
        config: TrainingConfig | None = None,
        device: str = "auto",
        callbacks: Sequence[str] = (),
        title: str = "Training",
    ) -> "Run":
        """Train a pair in a run folder, or go on with one that was interrupted.

        Called again with the same arguments after it was killed, it goes on from the
        last whole epoch, and ends in the weights of an uninterrupted training. A run
        that is trained already stays as it is.

        Args:
            folder: The run folder.
            data: ``"digits"`` or a folder of images.
            split: The roles of the images; by default a tenth of the images each are
                candidate, independent and external, at random within the classes.
            config: The training's settings; by default those that suit the data.
            device: ``"auto"`` or a torch device, such as ``"cuda:1"``.
            callbacks: Names of callbacks that follow both trainings; what they find
                goes to ``training/f/<name>`` and ``training/g/<name>``.
            title: What is trained, as the progress shows it.

        Raises:
            MemorizationError: If the folder holds another run, or the pair cannot be
                trained.
        """
        path, dataset = Path(folder), open_dataset(data)
        config = config or TrainingConfig.for_data(data)
        transform = make_transform(config)
        if split is None:
            split = MemorizationSplit.of_dataset(dataset, seed=config.seed)
        split.refuse_other(dataset)
        split = replace(split, fingerprint=fingerprint(dataset))
        cls.refuse_other(path, split, config)
        if cls.is_run(path) and cls(path).is_trained:
            return cls(path)
        following = [
            [
                CALLBACKS[callback].from_study(
                    Study(dataset, transform, indices=members, holdout=split.external),
                    path / "training" / name / callback,
                )
                for callback in callbacks
            ]
            for name, members in (("f", split.candidate), ("g", split.independent))
        ]
        source = data if data == "digits" else str(Path(data).resolve())
        _describe(path, source, split, config)
        f, g = train_pair(
            dataset,
            split,
            config,
            transform,
            device,
            (following[0], following[1]),
            path,
            title,
        )
        _write_losses(path, f.losses, g.losses)
        return cls(path)

    def dataset(self) -> Any:
        """Open the data set.

        Raises:
            MemorizationError: If it is not there, or its images are others now.
        """
        dataset = open_dataset(self.data)
        self.split.refuse_other(dataset)
        return dataset

    def transform(self) -> Callable[[Any], Any]:
        """Make the training's augmentation."""
        return make_transform(self.config)

    def encoder(self, name: str) -> nn.Module:
        """Load encoder ``"f"`` or ``"g"``.

        Raises:
            MemorizationError: If it is not trained yet, or its file is broken.
        """
        path = self.folder / f"{name}.ckpt"
        if not path.is_file() and not self.is_trained:
            raise MemorizationError(
                f"The training of {self.folder} was interrupted before {name} was "
                "done: give the same `lightly-memloc train` command again to go on."
            )
        backbone = make_backbone(self.config.backbone, self.config.input_size)
        return load_encoder(backbone, path)

    def losses(self) -> pd.DataFrame:
        """Return the mean loss of each epoch: a row an epoch, a column an encoder."""
        return pd.read_csv(self.folder / _LOSSES, index_col="epoch")

    @classmethod
    def refuse_other(
        cls,
        folder: str | PathLike[str],
        split: MemorizationSplit,
        config: TrainingConfig,
    ) -> None:
        """Refuse a folder in which something of another run is trained.

        Raises:
            MemorizationError: If its settings, its split or its images differ.
        """
        path = Path(folder)
        if not cls.is_run(path) or not any(path.glob("*.ckpt")):
            return
        run = cls(path)
        here, asked = _settings(run.config), _settings(config)
        differences = [
            f"{name} is {here.get(name)} there and {asked.get(name)} here"
            for name in here | asked
            if name not in _FREE and here.get(name) != asked.get(name)
        ]
        if run.split.fingerprint != split.fingerprint:
            differences.append("the images differ")
        if any(
            not np.array_equal(getattr(run.split, role), getattr(split, role))
            for role in ROLES
        ):
            differences.append("the split differs")
        if differences:
            raise MemorizationError(
                f"{folder} holds another run: {'; '.join(differences)}. Choose "
                "another folder, or remove it."
            )


def _settings(config: TrainingConfig) -> dict[str, Any]:
    """All settings by name, those of the transform side by side with the others."""
    settings = asdict(config)
    transform = settings.pop("transform")
    return settings | {f"transform.{name}": transform[name] for name in transform}


@rank_zero_only
def _describe(
    folder: Path, source: str, split: MemorizationSplit, config: TrainingConfig
) -> None:
    """Write what is needed to repeat a run."""
    folder.mkdir(parents=True, exist_ok=True)
    split.save(folder / _SPLIT)
    data = {"source": source, "images": split.n, "fingerprint": split.fingerprint}
    document = {"data": data, "training": asdict(config)} | provenance()
    # What makes the folder a run comes last, and whole.
    with replacing(folder / _CONFIG) as partial:
        partial.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


@rank_zero_only
def _write_losses(folder: Path, f: list[float], g: list[float]) -> None:
    losses = pd.DataFrame({"f": f, "g": g}).rename_axis("epoch")
    losses.to_csv(folder / _LOSSES)


def _read_config(path: Path) -> tuple[TrainingConfig, str]:
    """The settings and the data's source."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(TrainingConfig)}
        settings = {k: v for k, v in document["training"].items() if k in known}
        return TrainingConfig(**settings), str(document["data"]["source"])
    except (OSError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise MemorizationError(
            f"{path} holds no training settings, as `lightly-memloc train` writes them "
            f"({error})."
        ) from error
