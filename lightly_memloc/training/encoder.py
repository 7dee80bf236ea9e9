"""Training one encoder."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from torch import nn

from lightly_memloc.data import targets_of
from lightly_memloc.errors import (
    MemorizationError,
    MemorizationWarning,
    UnreadableImageError,
)
from lightly_memloc.runtime import (
    generators_restored,
    lacks_bfloat16,
    quiet_lightning,
    replacing,
    trainer_device,
)
from lightly_memloc.training.backbones import make_backbone, num_features
from lightly_memloc.training.config import TrainingConfig
from lightly_memloc.training.epoch_checkpoint import EpochCheckpoint
from lightly_memloc.training.history import History
from lightly_memloc.training.methods import Method, method_class
from lightly_memloc.training.stream import Stream
from lightly_memloc.training.training_data import TrainingData


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

    def save(self, path: Path) -> None:
        """Write weights and losses; the file appears whole or not at all."""
        document = {"state_dict": self.method.state_dict(), "losses": self.losses}
        with replacing(path) as partial:
            torch.save(document, partial)

    @classmethod
    def load(cls, path: Path, method: Method) -> "TrainedEncoder":
        """Read weights and losses.

        Raises:
            MemorizationError: If the file is broken, or not that of such a method.
        """
        document = _read(path, method)
        method.load_state_dict(document["state_dict"])
        return cls(method.eval(), document["losses"])


def train_encoder(
    dataset: Any,
    indices: NDArray[Any],
    config: TrainingConfig,
    transform: Callable[[Any], Any],
    stream: Stream,
    title: str,
    device: str = "auto",
    callbacks: Sequence[pl.Callback] = (),
    path: Path | None = None,
) -> TrainedEncoder:
    """Train one encoder, or go on with its training.

    Args:
        dataset: Map-style data set of images without a transform of its own.
        indices: The images to train on.
        config: The settings.
        transform: The method's augmentation into views.
        stream: The random stream of initialisation, order and augmentation.
        title: What is trained, as the progress shows it.
        device: ``"auto"`` or a torch device, such as ``"cuda:1"``.
        callbacks: Lightning callbacks.
        path: Where the encoder is written when it is trained. From epoch to epoch the
            training's state is kept beside it. What is there already of either is
            gone on with.

    Raises:
        MemorizationError: If there are fewer than two images, the settings name an
            unknown method or backbone, Lightning refuses them, or a file that is there
            is that of another training.
    """
    seeding, history = _SeededSteps(stream), History(title)
    following: list[pl.Callback] = [seeding, history, *callbacks]
    state = None if path is None else path.with_suffix(".state.ckpt")
    if state is not None:
        following.append(EpochCheckpoint(state))
    with generators_restored(), torch.random.fork_rng(), quiet_lightning():
        trainer = _trainer(config, device, following)
        if len(indices) < 2 * trainer.world_size:
            raise MemorizationError(
                f"Cannot train on {len(indices)} images: the split leaves too few."
            )
        stream.seed_weights()
        method = _make_method(config, dataset)
        if path is not None and state is not None and path.is_file():
            state.unlink(missing_ok=True)
            return TrainedEncoder.load(path, method)
        data = TrainingData(dataset, indices, transform, config, stream)
        # Convolutions train up to 1.6 times as fast on CPUs with channels last.
        _fit(trainer, method.to(memory_format=torch.channels_last), data, state)
        trained = TrainedEncoder(
            method.eval().to("cpu").to(memory_format=torch.contiguous_format),
            history.losses,
        )
        if path is not None and state is not None and trainer.is_global_zero:
            trained.save(path)
            state.unlink()
        trainer.strategy.barrier()
    return trained


def _make_method(config: TrainingConfig, dataset: Any) -> Method:
    method = method_class(config.method)
    backbone = make_backbone(config.backbone, config.input_size)
    return method(
        backbone,
        num_features(backbone, config.input_size),
        config.epochs,
        config.learning_rate,
        _num_classes(dataset),
    )


def _num_classes(dataset: Any) -> int:
    targets = targets_of(dataset)
    return 0 if targets is None else int(targets.max()) + 1


def _trainer(
    config: TrainingConfig, device: str, callbacks: list[pl.Callback]
) -> pl.Trainer:
    on = trainer_device(device, config.devices)
    if config.precision.startswith("bf16") and lacks_bfloat16(device):
        warnings.warn(
            f"Precision {config.precision!r} on a processor without bfloat16 units can "
            "be 20 times slower than float32. Train without --amp "
            "(precision='32-true'), or on a GPU.",
            MemorizationWarning,
            stacklevel=2,
        )
    try:
        trainer = pl.Trainer(
            **on,
            strategy=config.strategy,
            max_epochs=config.epochs,
            precision=config.precision,  # type: ignore[arg-type]
            callbacks=callbacks,
            # Statistics of the whole batch; torch has this for CUDA alone.
            sync_batchnorm=on["accelerator"] != "cpu" and torch.cuda.is_available(),
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError) as error:
        raise MemorizationError(f"Lightning refuses the settings: {error}") from error
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise MemorizationError(
            f"The strategy {config.strategy!r} trains in processes whose losses do not "
            "come back. Choose 'ddp', or start the processes with torchrun."
        )
    return trainer


def _fit(
    trainer: pl.Trainer, method: Method, data: TrainingData, state: Path | None
) -> None:
    if state is None or not state.is_file():
        state = None
    else:
        _read(state, method)
    try:
        trainer.fit(method, datamodule=data, ckpt_path=state, weights_only=True)
    except UnreadableImageError as error:
        # A worker's error comes with its traceback before its words.
        words = str(error).rpartition("UnreadableImageError: ")[2]
        raise UnreadableImageError(words.strip()) from None


def _read(path: Path, method: Method) -> dict[str, Any]:
    """Read a file of the training, if it is that of such a method."""
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        found = {name: value.shape for name, value in document["state_dict"].items()}
    # What is no checkpoint can fail in any way.
    except Exception as error:
        raise MemorizationError(
            f"{path} cannot be read ({error}). Remove it to train again."
        ) from error
    expected = {name: value.shape for name, value in method.state_dict().items()}
    if found != expected:
        raise MemorizationError(
            f"{path} is that of a training with other settings. Remove it to train again."
        )
    return dict(document)


class _SeededSteps(pl.Callback):
    """Make what an epoch's steps draw, such as masks, a function of the epoch."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def on_train_epoch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        self._stream.seed_steps(trainer.current_epoch, trainer.global_rank)
