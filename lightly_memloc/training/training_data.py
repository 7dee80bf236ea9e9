"""What a method is trained on: views of chosen images, in a new order each epoch."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Sampler

from lightly_memloc.data import read_image
from lightly_memloc.runtime import generators_restored
from lightly_memloc.training.config import TrainingConfig
from lightly_memloc.training.stream import Stream


class TrainingData(LightningDataModule):
    """lightly's batches ``(views, targets, filenames)`` of chosen images.

    Order and views are functions of stream, epoch and image. In a distributed training
    each process draws its share; the images of an epoch that do not fill a batch of all
    processes are left out of it.

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
        """Return the loader of the process, from the epoch that the trainer is at."""
        assert self.trainer is not None
        # What Lightning tells samplers later, when workers may have begun to load.
        # A resumed training's current_epoch still is the one before.
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
            # Else each pass draws a number from the generator that training uses.
            generator=torch.Generator(),
        )


class _DrawnImage(int):
    """An image's index, with the epoch that it is drawn in."""

    epoch: int

    @classmethod
    def in_epoch(cls, index: int, epoch: int) -> "_DrawnImage":
        drawn = cls(index)
        drawn.epoch = epoch
        return drawn


class _EpochOrder(Sampler[int]):
    """The order in which an epoch's images are drawn."""

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
        """Take the epoch that Lightning tells."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._indices) // self._world_size

    def __iter__(self) -> Iterator[int]:
        order = self._stream.order(self._indices, self._epoch)
        share = order[self._rank :: self._world_size][: len(self)]
        for index in share.tolist():
            yield _DrawnImage.in_epoch(index, self._epoch)


class _TrainingViews(Dataset[tuple[Any, Any, str]]):
    """lightly's ``(views, target, filename)`` of the images that are drawn."""

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
