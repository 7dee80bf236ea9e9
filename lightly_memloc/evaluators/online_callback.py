"""The callback that follows UnitMem during training without forward passes."""

import functools
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from pytorch_lightning.utilities import CombinedLoader
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, Sampler
from typing_extensions import Self

from lightly_memloc.data import filename_of
from lightly_memloc.errors import (
    MemorizationError,
    MemorizationWarning,
    NonFiniteError,
)
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

    What the encoder runs in ``training_step`` counts, and nothing else. Batches whose
    images cannot be told are left out with a warning, as is an epoch without any.

    Args:
        backbone: The encoder's name in the LightningModule, or a function that gives
            it. By default the first of ``backbone``, ``student_backbone``, ``vit`` and
            the like that has weights to train.
        layers: ``"auto"``, or names, globs or kinds of layers.
        rectify: How negative outputs are rectified, as in ``measure_unit_mem``.
        folder: Where each epoch's result is written, to ``epoch=<epoch>``; nowhere by
            default.

    Raises:
        MemorizationError: When training begins, if the encoder cannot be found.

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
        self._drawn = _Drawn()
        self._indices: list[int] | None = None
        self._places: list[int] | None = None
        self._has_one_loader = True
        self._warned: set[str] = set()
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
        transfer = trainer.strategy.batch_to_device

        def watch(loader: Any) -> Any:
            loader = process(loader)
            if trainer.training and isinstance(loader, DataLoader):
                self._order = _Order.watch(loader, self._drawn)
                if self._order is not None:
                    self._restore.callback(self._order.leave, loader)
            return loader

        def arrive(*args: Any, **kwargs: Any) -> Any:
            # Each batch of the loader passes here once, skipped ones included.
            if trainer.training and self._order is not None:
                self._indices = self._drawn.batch(self._order.batch_size)
                places = self._drawn.places
                self._places = places.popleft() if places else None
            return transfer(*args, **kwargs)

        trainer.strategy.process_dataloader = watch  # type: ignore[assignment]
        trainer.strategy.batch_to_device = arrive  # type: ignore[method-assign]
        # Another callback that watches may have put them back already.
        for name in ("process_dataloader", "batch_to_device"):
            self._restore.callback(vars(trainer.strategy).pop, name, None)

    def on_train_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Find the encoder, and watch what it runs in ``training_step``."""
        _, encoder = find_backbone(pl_module, self._backbone)
        self._tracker = OnlineUnitMem(encoder, *self._options)
        self._warned.clear()
        step = pl_module.training_step

        @functools.wraps(step)
        def watched(*args: Any, **kwargs: Any) -> Any:
            watch = self._watch([*args, *kwargs.values()][0])
            watch.__enter__()
            try:
                output = step(*args, **kwargs)
            except BaseException:
                watch.__exit__(*sys.exc_info())
                raise
            try:
                watch.__exit__(None, None, None)
            except (MemorizationError, NonFiniteError) as error:
                self._warn_once("Training steps are left out of UnitMem", error)
            return output

        own = vars(pl_module).get("training_step")
        # Another callback that watches may have replaced it already.
        own = getattr(own, "replaced", own)
        watched.replaced = own  # type: ignore[attr-defined]
        pl_module.training_step = watched  # type: ignore[method-assign]

        def put_back() -> None:
            vars(pl_module).pop("training_step", None)
            if own is not None:
                pl_module.training_step = own  # type: ignore[method-assign]

        self._restore.callback(put_back)

    def on_train_epoch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Count the loaders: the order of several is not watched."""
        loaders = CombinedLoader(trainer.train_dataloader).flattened
        self._has_one_loader = len(loaders) == 1

    def on_train_epoch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Make the epoch's result, and log it."""
        assert self._tracker is not None
        if not self._has_one_loader:
            return
        try:
            result = self._tracker.compute()
        except MemorizationError as error:
            self._warn_once("An epoch has no result of UnitMem", error)
            return
        finally:
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
        """Leave the trainer as it was."""
        # Lightning calls no teardown then.
        self._restore.close()

    def teardown(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str
    ) -> None:
        """Leave the trainer and the module as they were."""
        self._restore.close()

    def _watch(self, batch: Any) -> AbstractContextManager[None]:
        """Watch a training step, if the images of its batch can be told."""
        assert self._tracker is not None
        if not self._has_one_loader:
            self._warn_once(
                "UnitMem is not followed",
                "the training has several data loaders, and the images of their "
                "batches cannot be told. Give it one loader.",
            )
            return nullcontext()
        images = self._images(batch)
        if images is None:
            self._warn_once(
                "Batches are left out of UnitMem",
                "expected tensors (views, ...) of the images that the data loader drew. "
                "Does collate_fn drop, repeat or replace images?",
            )
            return nullcontext()
        return self._tracker.batch(*images)

    def _images(self, batch: Any) -> tuple[list[str], list[int] | None] | None:
        """File names and, if known, indices of a batch's images; None if unknown."""
        view = _first_view(batch)
        if view is None:
            return None
        n_images = len(view)
        names = batch[2] if isinstance(batch, list | tuple) and len(batch) > 2 else []
        if len(names) != n_images or not all(isinstance(name, str) for name in names):
            names = None
        if self._order is None:
            if names is None:
                self._warn_once(
                    "Batches are left out of UnitMem",
                    "the data loader has no sampler to watch, and the batches contain "
                    "no file names. Give batches of (views, targets, filenames), as "
                    "LightlyDataset does.",
                )
                return None
            return names, None
        drawn = self._indices or []
        own = [self._order.filename(index) for index in drawn]
        if names is not None and len(set(own)) == len(own):
            by_name = dict(zip(own, drawn, strict=True))
            known = [name in by_name for name in names]
            if all(known):
                return names, [by_name[name] for name in names]
            if any(known):
                return None
        places = self._places
        if places is None or len(places) != n_images:
            places = list(range(len(drawn)))
        if len(places) != n_images:
            return None
        return names or [own[at] for at in places], [drawn[at] for at in places]

    def _warn_once(self, what: str, why: str | MemorizationError) -> None:
        """Warn of the first of its kind in a training."""
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(f"{what}: {why}", MemorizationWarning, stacklevel=2)


@dataclass
class _Drawn:
    """What a data loader drew and collated, and training has not seen yet.

    Attributes:
        indices: Indices of the images, in the order drawn.
        places: For each batch, which of its drawn images each row is; None if unknown.
    """

    indices: deque[int] = field(default_factory=deque)
    places: deque[list[int] | None] = field(default_factory=deque)

    def batch(self, size: int) -> list[int]:
        """Take the indices of the next batch."""
        return [self.indices.popleft() for _ in range(min(size, len(self.indices)))]


class _Collate:
    """A collate function that records which of the images drawn each row is."""

    def __init__(self, collate: Callable[[Any], Any], records: list[_Drawn]) -> None:
        self.collate = collate
        self._records = records

    def __call__(self, items: Any) -> Any:
        batch = self.collate(items)
        places = _places(items, batch)
        for record in self._records:
            record.places.append(places)
        return batch


def _places(items: Sequence[Any], batch: Any) -> list[int] | None:
    """Which item each row of a batch is; None if rows and items differ."""
    rows, samples = _first_view(batch), [_first_view(item) for item in items]
    if rows is None or rows.ndim == 0:
        return None
    places: list[int] = []
    for number, row in enumerate(rows):
        equal = [
            place
            for place, sample in enumerate(samples)
            if sample is not None and torch.equal(sample, row)
        ]
        if not equal:
            return None
        # Of equal images, the one at the row's own place.
        places.append(number if number in equal else equal[0])
    return places


class _Order(Sampler[int]):
    """A data loader's sampler that records the images it draws, for each callback."""

    def __init__(self, sampler: Any, dataset: Any, batch_size: int) -> None:
        self.batch_size = batch_size
        self._sampler = sampler
        self._dataset = dataset
        self._records: list[_Drawn] = []

    @classmethod
    def watch(cls, loader: DataLoader[Any], record: _Drawn) -> "_Order | None":
        """Record the order of a loader's images, if it draws them by a sampler."""
        batches = loader.batch_sampler
        streams = isinstance(loader.dataset, IterableDataset)
        if streams or type(batches) is not BatchSampler:
            return None
        if not isinstance(batches.sampler, cls):
            batches.sampler = cls(batches.sampler, loader.dataset, batches.batch_size)
        order: _Order = batches.sampler
        # Worker processes collate where nothing can be recorded.
        if loader.num_workers == 0 and not isinstance(loader.collate_fn, _Collate):
            loader.collate_fn = _Collate(loader.collate_fn, order._records)
        if not any(record is other for other in order._records):
            order._records.append(record)
        return order

    def leave(self, loader: DataLoader[Any]) -> None:
        """Give the loader its sampler and its collate function back."""
        if isinstance(loader.collate_fn, _Collate):
            loader.collate_fn = loader.collate_fn.collate
        loader.batch_sampler.sampler = self._sampler  # type: ignore[union-attr]

    def filename(self, index: int) -> str:
        """An image's file name."""
        return filename_of(self._dataset, index)

    def __iter__(self) -> Iterator[int]:
        for record in self._records:
            record.indices.clear()
            record.places.clear()
        for index in self._sampler:
            for record in self._records:
                record.indices.append(int(index))
            yield index

    def __len__(self) -> int:
        return len(self._sampler)

    def __getattr__(self, name: str) -> Any:
        # Lightning tells samplers the epoch.
        return getattr(self._sampler, name)


def _first_view(images: Any) -> Tensor | None:
    """The first view of an image or a batch ``(views, ...)``."""
    while isinstance(images, list | tuple) and len(images):
        images = images[0]
    return images if isinstance(images, Tensor) else None
