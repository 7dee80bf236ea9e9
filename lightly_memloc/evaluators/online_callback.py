"""The callback that follows UnitMem during training without forward passes."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, Sampler
from typing_extensions import Self

from lightly_memloc.data import filename_of
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators.backbone import Backbone, find_backbone
from lightly_memloc.evaluators.callback import CALLBACKS, StudyCallback
from lightly_memloc.evaluators.online_unit_mem import OnlineUnitMem
from lightly_memloc.evaluators.study import Study
from lightly_memloc.functional.unit_activation import Rectify
from lightly_memloc.results import UnitMemResult, plot_epochs


@CALLBACKS.register("online_unit_mem")
class OnlineUnitMemCallback(StudyCallback):
    """Follow UnitMem in each epoch from the forward passes of training.

    See :class:`lightly_memloc.OnlineUnitMem` for what is approximated. Which image a row
    is, the callback learns from the order in which the data loader draws its images, or
    else from the file names in lightly's batches ``(views, targets, filenames)``.
    ``unit_mem_online/<layer>`` is logged through the module in each epoch.

    Args:
        backbone: The encoder's name in the LightningModule, or a function that gives
            it. By default the first of ``backbone``, ``student_backbone``, ``vit`` and
            the like that has weights to train.
        layers: ``"auto"``, or names, globs or kinds of layers.
        rectify: How negative outputs are rectified, as in ``measure_unit_mem``.
        folder: Where each epoch's result is written, to ``epoch=<epoch>``; nowhere by
            default.

    Raises:
        MemorizationError: When training begins, if the encoder cannot be found, or
            images cannot be told from each other.

    Attributes:
        results: The result of each epoch. An image's index is that in the data set that
            the loader draws from, -1 if it has no sampler.
    """

    def __init__(
        self,
        backbone: Backbone | None = None,
        layers: str | Sequence[str] = "auto",
        rectify: Rectify = "auto",
        folder: str | PathLike[str] | None = None,
    ) -> None:
        self.results: list[UnitMemResult] = []
        self._backbone = backbone
        self._options = layers, rectify
        self._folder = folder
        self._tracker: OnlineUnitMem | None = None
        self._order: _Order | None = None
        self._drawn: deque[int] = deque()
        self._batch = ExitStack()
        self._restore = ExitStack()

    @classmethod
    def from_study(cls, study: Study, folder: Path) -> Self:
        """Make the callback for a training."""
        return cls(layers=study.layers, folder=folder)

    def plot(self) -> Figure:
        """Return a figure of the mean UnitMem of each layer over epochs.

        Raises:
            MemorizationError: If no epoch is over yet.
        """
        return plot_epochs(self.results)

    def setup(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str
    ) -> None:
        """Watch the order of the images, from the moment that Lightning has settled it."""
        if stage != "fit":
            return
        process = trainer.strategy.process_dataloader

        def watch(loader: Any) -> Any:
            loader = process(loader)
            if trainer.training and isinstance(loader, DataLoader):
                self._order = _Order.watch(loader, self._drawn)
                if self._order is not None:
                    self._restore.callback(self._order.leave, loader)
            return loader

        trainer.strategy.process_dataloader = watch  # type: ignore[assignment]
        # Another callback that watches may have put it back already.
        self._restore.callback(vars(trainer.strategy).pop, "process_dataloader", None)

    def on_train_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Find the encoder."""
        _, encoder = find_backbone(pl_module, self._backbone)
        self._tracker = OnlineUnitMem(encoder, *self._options)

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Begin to watch a training step."""
        assert self._tracker is not None
        filenames, indices = self._images(batch)
        self._batch.enter_context(self._tracker.batch(filenames, indices))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Take what was seen in the training step."""
        self._batch.close()

    def on_train_epoch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Make the epoch's result, and log it."""
        assert self._tracker is not None
        result = self._tracker.compute()
        self._tracker.reset()
        result.settings["epoch"] = trainer.current_epoch
        self.results.append(result)
        scalars = {
            name.replace("unit_mem", "unit_mem_online", 1): value
            for name, value in result.scalars().items()
        }
        pl_module.log_dict(scalars, sync_dist=True)
        if self._folder is not None and trainer.is_global_zero:
            result.save(Path(self._folder) / f"epoch={trainer.current_epoch}")

    def on_exception(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        exception: BaseException,
    ) -> None:
        """Stop watching a training step that failed."""
        # The watched step ends as one that failed: what was seen of it is dropped.
        self._batch.__exit__(type(exception), exception, exception.__traceback__)
        # Lightning calls no teardown then.
        self._restore.close()

    def teardown(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str
    ) -> None:
        """Leave the trainer as it was."""
        self._restore.close()

    def _images(self, batch: Any) -> tuple[list[str], list[int] | None]:
        """File names and, if known, indices of a batch's images."""
        n_images = _batch_size(batch)
        names = batch[2] if isinstance(batch, list | tuple) and len(batch) > 2 else []
        if len(names) != n_images or not all(isinstance(name, str) for name in names):
            names = None
        if self._order is not None:
            indices = [self._drawn.popleft() for _ in range(n_images)]
            return names or [self._order.filename(index) for index in indices], indices
        if names is None:
            raise MemorizationError(
                "Cannot tell which images a batch holds: the data loader has no sampler "
                "to watch, and its batches no file names. Give batches of (views, "
                "targets, filenames), as LightlyDataset does."
            )
        return names, None


class _Order(Sampler[int]):
    """A data loader's sampler that records the images it draws, for each callback."""

    def __init__(self, sampler: Any, dataset: Any) -> None:
        self._sampler = sampler
        self._dataset = dataset
        self._records: list[deque[int]] = []

    @classmethod
    def watch(cls, loader: DataLoader[Any], record: deque[int]) -> "_Order | None":
        """Record the order of a loader's images, if it draws them by a sampler."""
        batches = loader.batch_sampler
        streams = isinstance(loader.dataset, IterableDataset)
        if streams or type(batches) is not BatchSampler:
            return None
        if not isinstance(batches.sampler, cls):
            batches.sampler = cls(batches.sampler, loader.dataset)
        order: _Order = batches.sampler
        if not any(record is other for other in order._records):
            order._records.append(record)
        return order

    def leave(self, loader: DataLoader[Any]) -> None:
        """Give the loader its sampler back."""
        loader.batch_sampler.sampler = self._sampler  # type: ignore[union-attr]

    def filename(self, index: int) -> str:
        """An image's file name."""
        return filename_of(self._dataset, index)

    def __iter__(self) -> Iterator[int]:
        for record in self._records:
            record.clear()
        for index in self._sampler:
            for record in self._records:
                record.append(int(index))
            yield index

    def __len__(self) -> int:
        return len(self._sampler)

    def __getattr__(self, name: str) -> Any:
        # Lightning tells samplers the epoch.
        return getattr(self._sampler, name)


def _batch_size(batch: Any) -> int:
    """Number of images in a batch ``(views, ...)``; views come alone or in a list."""
    while isinstance(batch, list | tuple) and len(batch):
        batch = batch[0]
    if not isinstance(batch, Tensor):
        raise MemorizationError(
            f"Expected batches of (views, ...) with tensors, got {type(batch).__name__}."
        )
    return len(batch)
