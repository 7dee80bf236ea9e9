"""Evaluators: measurements as LightningModules, for Trainer.validate."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities import move_data_to_device
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import Metric

from lightly_memloc.data import Study, filename_of
from lightly_memloc.errors import MemorizationError, UnreadableImageError
from lightly_memloc.evaluators.view_loader import ViewBatch, view_loader
from lightly_memloc.layers import CapturedLayer, captured, run_encoder, trace_layers
from lightly_memloc.results import Result
from lightly_memloc.runtime import (
    PassOptions,
    Registry,
    StateFile,
    digest,
    fail_together,
    gathered,
    leave_no_trace,
    rank_and_world_size,
    resolve_device,
    share_buffers,
    state_device,
    tracked,
)

R = TypeVar("R", bound=Result)


class Evaluator(pl.LightningModule, Generic[R]):
    """A measurement over the views of images, in the manner of lightly's evaluators.

    :meth:`run` measures in one call. ``Trainer.validate(evaluator)`` does the same with
    Lightning's devices, precision and processes; the views come from the evaluator. In
    both cases each process takes its share of the images, and afterwards every process
    has the whole result in :attr:`result`. Encoders and generators end as they began.

    A subclass takes the arguments ``(model, study, reference=None, *, layers="auto",
    ...)``, with options of its own and those of :class:`PassOptions`, so that callbacks
    and commands can make it by its name.

    Args:
        encoders: The encoders by name; the first one's layers are measured in all.
        study: The images and their views.
        indices: The images to measure.
        layers: ``"auto"``, or names, globs or kinds of layers.
        options: How the pass over the images runs.
        anchored: Whether the image without augmentation comes before its views.

    Raises:
        MemorizationError: If there are too few views to compare.
    """

    title: ClassVar[str]
    read: ClassVar[Literal["state", "units"]]

    def __init__(
        self,
        encoders: dict[str, nn.Module],
        study: Study,
        indices: NDArray[np.int64],
        layers: str | Sequence[str],
        options: PassOptions,
        *,
        anchored: bool = False,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict(encoders)
        # mypy would take what it holds for plain modules.
        self.metrics: Any = nn.ModuleDict()
        self.study = study
        self.views = study.views(anchored=anchored)
        self.indices = indices
        self.patterns = layers
        self.options = options
        self.layers: list[CapturedLayer] = []
        self.skipped: list[str] = []
        self.first_batch = 0
        self._state_file = (
            None if options.state_file is None else StateFile(options.state_file)
        )
        self._ran_on = str(options.device)
        self._result: R | None = None

    @property
    def result(self) -> R:
        """The result, once measured.

        Raises:
            MemorizationError: If nothing has been measured yet.
        """
        if self._result is None:
            raise MemorizationError(
                "Nothing has been measured yet: call evaluator.run() or "
                "Trainer.validate(evaluator) first."
            )
        return self._result

    def run(self, *, progress: bool = True) -> R:
        """Measure, and return the result.

        Args:
            progress: Whether a terminal shows the progress.

        Raises:
            MemorizationError: If torch has no such device, or the measurement fails, in
                this or in another process.
        """
        encoders = list(self.encoders.values())
        on = resolve_device(self.options.device, encoders[0])
        failure: Exception | None = None
        with (
            leave_no_trace(encoders, on),
            torch.inference_mode(),
            self.options.autocast(on),
        ):
            share_buffers(encoders)
            try:
                loader = self.val_dataloader()
                batches: Iterable[ViewBatch] = loader
                if progress:
                    batches = tracked(loader, len(loader), self.title)
                for number, batch in enumerate(batches):
                    self._take(move_data_to_device(batch, on), number)
            except Exception as error:
                failure = error
            fail_together(failure)
            return self._finish()

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
            run_encoder(self.encoders[name], images, self.layers[0].entry)
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

    def identity(self) -> dict[str, Any]:
        """What an interrupted measurement must share to be resumed by this one.

        Encoders, images, views and batches are compared besides.
        """
        return {"evaluator": type(self).__name__, "layers": self.patterns}

    def settings(self) -> dict[str, Any]:
        """What the measurement was asked for, where it ran, and what it left out."""
        layers, options = self.patterns, self.options.settings()
        if self._trainer is not None:
            options["precision"] = self.trainer.precision
        return {
            "layers": layers if isinstance(layers, str) else list(layers),
            "n_views": self.study.n_views,
            "seed": self.study.seed,
            **options,
            "device": self._ran_on,
            "entry": self.layers[0].entry,
            "skipped": sorted(name for of in gathered(self.skipped) for name in of),
        }

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
        return view_loader(self.views, self.indices, self.options, self.first_batch)

    def configure_callbacks(self) -> list[Callback]:
        """Return the callback that leaves no trace of the measurement."""
        return [_TraceFree()]

    def validation_step(self, batch: ViewBatch, batch_idx: int) -> None:
        """Measure a batch of images."""
        self._take(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Make the result and log its scalars."""
        self._finish()
        self.log_dict(self.result.scalars(), sync_dist=True)

    def filenames(self, indices: Sequence[int]) -> list[str]:
        """File names of images."""
        return [filename_of(self.views.dataset, int(index)) for index in indices]

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
            "settings": repr(self.identity()),
            "precision": self.options.precision,
            "seed": self.study.seed,
            "batch_size": self.options.batch_size,
            "images": digest([torch.tensor(self.indices)]),
            "views": digest(first_views),
            "weights": digest(weights),
        }

    def _take(self, batch: ViewBatch, number: int) -> None:
        """Measure a batch of images, the first of which tells the layers."""
        if batch.unreadable and not self.options.skip_unreadable:
            raise UnreadableImageError(batch.unreadable[0].message)
        if batch.views is not None:
            images = batch.views.flatten(0, 1)
            if self.layers:
                self._keep(self.first_batch + number)
            else:
                self._begin(images)
            self.measure(batch, images)
        self.skipped += [image.filename for image in batch.unreadable]

    def _finish(self) -> R:
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

    def _begin(self, images: Tensor) -> None:
        self._ran_on = images.device.type
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


def computed(metric: Metric) -> dict[str, NDArray[Any]]:
    """Compute a metric of several values, as numpy arrays.

    Args:
        metric: A metric whose ``compute()`` returns tensors by name.
    """
    return {name: value.cpu().numpy() for name, value in metric.compute().items()}


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


# Made by (model, study, reference, *, layers, options), whatever the class.
EVALUATORS: Registry[Callable[..., Evaluator[Any]]] = Registry("memloc.evaluators")


def result_folder(evaluator: str) -> str:
    """Name of the folder for an evaluator's result, such as ``unit-mem``.

    Args:
        evaluator: The evaluator's name, such as ``unit_mem``.
    """
    return evaluator.replace("_", "-")
