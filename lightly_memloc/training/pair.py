"""Training the pair of encoders that LayerMem compares."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from lightly_memloc.data import MemorizationSplit
from lightly_memloc.training.config import TrainingConfig
from lightly_memloc.training.encoder import TrainedEncoder, train_encoder
from lightly_memloc.training.methods import method_class
from lightly_memloc.training.stream import Stream


def train_pair(
    dataset: Any,
    split: MemorizationSplit,
    config: TrainingConfig,
    transform: Callable[[Any], Any] | None = None,
    device: str = "auto",
    callbacks: tuple[Sequence[pl.Callback], Sequence[pl.Callback]] = ((), ()),
    folder: str | PathLike[str] | None = None,
    title: str = "Training",
) -> tuple[TrainedEncoder, TrainedEncoder]:
    """Train f on shared and candidate images, g on shared and independent ones.

    Both are trained with the same method and settings, from independent random
    streams: initialisation, order and augmentation differ, unless the settings share
    the seeds.

    Args:
        dataset: Map-style data set of images without a transform of its own.
        split: The roles of its images.
        config: The settings.
        transform: The method's augmentation into views; made from the settings if
            None. One that keeps a generator of its own is not seeded.
        device: ``"auto"`` or a torch device, such as ``"cuda:1"``.
        callbacks: Lightning callbacks for the training of f, and for that of g.
        folder: Where ``f.ckpt`` and ``g.ckpt`` are written. The state of a training is
            kept there from epoch to epoch: if the folder holds it, or a trained
            encoder, of an interrupted call with the same arguments, that is gone on
            with, and ends in the same weights.
        title: What is trained, as the progress shows it.

    Returns:
        f and g.

    Raises:
        MemorizationError: If the split does not fit the data set, or leaves too few
            images to train on, or the settings or the folder's files do not fit.
    """
    split.refuse_other(dataset)
    if transform is None:
        transform = make_transform(config)
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    f, g = (
        train_encoder(
            dataset,
            indices,
            config,
            transform,
            Stream(config.seed, 0 if config.share_seeds else number),
            f"{title} {name} ({config.method})",
            device,
            callbacks[number],
            None if folder is None else Path(folder) / f"{name}.ckpt",
        )
        for number, (name, indices) in enumerate(
            [("f", split.trained_f), ("g", split.trained_g)]
        )
    )
    return f, g


def make_transform(config: TrainingConfig) -> Callable[[Any], Any]:
    """Make the augmentation that the settings describe."""
    return method_class(config.method).make_transform(
        input_size=config.input_size, **config.transform
    )
