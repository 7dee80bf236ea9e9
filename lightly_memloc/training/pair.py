"""Training the pair of encoders that LayerMem compares."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress, TaskID, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lightly_memloc.data import (
    MemorizationSplit,
    generators_restored,
    read_image,
    seed_generators,
    targets_of,
)
from lightly_memloc.errors import MemorizationError, UnreadableImageError
from lightly_memloc.training.backbones import make_backbone, num_features
from lightly_memloc.training.config import TrainingConfig
from lightly_memloc.training.methods import Method, method_class


@dataclass(frozen=True)
class TrainedEncoder:
    """An encoder after training.

    Attributes:
        method: The trained method with its backbone, in evaluation mode.
        losses: Mean loss of each epoch.
    """

    method: Method
    losses: list[float]

    @property
    def backbone(self) -> nn.Module:
        """The encoder."""
        return self.method.backbone


def train_pair(
    dataset: Any,
    split: MemorizationSplit,
    config: TrainingConfig,
    transform: Callable[[Any], Any] | None = None,
    device: str = "auto",
    callbacks: tuple[Sequence[pl.Callback], Sequence[pl.Callback]] = ((), ()),
) -> tuple[TrainedEncoder, TrainedEncoder]:
    """Train f on shared and candidate images, g on shared and independent ones.

    Both are trained with the same method and settings, from independent random
    streams: initialisation, order and augmentation differ.

    Args:
        dataset: Map-style data set of images without a transform of its own.
        split: The roles of its images.
        config: The settings.
        transform: The method's augmentation into views; made from the settings if
            None.
        device: ``"auto"`` or the name of a Lightning accelerator.
        callbacks: Lightning callbacks for the training of f, and for that of g.

    Returns:
        f and g.

    Raises:
        MemorizationError: If the split does not fit the data set, or has fewer images
            than one batch needs.
    """
    if split.n != len(dataset):
        raise MemorizationError(
            f"The split was made for {split.n} images, but the data set has "
            f"{len(dataset)}."
        )
    if transform is None:
        transform = make_transform(config)
    f, g = (
        train_encoder(
            dataset, indices, config, transform, stream, device, callbacks[stream]
        )
        for stream, indices in enumerate([split.trained_f, split.trained_g])
    )
    return f, g


def make_transform(config: TrainingConfig) -> Callable[[Any], Any]:
    """Make the augmentation that the settings describe."""
    return method_class(config.method).make_transform(
        input_size=config.input_size, **config.transform
    )


def train_encoder(
    dataset: Any,
    indices: NDArray[Any],
    config: TrainingConfig,
    transform: Callable[[Any], Any],
    stream: int,
    device: str = "auto",
    callbacks: Sequence[pl.Callback] = (),
) -> TrainedEncoder:
    """Train one encoder.

    Args:
        dataset: Map-style data set of images without a transform of its own.
        indices: The images to train on.
        config: The settings.
        transform: The method's augmentation into views.
        stream: Which of the seed's independent random streams to use: 0 for f, 1 for g.
        device: ``"auto"`` or the name of a Lightning accelerator.
        callbacks: Lightning callbacks.

    Raises:
        MemorizationError: If there are fewer than two images, or the settings name an
            unknown method or backbone.
    """
    if len(indices) < 2:
        raise MemorizationError(
            f"Cannot train on {len(indices)} images: the split leaves too few."
        )
    with generators_restored(), torch.random.fork_rng(), _quiet_lightning():
        torch.manual_seed(config.seed)
        seed_generators(config.seed, stream)
        backbone = make_backbone(config.backbone, config.input_size)
        method = method_class(config.method)(
            backbone,
            num_features(backbone, config.input_size),
            config.epochs,
            config.learning_rate,
            _num_classes(dataset),
        )
        loader: DataLoader[Any] = DataLoader(
            _TrainingViews(dataset, indices, transform),
            batch_size=min(config.batch_size, len(indices)),
            shuffle=True,
            drop_last=True,
            num_workers=config.num_workers,
            persistent_workers=config.num_workers > 0,
        )
        history = _History(f"Training {'fg'[stream]} ({config.method})")
        trainer = _trainer(config, device, [history, *callbacks])
        # Convolutions train up to 1.6 times as fast on CPUs with channels last.
        try:
            trainer.fit(method.to(memory_format=torch.channels_last), loader)
        except UnreadableImageError as error:
            # A worker's error comes with its traceback before its words.
            words = str(error).rpartition("UnreadableImageError: ")[2]
            raise UnreadableImageError(words.strip()) from None
    trained = method.eval().to("cpu").to(memory_format=torch.contiguous_format)
    return TrainedEncoder(trained, history.losses)


def _num_classes(dataset: Any) -> int:
    targets = targets_of(dataset)
    return 0 if targets is None else int(targets.max()) + 1


def _trainer(
    config: TrainingConfig, device: str, callbacks: list[pl.Callback]
) -> pl.Trainer:
    try:
        return pl.Trainer(
            accelerator=device,
            devices=1,
            max_epochs=config.epochs,
            precision=config.precision,  # type: ignore[arg-type]
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError) as error:
        raise MemorizationError(f"Lightning refuses the settings: {error}") from error


class _TrainingViews(Dataset[tuple[Any, Any, str]]):
    """lightly's ``(views, target, filename)`` of chosen images."""

    def __init__(
        self, dataset: Any, indices: NDArray[Any], transform: Callable[[Any], Any]
    ) -> None:
        self.dataset = dataset
        self.indices = indices
        self.transform = transform

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> tuple[Any, Any, str]:
        image, target, filename = read_image(self.dataset, int(self.indices[position]))
        return self.transform(image), target, filename


class _History(pl.Callback):
    """Mean loss per epoch, with a progress bar if there is a terminal."""

    def __init__(self, description: str) -> None:
        self.losses: list[float] = []
        self._batches: list[Tensor] = []
        console = Console(stderr=True)
        self._progress = Progress(
            *Progress.get_default_columns()[:-1],
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._description = description
        self._task = TaskID(0)

    def on_train_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        self._progress.start()
        self._task = self._progress.add_task(
            self._description, total=trainer.max_epochs
        )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._batches.append(outputs["loss"].detach())

    def on_train_epoch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        self.losses.append(float(torch.stack(self._batches).mean()))
        self._batches.clear()
        self._progress.advance(self._task)

    def teardown(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str
    ) -> None:
        self._progress.stop()


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's advice about devices, loggers and workers."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
