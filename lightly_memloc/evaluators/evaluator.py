"""Evaluators: measurements as LightningModules, run by themselves or by a Trainer."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
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

from lightly_memloc.data import (
    Contents,
    Duplicate,
    DuplicateSearch,
    Study,
    changed_images,
    described,
    filename_of,
)
from lightly_memloc.errors import (
    MemorizationError,
    MemorizationWarning,
    UnreadableImageError,
)
from lightly_memloc.evaluators.view_loader import ViewBatch, view_loader
from lightly_memloc.layers import CapturedLayer, captured, run_encoder, trace_layers
from lightly_memloc.results import Result
from lightly_memloc.runtime import (
    PassOptions,
    Registry,
    StateFile,
    deferred_interruption,
    digest,
    failing_together,
    gathered,
    is_interrupted,
    leave_no_trace,
    rank_and_world_size,
    reason,
    resolve_device,
    share_buffers,
    state_device,
    stop_if_interrupted,
    tracked,
    weights_fingerprint,
)

R = TypeVar("R", bound=Result)

# Pairs of duplicates that the settings of a result list.
_LISTED = 100

# No normalization of values from 0 to 1 comes near this.
_BRIGHT = 50


class Evaluator(pl.LightningModule, Generic[R]):
    """A measurement over the augmented views of images.

    :meth:`run` measures in one call. ``Trainer.validate(evaluator)`` does the same with
    Lightning's devices, precision and processes; the evaluator provides the data
    loader. Either way, each process measures its share of the images, and every process
    ends with the whole result in :attr:`result`. Encoders and random generators are
    restored to their original state.

    A subclass takes the arguments ``(model, study, reference=None, *, layers="auto",
    ...)``, its own options and those of :class:`PassOptions`. Callbacks and commands
    create it by its registered name.

    Args:
        encoders: The encoders by name. The layers of the first are measured in all.
        study: The images and their views.
        indices: Indices of the images to measure.
        layers: ``"auto"``, or names, globs or kinds of layers.
        options: How the pass over the images runs.
        anchored: Whether to prepend the unaugmented image to its views.

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
        for encoder in encoders.values():
            _refuse_no_encoder(encoder)
        self.encoders = nn.ModuleDict(encoders)
        # mypy would infer plain modules for its values.
        self.metrics: Any = nn.ModuleDict()
        self.study = study
        self.views = study.views(anchored=anchored)
        self.indices = indices
        self.patterns = layers
        self.options = options
        self.layers: list[CapturedLayer] = []
        # Encoders of another architecture than the first have layers of their own.
        self.own_layers: dict[str, list[CapturedLayer]] = {}
        # Encoders that run although they are not what is measured.
        self.added: list[str] = []
        self.skipped: list[str] = []
        self.duplicates: list[Duplicate] = []
        self.copies: dict[int, int] = {}
        self.first_batch = 0
        self._search, self._contents = self._new_search(), Contents(indices)
        self._weights: dict[str, str] = {}
        self._state_file = (
            None if options.state_file is None else StateFile(options.state_file)
        )
        self._ran_on = str(options.device)
        self._result: R | None = None

    @property
    def result(self) -> R:
        """The result of the last measurement.

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
            progress: Whether to show a progress bar on a terminal.

        Returns:
            The result over the images of all processes.

        Raises:
            MemorizationError: If the device does not exist, or the measurement fails in
                this or another process.
        """
        encoders = list(self.encoders.values())
        on = resolve_device(self.options.device, encoders[0])
        with (
            leave_no_trace(encoders, on),
            torch.inference_mode(),
            self.options.autocast(on),
        ):
            share_buffers(encoders)
            with failing_together(), deferred_interruption():
                loader = self.val_dataloader()
                batches: Iterable[ViewBatch] = loader
                if progress:
                    beside = f", and {len(self.added)} more" if self.added else ""
                    batches = tracked(loader, len(loader), self.title + beside)
                for number, batch in enumerate(batches):
                    self.validation_step(move_data_to_device(batch, on), number)
            return self._finish()

    def prepare(self, images: Tensor) -> None:
        """Prepare further encoders, before the metrics are created.

        Args:
            images: Views of the first batch.
        """

    @abstractmethod
    def make_metrics(self) -> dict[str, Metric | nn.ModuleList]:
        """Create the metrics. Called once the layers are known."""

    @abstractmethod
    def measure(self, batch: ViewBatch, images: Tensor) -> None:
        """Update the metrics with a batch of images.

        Args:
            batch: The batch of B images with V views each.
            images: The views, shape ``(B * V, C, H, W)``; those of an image are
                adjacent.
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
        """Run an encoder on a batch and pass on the output of each layer.

        Every layer must give exactly one output for every view; this is checked here.

        Args:
            name: The encoder's name.
            batch: The batch of B images with V views each.
            images: The views, shape ``(B * V, C, H, W)``; those of an image are
                adjacent.
            receive: Called with each layer and its output of shape ``(B, V, ...)`` as
                soon as the output exists.

        Raises:
            MemorizationError: If a layer does not run on the batch, runs more than
                once, or does not return one row per view.
        """
        ran: set[str] = set()
        layers = self.own_layers.get(name, self.layers)

        def hand_on(layer: CapturedLayer, output: Tensor) -> None:
            if layer.name in ran:
                raise self._uneven(layer, batch, "ran more than once")
            if len(output) != len(images):
                found = f"returned {len(output)} rows for {len(images)} views"
                raise self._uneven(layer, batch, found)
            ran.add(layer.name)
            receive(layer, output.reshape(len(batch.indices), -1, *output.shape[1:]))

        with captured(self.encoders[name], layers, hand_on):
            run_encoder(self.encoders[name], images, layers[0].entry)
        for layer in layers:
            if layer.name not in ran:
                raise self._uneven(layer, batch, "did not run")

    def _uneven(
        self, layer: CapturedLayer, batch: ViewBatch, found: str
    ) -> MemorizationError:
        image = self.filenames(batch.indices[:1].tolist())[0]
        return MemorizationError(
            f"Layer {layer.name} {found} on a batch with image {image}, unlike in the "
            "first batch. Every layer must run exactly once on each view: exclude this "
            "one with layers=..., or disable whatever routes images around it."
        )

    def identity(self) -> dict[str, Any]:
        """Return the options that must match to resume an interrupted measurement.

        The encoders, images, views, precision and batch size are compared as well.
        """
        return {"evaluator": type(self).__name__, "layers": self.patterns}

    def settings(self) -> dict[str, Any]:
        """Return the options, the device and the images left out."""
        layers, options = self.patterns, self.options.settings()
        if self._trainer is not None:
            options["precision"] = self.trainer.precision
        return {
            "layers": layers if isinstance(layers, str) else list(layers),
            "n_views": self.study.n_views,
            "seed": self.study.seed,
            "transform": described(self.study.transform),
            **options,
            "device": self._ran_on,
            "entry": self.layers[0].entry,
            "skipped": sorted(name for of in gathered(self.skipped) for name in of),
            "allow_duplicates": self.options.allow_duplicates,
            "duplicates": [pair.to_dict() for pair in self.duplicates[:_LISTED]],
            "fingerprints": {
                # As the encoders of a run are called, whatever they are called here.
                "weights": dict(zip("fg", self._weights.values(), strict=False)),
                "images": self._contents.fingerprint(),
                "split": self.study.split and self.study.roles.digest(),
            },
        }

    def accumulated(self) -> dict[str, Any]:
        """Return the state accumulated so far, in plain types and tensors."""
        return {
            "metrics": self.metrics.state_dict(),
            "skipped": self.skipped,
            "signatures": self._search.state(),
            "contents": self._contents.state(),
        }

    def restore(self, accumulated: dict[str, Any]) -> None:
        """Restore the state that :meth:`accumulated` returned, once metrics exist."""
        # Metrics take a state that lacks something without a word.
        lacking = self.metrics.state_dict().keys() - accumulated["metrics"].keys()
        if lacking:
            raise KeyError(min(lacking))
        self.metrics.load_state_dict(accumulated["metrics"])
        self.skipped = accumulated["skipped"]
        self._search.merge(accumulated["signatures"])
        self._contents.merge(accumulated["contents"])

    def reset(self) -> None:
        """Discard an earlier measurement: the encoder may have changed since."""
        self.layers, self.own_layers = [], {}
        self.skipped, self.first_batch = [], 0
        self.duplicates, self.copies, self._search = [], {}, self._new_search()
        self._contents = Contents(self.indices)
        self.metrics.clear()

    def val_dataloader(self) -> DataLoader[Any]:
        """Start a measurement and return the loader of this process's images.

        Raises:
            MemorizationError: If there are fewer images than processes, or the state
                file belongs to another measurement.
        """
        self.reset()
        _, n_ranks = rank_and_world_size()
        if len(self.indices) < n_ranks:
            raise MemorizationError(
                f"Cannot measure {len(self.indices)} images with {n_ranks} processes: "
                "each needs at least one."
            )
        # Before the first forward pass, which may change buffers.
        self._weights = self._weights_now()
        if self._state_file is not None:
            batches = {"batch_size": self.options.batch_size}
            self.first_batch = self._state_file.open(self.fingerprint() | batches)
            self._refuse_replaced(self._state_file)
        return view_loader(self.views, self.indices, self.options, self.first_batch)

    def configure_callbacks(self) -> list[Callback]:
        """Return the callback that restores encoders and generators afterwards."""
        return [_TraceFree()]

    def validation_step(self, batch: ViewBatch, batch_idx: int) -> None:
        """Measure a batch of images."""
        self._take(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Compute the result and log its scalars."""
        self._finish()
        self.log_dict(self.result.scalars(), sync_dist=True)

    def fingerprint(self) -> dict[str, Any]:
        """Return what must match for two measurements to have the same result."""
        try:
            first_views = [self.views[int(self.indices[0])][0]]
            first = self.views.signature and self.views.signature.digest
        except UnreadableImageError:
            first_views, first = [], None
        return {
            "settings": repr(self.identity()),
            "precision": self.options.precision,
            "seed": self.study.seed,
            "images": f"{digest([torch.tensor(self.indices)])} {first}",
            "views": digest(first_views),
            "weights": self._weights_now(),
        }

    def filenames(self, indices: Sequence[int]) -> list[str]:
        """Return the file names of images.

        Args:
            indices: Indices of the images.
        """
        return [filename_of(self.views.dataset, int(index)) for index in indices]

    def _weights_now(self) -> dict[str, str]:
        return {name: weights_fingerprint(of) for name, of in self.encoders.items()}

    def _refuse_replaced(self, state_file: StateFile) -> None:
        """Check that images measured before an interruption are still the same.

        Raises:
            MemorizationError: If any of them has changed.
        """
        if state_file.found is None:
            return
        before = Contents(self.indices)
        with state_file.restoring() as found:
            before.merge(found["contents"])
        changed = changed_images(
            self.views.dataset,
            before.known(),
            seed=self.study.seed,
            num_workers=self.options.num_workers,
        )
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise MemorizationError(
                f"{self.filenames(changed[:1])[0]}{more} changed since the interruption, "
                "after they were measured. Restore the images to resume, or delete "
                f"{state_file.path} to start over (on the command line: omit --resume)."
            )

    def _new_search(self) -> DuplicateSearch:
        measured = set(self.indices.tolist())
        role_of = {i: role for i, role in self.study.role_of().items() if i in measured}
        return DuplicateSearch(
            self.study.dataset, role_of, self.options.allow_duplicates
        )

    def _take(self, batch: ViewBatch, number: int) -> None:
        """Measure a batch of images; trace the layers on the first one."""
        if batch.unreadable and not self.options.skip_unreadable:
            raise UnreadableImageError(batch.unreadable[0].message)
        if batch.views is not None:
            images = batch.views.flatten(0, 1)
            if self.layers:
                self._keep(self.first_batch + number)
            else:
                self._begin(images)
            self._search.add(batch.indices.tolist(), batch.signatures)
            self._contents.add(batch.indices.cpu().numpy(), batch.signatures)
            self.measure(batch, images)
        self.skipped += [image.filename for image in batch.unreadable]

    def _finish(self) -> R:
        """Compute the result after the last batch."""
        if not self.layers:
            raise MemorizationError(
                "No image could be read. The first unreadable ones are "
                f"{', '.join(self.skipped[:3])}."
            )
        whole = self._new_search()
        whole.merge(*gathered(self._search.state()))
        self.duplicates, self.copies = whole.report(), whole.copies()
        self._contents.merge(*gathered(self._contents.state()))
        self._result = self.compute()
        if self._state_file is not None:
            self._state_file.remove()
        return self._result

    def _begin(self, images: Tensor) -> None:
        largest = float(images.abs().max())
        if largest > _BRIGHT:
            warnings.warn(
                f"Views have values of up to {largest:.0f}, as of images that were not "
                "scaled. Encoders are trained on values of about 0 to 1, or normalized "
                "ones: add ToTensor() and the training's normalization to the transform.",
                MemorizationWarning,
                stacklevel=2,
            )
        self._ran_on = images.device.type
        encoder = next(iter(self.encoders.values()))
        self.layers = self._trace(encoder, images[:2])
        self.prepare(images)
        self.metrics.update(self.make_metrics())
        for metric in self.metrics.modules():
            if isinstance(metric, Metric):
                metric.persistent(True)
        self.metrics.to(state_device(images.device))
        if self._state_file is not None and self._state_file.found is not None:
            with self._state_file.restoring() as found:
                self.restore(found)

    def _trace(self, encoder: nn.Module, images: Tensor) -> list[CapturedLayer]:
        try:
            return trace_layers(encoder, self.patterns, self.read, images)
        except (MemorizationError, torch.OutOfMemoryError):
            raise
        # Encoders fail with errors of any type on images that they do not take.
        except Exception as error:
            raise MemorizationError(
                f"{type(encoder).__name__} does not run on views of shape "
                f"{tuple(images.shape)} ({reason(error)}). Check the size and the "
                "channels that the transform gives."
            ) from error

    def _keep(self, batch: int) -> None:
        """Save the state before a batch: a resumed run starts with a readable one."""
        if self._state_file is not None:
            self._state_file.keep(batch, self.accumulated, at_once=is_interrupted())
        stop_if_interrupted()


def computed(metric: Metric) -> dict[str, NDArray[Any]]:
    """Compute a metric and convert its values to numpy arrays.

    Args:
        metric: A metric whose ``compute()`` returns a dict of tensors.
    """
    return {name: value.cpu().numpy() for name, value in metric.compute().items()}


def _refuse_no_encoder(encoder: Any) -> None:
    """Refuse what cannot be measured as an encoder.

    Raises:
        MemorizationError: If it is no module, or a scripted one.
    """
    if isinstance(encoder, torch.jit.ScriptModule):
        raise MemorizationError(
            "Expected a module of Python, got one of TorchScript, whose layers cannot be "
            "observed. Load its state_dict into the module that it was scripted from."
        )
    if not isinstance(encoder, nn.Module):
        advice = (
            " Load the state_dict into a module first, for example with load_encoder."
            if isinstance(encoder, Mapping)
            else ""
        )
        raise MemorizationError(
            f"Expected an encoder, a torch.nn.Module, got a {type(encoder).__name__}."
            f"{advice}"
        )


class _TraceFree(Callback):
    """Restore encoders and generators after a Trainer's measurement or its failure."""

    def __init__(self) -> None:
        self._restore = ExitStack()

    def on_validation_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Save the state of encoders and generators."""
        encoders: Any = pl_module.encoders
        trace_free = leave_no_trace(encoders.values(), pl_module.device)
        self._restore.enter_context(trace_free)

    def on_validation_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Restore the state of encoders and generators."""
        self._restore.close()

    def on_exception(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        exception: BaseException,
    ) -> None:
        """Restore the state of encoders and generators."""
        self._restore.close()


# Every evaluator is created with (model, study, reference, *, layers, **options).
EVALUATORS: Registry[Callable[..., Evaluator[Any]]] = Registry("memloc.evaluators")


def result_folder(evaluator: str) -> str:
    """Return the folder name of an evaluator's result, such as ``unit-mem``.

    Args:
        evaluator: The evaluator's name, such as ``unit_mem``.
    """
    return evaluator.replace("_", "-")
