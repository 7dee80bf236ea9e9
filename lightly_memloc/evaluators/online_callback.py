"""The callback that measures UnitMem from the forward passes of training."""

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
from matplotlib.axes import Axes
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
    """Measure UnitMem in each epoch from the forward passes of training.

    See :class:`lightly_memloc.OnlineUnitMem` for how the values are approximated. The
    callback identifies images by the order in which the data loader draws them, or else
    by the file names in lightly's batches ``(views, targets, filenames)``. It logs
    ``unit_mem_online/<layer>`` through the module in each epoch.

    Only forward passes within ``training_step`` count. The callback leaves out batches
    whose images it cannot identify, and epochs without any other batch, and warns.

    Args:
        backbone: The encoder's name in the LightningModule, or a function that returns
            it. By default, the first of ``backbone``, ``student_backbone``, ``vit`` and
            similar names that has trainable weights.
        layers: ``"auto"``, or names, globs or kinds of layers.
        rectify: How negative outputs are rectified, as in ``measure_unit_mem``.
        folder: Folder for results. Each epoch's result is written to ``epoch=<epoch>``;
            by default, results are not written.

    Raises:
        MemorizationError: At the start of training, if the encoder is not found or does
            not run on images alone.

    Attributes:
        results: The result of each epoch. An image's index is its index in the loader's
            data set, or -1 if the loader has no sampler.
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
        """Create the callback for a training run."""
        return cls(folder=folder)

    def plot(self, ax: Axes | None = None) -> tuple[Figure, Axes]:
        """Plot the mean UnitMem of each layer over epochs.

        Args:
            ax: The matplotlib axes to draw on; by default those of a new figure.

        Returns:
            The figure and its axes.

        Raises:
            MemorizationError: If no epoch has been completed yet.
        """
        return plot_epochs(self.results, ax)

    def setup(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str
    ) -> None:
        """Record the order of the images once Lightning has prepared the loader."""
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
            # Every batch of the loader passes here once, including skipped ones.
            if trainer.training and self._order is not None:
                self._indices = self._drawn.batch(self._order.batch_size)
                places = self._drawn.places
                self._places = places.popleft() if places else None
            return transfer(*args, **kwargs)

        trainer.strategy.process_dataloader = watch  # type: ignore[assignment]
        trainer.strategy.batch_to_device = arrive  # type: ignore[method-assign]
        # Another callback of this class may have restored them already.
        for name in ("process_dataloader", "batch_to_device"):
            self._restore.callback(vars(trainer.strategy).pop, name, None)

    def on_train_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Find the encoder and record its forward passes in ``training_step``."""
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
                self._warn_once("UnitMem leaves out training steps", error)
            return output

        own = vars(pl_module).get("training_step")
        # Another callback of this class may have replaced it already.
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
        """Count the data loaders: the order is recorded for a single one only."""
        loaders = CombinedLoader(trainer.train_dataloader).flattened
        self._has_one_loader = len(loaders) == 1

    def on_train_epoch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Compute and log the result of the epoch."""
        assert self._tracker is not None
        if not self._has_one_loader:
            return
        try:
            result = self._tracker.compute()
        except MemorizationError as error:
            self._warn_once("An epoch has no UnitMem result", error)
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
        """Restore the trainer and the module."""
        # Lightning calls no teardown then.
        self._restore.close()

    def teardown(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str
    ) -> None:
        """Restore the trainer and the module."""
        self._restore.close()

    def _watch(self, batch: Any) -> AbstractContextManager[None]:
        """Record a training step if the images of its batch can be identified."""
        assert self._tracker is not None
        if not self._has_one_loader:
            self._warn_once(
                "UnitMem is not measured",
                "training uses several data loaders, and the images of their batches "
                "cannot be identified. Use a single loader.",
            )
            return nullcontext()
        images = self._images(batch)
        if images is None:
            self._warn_once(
                "UnitMem leaves out batches",
                "expected tensors (views, ...) of the images that the data loader drew. "
                "Check whether collate_fn drops, repeats or replaces images.",
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
                    "UnitMem leaves out batches",
                    "the data loader has no sampler, and its batches contain no file "
                    "names. Use batches of (views, targets, filenames), as "
                    "LightlyDataset returns them.",
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
        """Issue each kind of warning once per training run."""
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(f"{what}: {why}", MemorizationWarning, stacklevel=2)
