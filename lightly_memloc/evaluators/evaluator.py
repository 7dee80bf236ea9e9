"""Evaluators: measurements as LightningModules, for Trainer.validate."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from os import PathLike
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import ArrayLike
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import Metric
from typing_extensions import Self

from lightly_memloc.data import MultiViewDataset, filename_of
from lightly_memloc.errors import MemorizationError, UnreadableImageError
from lightly_memloc.evaluators.study import Study
from lightly_memloc.evaluators.view_loader import ViewBatch, view_loader
from lightly_memloc.layers import CapturedLayer, captured, trace_layers
from lightly_memloc.results import Result
from lightly_memloc.runtime import (
    Registry,
    StateFile,
    digest,
    gathered,
    leave_no_trace,
    rank_and_world_size,
    state_device,
)

R = TypeVar("R", bound=Result)


class Evaluator(pl.LightningModule, Generic[R]):
    """A measurement over the views of images, in the manner of lightly's evaluators.

    ``Trainer.validate(evaluator)`` runs it: the views come from the evaluator itself,
    devices, precision and processes from Lightning, and each process takes its share of
    the images. Afterwards every process has the whole result in :attr:`result`, whose
    scalars are logged. Encoders and generators end as they began.

    Args:
        encoders: The encoders by name; the first one's layers are measured in all.
        views: The views of the images.
        indices: The images to measure, in any form that numpy reads as integers.
        layers: ``"auto"``, or names, globs or kinds of layers.
        batch_size: Images per batch and process.
        num_workers: Worker processes that load images.
        skip_unreadable: Whether unreadable images are left out instead of refused.
        state_file: Where the state is kept as the measurement goes on. One that is
            there already, of the same measurement, is resumed.

    Raises:
        MemorizationError: If the images are not in the data set or too few for the
            processes, or the state file is that of another measurement.
    """

    title: ClassVar[str]
    read: ClassVar[Literal["state", "units"]]

    def __init__(
        self,
        encoders: dict[str, nn.Module],
        views: MultiViewDataset,
        indices: ArrayLike,
        layers: str | Sequence[str],
        batch_size: int,
        num_workers: int,
        skip_unreadable: bool,
        state_file: str | PathLike[str] | None,
    ) -> None:
        super().__init__()
        indices = np.asarray(indices, dtype=np.int64)
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(views):
            raise MemorizationError(
                f"Indices {indices.min()} to {indices.max()} do not fit a data set of "
                f"{len(views)} images."
            )
        if batch_size < 1:
            raise MemorizationError(f"Expected batch_size >= 1, got {batch_size}.")
        self.encoders = nn.ModuleDict(encoders)
        # mypy would take what it holds for plain modules.
        self.metrics: Any = nn.ModuleDict()
        self.views = views
        self.indices = indices
        self.patterns = layers
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.skip_unreadable = skip_unreadable
        self.layers: list[CapturedLayer] = []
        self.skipped: list[str] = []
        self.first_batch = 0
        self._state_file = StateFile(state_file) if state_file is not None else None
        self._result: R | None = None

    @classmethod
    @abstractmethod
    def from_study(cls, study: Study, **options: Any) -> Self:
        """Make the evaluator of a study.

        Args:
            study: The study.
            options: The evaluator's own arguments.

        Raises:
            MemorizationError: If the study lacks what it needs.
        """

    @property
    def result(self) -> R:
        """The result, once measured.

        Raises:
            MemorizationError: If nothing has been measured yet.
        """
        if self._result is None:
            raise MemorizationError(
                "Nothing is measured yet: run Trainer.validate(evaluator) first."
            )
        return self._result

    @abstractmethod
    def make_metrics(self) -> dict[str, Metric | nn.ModuleList]:
        """Make the metrics that accumulate, once the layers are known."""

    @abstractmethod
    def measure(self, batch: ViewBatch, images: Tensor) -> None:
        """Take a batch of images into the metrics.

        Args:
            batch: The batch.
            images: Its views as the encoders take them, those of an image adjacent.
        """

    @abstractmethod
    def compute(self) -> R:
        """Return the result over the images of all processes."""

    def run_layers(
        self,
        name: str,
        batch: ViewBatch,
        images: Tensor,
        receive: Callable[[CapturedLayer, Tensor], None],
    ) -> None:
        """Run an encoder on a batch and hand on each layer's output.

        This is where every layer is known to have an output for every view.

        Args:
            name: The encoder's name.
            batch: The batch.
            images: Its views as the encoder takes them, those of an image adjacent.
            receive: Called with each layer and its output of shape ``(B, V, ...)``, at
                once when it appears.

        Raises:
            MemorizationError: If a layer does not run on the batch, runs more than
                once, or gives other than one row per view.
        """
        ran: set[str] = set()

        def hand_on(layer: CapturedLayer, output: Tensor) -> None:
            if layer.name in ran:
                raise self._uneven(layer, batch, "ran more often")
            if len(output) != len(images):
                found = f"gave {len(output)} rows for {len(images)} views"
                raise self._uneven(layer, batch, found)
            ran.add(layer.name)
            receive(layer, output.reshape(len(batch.indices), -1, *output.shape[1:]))

        with captured(self.encoders[name], self.layers, hand_on):
            self.encoders[name](images)
        for layer in self.layers:
            if layer.name not in ran:
                raise self._uneven(layer, batch, "did not run")

    def _uneven(
        self, layer: CapturedLayer, batch: ViewBatch, found: str
    ) -> MemorizationError:
        image = self.filenames(batch.indices[:1].tolist())[0]
        return MemorizationError(
            f"Layer {layer.name} {found} on a batch with image {image}, unlike in the "
            "first batch. Every layer must run once on each view of every image: leave "
            "this one out with layers=..., or switch off what routes or skips it."
        )

    def settings(self) -> dict[str, Any]:
        """What identifies the measurement, besides encoders, images and views."""
        return {"evaluator": type(self).__name__, "layers": self.patterns}

    def accumulated(self) -> dict[str, Any]:
        """What has been accumulated so far, in plain types and tensors."""
        return {"metrics": self.metrics.state_dict(), "skipped": self.skipped}

    def restore(self, accumulated: dict[str, Any]) -> None:
        """Take back what :meth:`accumulated` gave; the metrics are made already."""
        self.metrics.load_state_dict(accumulated["metrics"])
        self.skipped = accumulated["skipped"]

    def reset(self) -> None:
        """Forget an earlier measurement: the encoder may have changed since."""
        self.layers, self.skipped, self.first_batch = [], [], 0
        self.metrics.clear()

    def val_dataloader(self) -> DataLoader[Any]:
        """Begin a measurement, and return a loader of this process's images."""
        self.reset()
        _, n_ranks = rank_and_world_size()
        if len(self.indices) < n_ranks:
            raise MemorizationError(
                f"Cannot measure {len(self.indices)} images with {n_ranks} processes: "
                "each needs at least one."
            )
        if self._state_file is not None:
            self.first_batch = self._state_file.open(self._fingerprint())
        return view_loader(
            self.views,
            self.indices,
            self.batch_size,
            self.num_workers,
            self.first_batch,
        )

    def configure_callbacks(self) -> list[Callback]:
        """Return the callback that leaves no trace of the measurement."""
        return [_TraceFree()]

    def validation_step(self, batch: ViewBatch, batch_idx: int) -> None:
        """Measure a batch of images."""
        if batch.unreadable and not self.skip_unreadable:
            raise UnreadableImageError(batch.unreadable[0].message)
        if batch.views is not None:
            images = batch.views.flatten(0, 1)
            if self.layers:
                self._keep(self.first_batch + batch_idx)
            else:
                self._begin(images)
            self.measure(batch, images)
        self.skipped += [image.filename for image in batch.unreadable]

    def on_validation_epoch_end(self) -> None:
        """Make the result and log its scalars."""
        self.finish()
        self.log_dict(self.result.scalars(), sync_dist=True)

    def finish(self) -> R:
        """Make the result, after the last batch."""
        if not self.layers:
            raise MemorizationError(
                "None of the images could be read, among them "
                f"{', '.join(self.skipped[:3])}."
            )
        self._result = self.compute()
        if self._state_file is not None:
            self._state_file.remove()
        return self._result

    def filenames(self, indices: Sequence[int]) -> list[str]:
        """File names of images."""
        return [filename_of(self.views.dataset, int(index)) for index in indices]

    def all_skipped(self) -> list[str]:
        """File names of the images that any process left out, sorted."""
        return sorted(name for names in gathered(self.skipped) for name in names)

    def _fingerprint(self) -> dict[str, Any]:
        """What must be equal for a state file to belong to this measurement."""
        try:
            first_views = [self.views[int(self.indices[0])][0]]
        except UnreadableImageError:
            first_views = []
        weights = (
            value
            for encoder in self.encoders.values()
            for value in encoder.state_dict().values()
        )
        return {
            "settings": repr(self.settings()),
            "seed": self.views.seed,
            "batch_size": self.batch_size,
            "images": digest([torch.tensor(self.indices)]),
            "views": digest(first_views),
            "weights": digest(weights),
        }

    def _begin(self, images: Tensor) -> None:
        encoder = next(iter(self.encoders.values()))
        self.layers = trace_layers(encoder, self.patterns, self.read, images[:2])
        self.metrics.update(self.make_metrics())
        for metric in self.metrics.modules():
            if isinstance(metric, Metric):
                metric.persistent(True)
        self.metrics.to(state_device(images.device))
        if self._state_file is not None and self._state_file.found is not None:
            self.restore(self._state_file.found)

    def _keep(self, batch: int) -> None:
        """Keep the state before a batch, so that a readable one comes first again."""
        if self._state_file is not None:
            self._state_file.keep(batch, self.accumulated)


class _TraceFree(Callback):
    """Leave no trace of a measurement that a Trainer runs, even if it fails."""

    def __init__(self) -> None:
        self._restore = ExitStack()

    def on_validation_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Begin."""
        encoders: Any = pl_module.encoders
        trace_free = leave_no_trace(encoders.values(), pl_module.device)
        self._restore.enter_context(trace_free)

    def on_validation_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Put everything back."""
        self._restore.close()

    def on_exception(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        exception: BaseException,
    ) -> None:
        """Put everything back."""
        self._restore.close()


EVALUATORS: Registry[type[Evaluator[Any]]] = Registry("memloc.evaluators")


def result_folder(evaluator: str) -> str:
    """Name of the folder for an evaluator's result, such as ``unit-mem``.

    Args:
        evaluator: The evaluator's name, such as ``unit_mem``.
    """
    return evaluator.replace("_", "-")
