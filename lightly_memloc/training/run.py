"""A run folder: a pair of encoders and everything that is needed to measure it."""

import platform
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from torch import nn

from lightly_memloc.data import (
    ROLES,
    MemorizationSplit,
    Study,
    fingerprint,
    open_dataset,
    refuse_duplicates,
)
from lightly_memloc.errors import DivergedError, MemorizationError
from lightly_memloc.evaluators import CALLBACKS
from lightly_memloc.runtime import is_first_process, load_encoder, replacing
from lightly_memloc.training.backbones import make_backbone
from lightly_memloc.training.config import (
    TrainingConfig,
    make_plain_transform,
    make_transform,
)
from lightly_memloc.training.pair import train_pair

_CONFIG, _SPLIT, _LOSSES = "config.yaml", "split.json", "losses.csv"
# Contains how the training diverged, if it did.
_DIVERGED = "diverged.txt"

# The number of loading processes changes no result.
_FREE = {"num_workers"}

_PACKAGES = (
    "lightly-memloc",
    "lightly",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "timm",
    "numpy",
    "pillow",
)


class Run:
    """A run folder with ``config.yaml``, ``split.json``, ``f.ckpt`` and ``g.ckpt``.

    Args:
        folder: The run folder.
        data: Where the images are now, if they were moved.

    Raises:
        MemorizationError: If the folder is not a run folder.

    Attributes:
        folder: The run folder.
        config: The training's settings.
        data: Source of the data set: ``"digits"``, or a folder or a list of images.
        split: The roles of the images.
    """

    def __init__(self, folder: str | PathLike[str], data: str | None = None) -> None:
        self.folder = Path(folder)
        self.config, source = _read_config(self.folder / _CONFIG)
        self.data = source if data is None else data
        if not (self.folder / _SPLIT).is_file():
            raise MemorizationError(
                f"The run {folder} lacks its {_SPLIT}. Train it again with the same "
                "`lightly-memloc train` command."
            )
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
        *,
        device: str = "auto",
        callbacks: Sequence[str] = (),
        allow_duplicates: bool = False,
        title: str = "Training",
    ) -> "Run":
        """Train a pair in a run folder, or resume an interrupted training.

        Called again with the same arguments after an interruption, the training resumes
        after the last complete epoch and ends in the same weights as without the
        interruption. A run whose training is complete is not changed.

        Args:
            folder: The run folder.
            data: ``"digits"``, or a folder or a list of images.
            split: The roles of the images. By default, candidate, independent and
                external images are each a tenth of the images, drawn at random within
                the classes.
            config: The settings; by default those that suit the data.
            device: ``"auto"`` or a torch device, such as ``"cuda:1"``.
            callbacks: Names of callbacks that follow both trainings; their results
                are written to ``training/f/<name>`` and ``training/g/<name>``.
            allow_duplicates: Whether to train on identical images of different roles,
                with a warning, instead of refusing them.
            title: What is trained, for the progress display.

        Raises:
            MemorizationError: If the folder contains another run, images of different
                roles are identical, or the pair cannot be trained.
            DivergedError: If the loss or weights of an encoder are no longer finite.
                The run is marked: it is refused wherever it is read.
        """
        path, dataset = Path(folder), open_dataset(data)
        config = config or TrainingConfig.for_data(data)
        transform = make_transform(config)
        if split is None:
            split = MemorizationSplit.of_dataset(dataset, seed=config.seed)
        split.refuse_other(dataset)
        split = replace(split, fingerprint=fingerprint(dataset))
        cls.refuse_other(path, split, config)
        if cls.is_run(path):
            cls(path).refuse_diverged()
            if cls(path).is_trained:
                return cls(path)
        refuse_duplicates(
            dataset, split, allow_duplicates, num_workers=config.num_workers
        )
        following = [
            [
                CALLBACKS[callback].from_study(
                    Study(
                        dataset,
                        transform,
                        indices=members,
                        holdout=split.external,
                        groups=split.groups,
                    ),
                    path / "training" / name / callback,
                )
                for callback in callbacks
            ]
            for name, members in (("f", split.candidate), ("g", split.independent))
        ]
        source = data if data == "digits" else str(Path(data).resolve())
        writes = is_first_process(config.devices)
        if writes:
            _describe(path, source, split, config)
        try:
            f, g = train_pair(
                dataset,
                split,
                config,
                transform=transform,
                device=device,
                callbacks=(following[0], following[1]),
                folder=path,
                title=title,
            )
        except DivergedError as error:
            if writes:
                with replacing(path / _DIVERGED) as partial:
                    partial.write_text(f"{error}\n", encoding="utf-8")
                cls(path).refuse_diverged()
            raise
        if writes:
            _write_losses(path, f.losses, g.losses)
        return cls(path)

    def dataset(self) -> Any:
        """Open the data set.

        Raises:
            MemorizationError: If it does not exist or its images have changed.
        """
        if self.data != "digits" and not Path(self.data).exists():
            raise MemorizationError(
                f"The images of {self.folder} are not at {self.data}, where "
                f"{self.folder / _CONFIG} says they are (data: source). If they were "
                "moved, say where they are now with data (--data)."
            )
        dataset = open_dataset(self.data)
        self.split.refuse_other(dataset)
        return dataset

    def transform(self) -> Callable[[Any], Any]:
        """Make the augmentation of the training."""
        return make_transform(self.config)

    def study(self, *, n_views: int = 10, seed: int = 0) -> Study:
        """Return the study of the run's images, with their roles.

        Args:
            n_views: Views per image.
            seed: Random seed of the views, the resamples and the permutations.

        Raises:
            MemorizationError: If the data set is not there, or its images are others now.
        """
        return Study(
            self.dataset(),
            self.transform(),
            self.split,
            n_views=n_views,
            seed=seed,
            plain_transform=make_plain_transform(self.config),
        )

    def encoder(self, name: str) -> nn.Module:
        """Load encoder ``"f"`` or ``"g"``.

        Raises:
            MemorizationError: If it is not trained yet, its file is damaged, or the
                training diverged.
        """
        self.refuse_diverged()
        path = self.folder / f"{name}.ckpt"
        if not path.is_file() and not self.is_trained:
            raise MemorizationError(
                f"The training of {self.folder} was interrupted before {name} was "
                "done: run the same `lightly-memloc train` command again to resume it."
            )
        backbone = make_backbone(self.config.backbone, self.config.input_size)
        return load_encoder(backbone, path)

    def refuse_diverged(self) -> None:
        """Refuse a run whose training diverged.

        Raises:
            DivergedError: If so. The message says in which epoch.
        """
        mark = self.folder / _DIVERGED
        if mark.is_file():
            said = mark.read_text(encoding="utf-8", errors="replace").strip()
            raise DivergedError(
                f"{self.folder} cannot be used: {said} Train again in another folder, "
                "for example with a lower learning rate."
            )

    def losses(self) -> pd.DataFrame:
        """Return the mean losses: one row per epoch, one column per encoder."""
        return pd.read_csv(self.folder / _LOSSES, index_col="epoch")

    @classmethod
    def refuse_other(
        cls,
        folder: str | PathLike[str],
        split: MemorizationSplit,
        config: TrainingConfig,
    ) -> None:
        """Refuse a folder with a checkpoint of another run.

        Raises:
            MemorizationError: If the settings, the split or the images differ.
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
        if not _same_groups(run.split, split):
            differences.append("the groups differ")
        if differences:
            raise MemorizationError(
                f"{folder} contains another run: {'; '.join(differences)}. Choose "
                "another folder, or remove it."
            )


def _same_groups(one: MemorizationSplit, other: MemorizationSplit) -> bool:
    if one.groups is None or other.groups is None:
        return one.groups is other.groups
    return np.array_equal(one.groups, other.groups)


def _settings(config: TrainingConfig) -> dict[str, Any]:
    """All settings by name, with those of the transform as ``transform.NAME``."""
    settings = asdict(config)
    transform = settings.pop("transform")
    return settings | {f"transform.{name}": transform[name] for name in transform}


def _describe(
    folder: Path, source: str, split: MemorizationSplit, config: TrainingConfig
) -> None:
    """Write everything that is needed to repeat a run."""
    folder.mkdir(parents=True, exist_ok=True)
    split.save(folder / _SPLIT)
    data = {"source": source, "images": split.n, "fingerprint": split.fingerprint}
    document = {"data": data, "training": asdict(config)} | provenance()
    # This file makes the folder a run: it is written last, and atomically.
    with replacing(folder / _CONFIG) as partial:
        partial.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def _write_losses(folder: Path, f: list[float], g: list[float]) -> None:
    losses = pd.DataFrame({"f": f, "g": g}).rename_axis("epoch")
    with replacing(folder / _LOSSES) as partial:
        losses.to_csv(partial)


def _read_config(path: Path) -> tuple[TrainingConfig, str]:
    """The settings and the source of the data set."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(TrainingConfig)}
        settings = {k: v for k, v in document["training"].items() if k in known}
        return TrainingConfig(**settings), str(document["data"]["source"])
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        yaml.YAMLError,
    ) as error:
        raise MemorizationError(
            f"{path} contains no training settings ({error}). Expected a file that "
            "`lightly-memloc train` wrote."
        ) from error


def provenance() -> dict[str, Any]:
    """Return versions, platform and, in a git repository, its revision.

    The repository is that of the working directory. The revision comes with whether
    tracked files were modified since.
    """
    return {
        "versions": {"python": platform.python_version()}
        | {name: found for name in _PACKAGES if (found := _version(name))},
        "platform": f"{platform.system()} {platform.machine()}",
    } | _git()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any]:
    revision = _git_output("rev-parse", "HEAD")
    if revision is None:
        return {}
    modified = bool(_git_output("status", "--porcelain", "--untracked-files=no"))
    return {"git": {"revision": revision, "modified": modified}}


def _git_output(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
