"""What a method is trained on: seeded views of images, in a new order each epoch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

from lightly_memloc.data import read_image
from lightly_memloc.runtime import generators_restored, seed_generators
from lightly_memloc.training.config import TrainingConfig


class _Use(IntEnum):
    """What random numbers are drawn for; its value is part of the seed."""

    WEIGHTS = 0
    ORDER = 1
    STEPS = 2
    VIEWS = 3


@dataclass(frozen=True)
class Stream:
    """One of the independent random streams of a seed.

    Random numbers are a function of the seed, the stream and their purpose (an epoch's
    order, an image's views), never of what was drawn before. A resumed training, or one
    with another number of workers, therefore draws the same numbers.

    Attributes:
        seed: Random seed of the training.
        number: Number of the stream.
    """

    seed: int
    number: int

    def seed_weights(self) -> None:
        """Seed the generators for the initialisation of the weights."""
        self._seed(_Use.WEIGHTS)

    def seed_steps(self, epoch: int, rank: int) -> None:
        """Seed the generators of all devices for the training steps of an epoch."""
        self._seed(_Use.STEPS, epoch, rank)
        torch.manual_seed(torch.initial_seed())

    def seed_views(self, epoch: int, index: int) -> None:
        """Seed the generators for an image's views in an epoch."""
        self._seed(_Use.VIEWS, epoch, index)

    def order(self, indices: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
        """Return the images in the order of an epoch."""
        entropy = (self.seed, self.number, _Use.ORDER, epoch)
        return np.random.default_rng(entropy).permutation(indices)

    def _seed(self, *purpose: int) -> None:
        seed_generators(self.seed, self.number, *purpose)


class TrainingData(LightningDataModule):
    """lightly's batches ``(views, targets, filenames)`` of selected images.

    Order and views are functions of stream, epoch and image. In a distributed training
    each process loads its share. Images that do not fill a batch in every process are
    left out of the epoch.

    Args:
        dataset: Map-style data set of images without a transform of its own.
        indices: The images to train on.
        transform: The method's augmentation into views.
        config: The settings.
        stream: The random stream.
    """

    def __init__(
        self,
        dataset: Any,
        indices: NDArray[np.int64],
        transform: Callable[[Any], Any],
        config: TrainingConfig,
        stream: Stream,
    ) -> None:
        super().__init__()
        self._views = _TrainingViews(dataset, transform, stream)
        self._indices = indices
        self._config = config
        self._stream = stream

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of this process, starting at the trainer's epoch."""
        assert self.trainer is not None
        # Lightning sets the sampler's epoch later, when workers may already load, and
        # current_epoch of a resumed training is still the previous one.
        progress: Any = self.trainer.fit_loop.epoch_progress
        order = _EpochOrder(
            self._indices,
            self._stream,
            progress.current.processed,
            self.trainer.global_rank,
            self.trainer.world_size,
        )
        return DataLoader(
            self._views,
            batch_size=min(self._config.batch_size, len(order)),
            sampler=order,
            drop_last=True,
            num_workers=self._config.num_workers,
            persistent_workers=self._config.num_workers > 0,
            # By default each pass draws a number from the generator of the training.
            generator=torch.Generator(),
        )


class _DrawnImage(int):
    """An image's index, with the epoch in which it is drawn."""

    epoch: int

    @classmethod
    def in_epoch(cls, index: int, epoch: int) -> "_DrawnImage":
        drawn = cls(index)
        drawn.epoch = epoch
        return drawn


class _EpochOrder(Sampler[int]):
    """This process's share of an epoch's images, in the order of the epoch."""

    def __init__(
        self,
        indices: NDArray[np.int64],
        stream: Stream,
        epoch: int,
        rank: int,
        world_size: int,
    ) -> None:
        self._indices = indices
        self._stream = stream
        self._epoch = epoch
        self._rank = rank
        self._world_size = world_size

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning calls this."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._indices) // self._world_size

    def __iter__(self) -> Iterator[int]:
        order = self._stream.order(self._indices, self._epoch)
        share = order[self._rank :: self._world_size][: len(self)]
        for index in share.tolist():
            yield _DrawnImage.in_epoch(index, self._epoch)


class _TrainingViews(Dataset[tuple[Any, Any, str]]):
    """lightly's ``(views, target, filename)`` of the drawn images."""

    def __init__(
        self, dataset: Any, transform: Callable[[Any], Any], stream: Stream
    ) -> None:
        self.dataset = dataset
        self.transform = transform
        self.stream = stream

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, drawn: _DrawnImage) -> tuple[Any, Any, str]:
        index = int(drawn)
        with generators_restored():
            self.stream.seed_views(drawn.epoch, index)
            image, target, filename = read_image(self.dataset, index)
            return self.transform(image), target, filename
