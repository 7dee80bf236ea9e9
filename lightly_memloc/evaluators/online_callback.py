"""The callback that follows UnitMem during training without forward passes."""

import functools
import sys
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from matplotlib.figure import Figure
from pytorch_lightning.utilities import CombinedLoader
from torch.utils.data import DataLoader
from typing_extensions import Self

from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.evaluators.backbone import Backbone, find_backbone
from lightly_memloc.evaluators.callback import CALLBACKS, StudyCallback
from lightly_memloc.evaluators.drawn_images import Drawn, Order, first_view
from lightly_memloc.evaluators.online_unit_mem import OnlineUnitMem
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
        self._order: Order | None = None
        self._drawn = Drawn()
        self._indices: list[int] | None = None
        self._places: list[int] | None = None
        self._has_one_loader = True
        self._warned: set[str] = set()
        self._restore = ExitStack()

    @classmethod
    def from_study(cls, study: Study, folder: Path) -> Self:
        """Make the callback for a training."""
        return cls(folder=folder)

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
                self._order = Order.watch(loader, self._drawn)
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
            except MemorizationError as error:
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
        settings = {**result.settings, "epoch": trainer.current_epoch}
        result = replace(result, settings=settings)
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
        view = first_view(batch)
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
