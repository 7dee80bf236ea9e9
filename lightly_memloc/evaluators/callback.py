"""The callback that measures memorisation during training."""

import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytorch_lightning as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn
from typing_extensions import Self, Unpack

from lightly_memloc.data import MemorizationSplit, Study
from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.evaluators.backbone import Backbone, FoundBackbone, find_backbone
from lightly_memloc.evaluators.evaluator import (
    EVALUATORS,
    Evaluator,
    result_folder,
)
from lightly_memloc.results import Result, plot_epochs
from lightly_memloc.runtime import (
    LoadingArguments,
    PassOptions,
    Registry,
    copy_encoder,
    load_encoder,
    rank_and_world_size,
    reason,
)


class StudyCallback(pl.Callback):
    """A callback that training commands can create by its registered name."""

    @classmethod
    @abstractmethod
    def from_study(cls, study: Study, folder: Path) -> Self:
        """Create the callback for a training run.

        Args:
            study: The training images and their roles.
            folder: Where results are written.
        """


CALLBACKS: Registry[type[StudyCallback]] = Registry("memloc.callbacks")


@CALLBACKS.register("memorization")
class MemorizationCallback(StudyCallback):
    """Measure memorisation every few epochs and at the end of training.

    Each measurement is a separate pass over the images, with frozen weights, in
    evaluation mode. It does not affect training: modes, buffers and random generators
    are restored, and the final weights are bit-identical to those of training without
    the callback. In a distributed run, each process measures its share of the images.

    The callback logs scalars for each layer (``unit_mem/<layer>``,
    ``member_share/<layer>``, ``layer_mem/<layer>``, ``symmetric/<layer>``, ...) through
    the module, so that loggers and other callbacks see them. If training ends before
    its last epoch, it logs them to the loggers directly. Loggers that accept figures
    get figures. Results are saved to ``<folder>/epoch=<epoch>/<evaluator>``, such as
    ``epoch=9/unit-mem``; read them with ``load_result``.

    When training starts, each evaluator measures two images of each role to detect
    errors early. If a later measurement fails, the callback warns and training
    continues.

    If a trainer has several of these callbacks, the first uses the names above. The
    names of the others start with the name of the encoder, as in
    ``student_backbone/unit_mem/<layer>``. A callback that would share its folder with
    an earlier one writes to a subfolder of that name.

    Args:
        dataset: The training images, without a transform.
        transform: The training augmentation: a view transform, or a lightly
            ``MultiViewTransform``, whose first view counts.
        indices: Training images to measure. By default, the split's candidates, or all
            images except the holdout.
        holdout: Images that the encoder is not trained on, for member share and gap:
            indices or a mask, or a data set, a folder or a list of images of their own.
            By default, the split's external images.
        reference: For LayerMem, member share and gap: an encoder of the same
            architecture that was trained on other images, or its checkpoint.
        split: The roles of the images, for LayerMem and the reference encoder. Without
            a reference encoder, the alignment gap is measured.
        backbone: The encoder's name in the LightningModule, or a function that returns
            it. By default, the first of ``backbone``, ``student_backbone``, ``vit`` and
            similar names that has trainable weights.
        layers: ``"auto"``, or names, globs or kinds of layers.
        every_n_epochs: Number of epochs between measurements.
        n_views: Views per image.
        seed: Random seed of the views, the resamples and the permutations.
        evaluators: Names of evaluators, including those registered by other packages.
            By default ``"unit_mem"``, and ``"layer_mem"`` if there is a split.
        folder: Where results are written; by default ``memorization`` in the trainer's
            log folder.
        on_error: Whether a measurement that fails during training issues a
            ``MemorizationWarning`` (``"warn"``) or stops training (``"raise"``).
        options: How the pass over the images runs: ``batch_size``, ``num_workers``,
            ``precision`` and ``skip_unreadable``, as in
            :class:`~lightly_memloc.runtime.PassOptions`.

    Raises:
        MemorizationError: If an evaluator is unknown, or there is a reference encoder
            without a split. At the start of training: if the encoder is not found, or
            an evaluator cannot measure two images of each role.

    Attributes:
        history: The results in the order of measurement, with ``epoch`` and ``step`` in
            their ``settings``. Results from before training was resumed are in the
            folder only.
        failures: The reason for each failed measurement, in order.

    Examples:
        >>> from lightly.transforms import SimCLRTransform
        >>> from lightly_memloc import MemorizationCallback
        >>> from lightly_memloc.data import Digits
        >>> callback = MemorizationCallback(
        ...     Digits(), SimCLRTransform(input_size=32), every_n_epochs=5
        ... )
        >>> # Trainer(callbacks=[callback]).fit(model, dataloader)
        >>> # callback.history_to_pandas()
    """

    def __init__(
        self,
        dataset: Any,
        transform: Callable[[Any], Any],
        indices: Sequence[int] | NDArray[Any] | None = None,
        holdout: Any = None,
        *,
        reference: nn.Module | str | PathLike[str] | None = None,
        split: MemorizationSplit | None = None,
        backbone: Backbone | None = None,
        layers: str | Sequence[str] = "auto",
        every_n_epochs: int = 10,
        n_views: int = 10,
        seed: int = 0,
        evaluators: Sequence[str] | None = None,
        folder: str | PathLike[str] | None = None,
        on_error: Literal["warn", "raise"] = "warn",
        **options: Unpack[LoadingArguments],
    ) -> None:
        if on_error not in ("warn", "raise"):
            raise MemorizationError(
                f"Expected on_error 'warn' or 'raise', got {on_error!r}."
            )
        if every_n_epochs < 1:
            raise MemorizationError(
                f"Expected every_n_epochs of at least 1, got {every_n_epochs}."
            )
        if reference is not None and split is None:
            raise MemorizationError(
                "A reference encoder needs a split, which defines the images that each "
                "encoder was trained on: pass split=..."
            )
        if evaluators is None:
            evaluators = ["unit_mem"] + (["layer_mem"] if split is not None else [])
        self.history: list[Result] = []
        self.failures: list[str] = []
        self._on_error = on_error
        self._evaluators = {name: EVALUATORS[name] for name in evaluators}
        self._every_n_epochs = every_n_epochs
        self._backbone = backbone
        self._reference = reference
        self._folder = folder
        self._scalars: list[dict[str, Any]] = []
        self._measured_step = -1
        self._label = ""
        self._results_folder = Path()
        self._layers = layers
        self._options = options
        self._batch_size = PassOptions(**options).batch_size
        # The encoder is known when training starts.
        self._encoder: nn.Module = nn.Identity()
        self._study = Study(
            dataset,
            transform,
            split,
            indices=indices,
            holdout=holdout,
            n_views=n_views,
            seed=seed,
        )

    @classmethod
    def from_study(cls, study: Study, folder: Path) -> Self:
        """Create the callback for a training run."""
        return cls(
            study.dataset,
            study.transform,
            study.members,
            study.non_members,
            split=study.split,
            n_views=study.n_views,
            seed=study.seed,
            folder=folder,
        )

    def history_to_pandas(self) -> pd.DataFrame:
        """Return one row per scalar: ``epoch``, ``step``, ``name``, ``value``.

        Measurements from before training was resumed are included.
        """
        return pd.DataFrame(self._scalars, columns=["epoch", "step", "name", "value"])

    def plot(self, ax: Axes | None = None) -> tuple[Figure, Axes]:
        """Plot the mean UnitMem of each layer over epochs.

        Args:
            ax: The matplotlib axes to draw on; by default those of a new figure.

        Returns:
            The figure and its axes.

        Raises:
            MemorizationError: If UnitMem has not been measured yet.
        """
        return plot_epochs(self.history, ax)

    @property
    def state_key(self) -> str:
        """Identifies the callback in the checkpoints of the training run."""
        return self._generate_state_key(
            evaluators=list(self._evaluators),
            layers=self._layers,
            backbone=getattr(self._backbone, "__qualname__", self._backbone),
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the measured scalars for the checkpoints of the training run."""
        return {"scalars": self._scalars}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the scalars when training is resumed."""
        self._scalars = list(state_dict["scalars"])

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the encoder and measure a few images, to fail early.

        Raises:
            MemorizationError: If the encoder is not found or cannot be measured.
        """
        self._measured_step = -1
        found = find_backbone(pl_module, self._backbone)
        self._encoder = found.module
        self._reference = self._load_reference(found)
        self._name_apart(trainer, found)
        for make in self._evaluators.values():
            self._evaluator(make, self._study, pl_module)
        self._try_out(pl_module, found)

    def on_train_epoch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Measure if the epoch is due."""
        epoch = trainer.current_epoch + 1
        if epoch % self._every_n_epochs == 0 or epoch == trainer.max_epochs:
            scalars = self._measure(trainer, pl_module, trainer.current_epoch)
            pl_module.log_dict(scalars, sync_dist=True)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measure if training ended before its last epoch."""
        if self._measured_step != trainer.global_step:
            # Lightning has already advanced to the next epoch.
            scalars = self._measure(trainer, pl_module, trainer.current_epoch - 1)
            for logger in trainer.loggers if scalars else []:
                logger.log_metrics(scalars, step=trainer.global_step)

    def _measure(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, epoch: int
    ) -> dict[str, float]:
        scalars: dict[str, float] = {}
        moment = {"epoch": epoch, "step": trainer.global_step}
        # A fast_dev_run measures as many batches as it trains on.
        n_batches = int(trainer.fast_dev_run)  # type: ignore[attr-defined]
        study = self._study
        if n_batches:
            study = study.trial(n_batches * self._batch_size // 2)
        for name, make in self._evaluators.items():
            try:
                evaluator = self._evaluator(make, study, pl_module)
                result = evaluator.run(progress=False)
                result = replace(result, settings={**result.settings, **moment})
                self.history.append(result)
                scalars |= result.scalars()
                if trainer.is_global_zero and not n_batches:
                    folder = self._results_folder / f"epoch={epoch}"
                    result.save(folder / result_folder(name))
                    self._show(trainer, result)
            except Exception as error:
                if self._on_error == "raise":
                    raise
                failure = f"{name} at epoch {epoch}: {reason(error)}"
                self.failures.append(failure)
                warnings.warn(
                    f"MemorizationCallback left out {failure}",
                    MemorizationWarning,
                    stacklevel=2,
                )
        self._scalars += [
            {**moment, "name": name, "value": value} for name, value in scalars.items()
        ]
        self._measured_step = trainer.global_step
        prefix = f"{self._label}/" if self._label else ""
        return {f"{prefix}{name}": value for name, value in scalars.items()}

    def _name_apart(self, trainer: pl.Trainer, found: FoundBackbone) -> None:
        """Choose names and a folder that no earlier callback of the trainer uses."""
        callbacks = [
            callback
            for callback in trainer.callbacks  # type: ignore[attr-defined]
            if isinstance(callback, MemorizationCallback)
        ]
        earlier = callbacks[: callbacks.index(self)]
        self._label = ""
        if earlier:
            labels = {callback._label for callback in earlier}
            name = found.name or "model"
            numbered = (f"{name}-{number}" for number in range(2, len(callbacks) + 2))
            self._label = next(of for of in (name, *numbered) if of not in labels)
        # All processes determine the log folder together.
        root = trainer.log_dir or trainer.default_root_dir
        self._results_folder = Path(self._folder or Path(root) / "memorization")
        folders = {callback._results_folder for callback in earlier}
        if self._results_folder in folders:
            self._results_folder /= self._label

    def _try_out(self, pl_module: pl.LightningModule, found: FoundBackbone) -> None:
        """Measure a few images of each role and discard the results."""
        for name, make in self._evaluators.items():
            evaluator = self._trial_of(make, pl_module)
            if evaluator is None:
                continue
            try:
                evaluator.run(progress=False)
            except Exception as error:
                is_known = isinstance(error, MemorizationError)
                if is_known and evaluator.skipped and not evaluator.layers:
                    # None of these few images is readable; others may be.
                    continue
                advice = "Check that the transform accepts the images of the data set."
                raise MemorizationError(
                    f"MemorizationCallback cannot measure {name} of {found.name!r}: a "
                    "trial on a few images failed. "
                    f"{reason(error)}{'' if is_known else f' {advice}'}"
                ) from error

    def _show(self, trainer: pl.Trainer, result: Result) -> None:
        """Log a result's figures to the loggers that accept figures."""
        for logger in trainer.loggers:
            experiment = getattr(logger, "experiment", None)
            add_figure = getattr(experiment, "add_figure", None)
            if add_figure is not None:
                for title, figure in result.figures().items():
                    tag = "/".join(filter(None, ("memorization", self._label, title)))
                    add_figure(tag, figure, trainer.global_step)

    def _load_reference(self, found: FoundBackbone) -> nn.Module | None:
        if self._reference is None or isinstance(self._reference, nn.Module):
            return self._reference
        encoder = copy_encoder(found.module).cpu()
        return load_encoder(encoder, self._reference, found.name)

    def _evaluator(
        self,
        make: Callable[..., Evaluator[Any]],
        study: Study,
        pl_module: pl.LightningModule,
    ) -> Evaluator[Any]:
        return make(
            self._encoder,
            study,
            self._reference,
            layers=self._layers,
            device=pl_module.device,
            **self._options,
        )

    def _trial_of(
        self, make: Callable[..., Evaluator[Any]], pl_module: pl.LightningModule
    ) -> Evaluator[Any] | None:
        """An evaluator of as few images as it accepts; None if a batch is too few.

        The evaluator has accepted the whole study. ClassMem, for example, may still
        refuse the first images of it because they belong to one class.
        """
        n_images = max(2, rank_and_world_size()[1])
        while n_images <= max(2, self._batch_size):
            try:
                study = self._study.trial(n_images)
                return self._evaluator(make, study, pl_module)
            except MemorizationError:
                n_images *= 2
        return None
