"""Training the pair of encoders that LayerMem compares."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from torch import nn

from lightly_memloc.data import MemorizationSplit, targets_of
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
    shapes_of,
    trainer_device,
)
from lightly_memloc.training.backbones import make_backbone, num_features
from lightly_memloc.training.callbacks import EpochCheckpoint, History, SeededSteps
from lightly_memloc.training.config import TrainingConfig, make_transform
from lightly_memloc.training.methods import Method, method_class
from lightly_memloc.training.training_data import Stream, TrainingData


@dataclass(frozen=True)
class TrainedEncoder:
    """A trained encoder.

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
        """Write weights and losses; the file is replaced atomically."""
        document = {"state_dict": self.method.state_dict(), "losses": self.losses}
        # An open file fails as files do, and says whether the disk is full.
        with replacing(path) as partial, partial.open("wb") as file:
            torch.save(document, file)

    @classmethod
    def load(cls, path: Path, method: Method) -> "TrainedEncoder":
        """Read weights and losses.

        Raises:
            MemorizationError: If the file is damaged or belongs to another method.
        """
        document = _read(path, method)
        method.load_state_dict(document["state_dict"])
        return cls(method.eval(), document["losses"])


def train_pair(
    dataset: Any,
    split: MemorizationSplit,
    config: TrainingConfig,
    transform: Callable[[Any], Any] | None = None,
    *,
    device: str = "auto",
    callbacks: tuple[Sequence[pl.Callback], Sequence[pl.Callback]] = ((), ()),
    folder: str | PathLike[str] | None = None,
    title: str = "Training",
) -> tuple[TrainedEncoder, TrainedEncoder]:
    """Train f on shared and candidate images, g on shared and independent ones.

    Both are trained with the same method and settings. Initialisation, order and
    augmentation come from independent random streams, unless
    ``config.share_seeds`` is set.

    Args:
        dataset: Map-style data set of images without a transform.
        split: The roles of its images.
        config: The settings.
        transform: The method's augmentation into views; made from the settings if
            None. A transform with its own random generator is not seeded.
        device: ``"auto"`` or a torch device, such as ``"cuda:1"``.
        callbacks: Lightning callbacks for the training of f, and for that of g.
        folder: Where to write ``f.ckpt`` and ``g.ckpt``. The state of a training is
            saved there after each epoch: called again with the same arguments after an
            interruption, the training resumes and ends in the same weights. A trained
            encoder is loaded.
        title: What is trained, for the progress display.

    Returns:
        f and g.

    Raises:
        MemorizationError: If the split does not fit the data set or leaves too few
            images to train on, the settings name an unknown method or backbone or
            Lightning refuses them, or a file in the folder belongs to another training.
    """
    split.refuse_other(dataset)
    if transform is None:
        transform = make_transform(config)
    if folder is not None:
        Path(folder).mkdir(parents=True, exist_ok=True)
    f, g = (
        _train_encoder(
            dataset,
            indices,
            config,
            transform,
            stream=Stream(config.seed, 0 if config.share_seeds else number),
            title=f"{title} {name} ({config.method})",
            device=device,
            callbacks=callbacks[number],
            path=None if folder is None else Path(folder) / f"{name}.ckpt",
        )
        for number, (name, indices) in enumerate(
            [("f", split.trained_f), ("g", split.trained_g)]
        )
    )
    return f, g


def _train_encoder(
    dataset: Any,
    indices: NDArray[Any],
    config: TrainingConfig,
    transform: Callable[[Any], Any],
    *,
    stream: Stream,
    title: str,
    device: str,
    callbacks: Sequence[pl.Callback],
    path: Path | None,
) -> TrainedEncoder:
    """Train one encoder on the images of the indices, or resume its training.

    Beside ``path``, where the trained encoder is written, ``*.state.ckpt`` keeps the
    state of the training after each epoch.
    """
    seeding, history = SeededSteps(stream), History(title)
    following: list[pl.Callback] = [seeding, history, *callbacks]
    state = None if path is None else path.with_suffix(".state.ckpt")
    if state is not None:
        following.append(EpochCheckpoint(state))
    with generators_restored(), torch.random.fork_rng(), quiet_lightning():
        trainer = _trainer(config, device, following)
        if len(indices) < 2 * trainer.world_size:
            raise MemorizationError(
                f"Cannot train on {len(indices)} images: the split leaves too few. "
                f"Expected at least {2 * trainer.world_size}."
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
            # Statistics of the whole batch; torch implements this for CUDA only.
            sync_batchnorm=on["accelerator"] != "cpu" and torch.cuda.is_available(),
            use_distributed_sampler=False,
            # A training on one device is a process of its own, whatever started it: the
            # ranks of a sweep in a job are not its ranks.
            plugins=[LightningEnvironment()] if config.devices == 1 else None,
            logger=False,
            enable_checkpointing=any(isinstance(c, Checkpoint) for c in callbacks),
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError) as error:
        raise MemorizationError(f"Lightning refuses the settings: {error}") from error
    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        raise MemorizationError(
            f"The strategy {config.strategy!r} trains in processes that do not return "
            "their losses. Use 'ddp', or start the processes with torchrun."
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
        # The message of a worker's error starts with its traceback.
        words = str(error).rpartition("UnreadableImageError: ")[2]
        raise UnreadableImageError(words.strip()) from None


def _read(path: Path, method: Method) -> dict[str, Any]:
    """Read a checkpoint and check that its weights fit the method."""
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        found = shapes_of(document["state_dict"])
    # Files of other kinds can fail in any way.
    except Exception as error:
        raise MemorizationError(
            f"{path} cannot be read ({error}). Remove it to train again."
        ) from error
    if found != shapes_of(method.state_dict()):
        raise MemorizationError(
            f"{path} belongs to a training with other settings. Remove it to train again."
        )
    return dict(document)
