"""What follows every training: seeding, losses, progress, checkpoints."""

import math
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from lightly_memloc.errors import DivergedError
from lightly_memloc.runtime import replacing
from lightly_memloc.training.training_data import Stream

_SECONDS_TO_NEXT_LINE = 30


class SeededSteps(pl.Callback):
    """Seed each epoch's training steps, so that random masks depend on the epoch alone.

    Args:
        stream: The random stream of the training.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def on_train_epoch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Seed the generators of all devices."""
        self._stream.seed_steps(trainer.current_epoch, trainer.global_rank)


class History(pl.Callback):
    """Record the mean loss of each epoch, and show progress and time left.

    Progress goes to standard error: a bar on a terminal; otherwise, as in the log of a
    job, a line at the end of an epoch, at most one every 30 seconds.

    Args:
        title: What is trained.

    Attributes:
        losses: Mean loss of each epoch, including those before a training was resumed.
    """

    def __init__(self, title: str) -> None:
        self.losses: list[float] = []
        self._batches: list[Tensor] = []
        self._title = title
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("epoch"),
            MofNCompleteColumn(separator=" of "),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            # Epochs may take longer than the default period of 30 seconds.
            speed_estimate_period=float("inf"),
            disable=not self._console.is_terminal,
        )
        self._task = TaskID(0)
        self._line_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the losses, for checkpoints of the training."""
        return {"losses": self.losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the losses of a training that is resumed."""
        self.losses = list(state_dict["losses"])

    def on_train_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Start to show progress."""
        self._task = self._progress.add_task(
            escape(self._title),
            total=trainer.max_epochs,
            completed=trainer.current_epoch,
            loss="",
        )
        if trainer.is_global_zero:
            self._progress.start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Record the loss of a batch."""
        self._batches.append(outputs["loss"].detach())

    def on_train_epoch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Record the mean loss of an epoch over all processes, and show progress.

        Raises:
            DivergedError: If the loss or a weight is not finite.
        """
        loss = torch.stack(self._batches).mean()
        self._batches.clear()
        self.losses.append(float(trainer.strategy.reduce(loss, reduce_op="mean")))
        self._refuse_divergence(trainer.current_epoch + 1, pl_module)
        self._progress.update(self._task, advance=1, loss=f"loss {self.losses[-1]:.3f}")
        if trainer.is_global_zero and not self._console.is_terminal:
            self._print_line()

    def _refuse_divergence(self, epoch: int, pl_module: pl.LightningModule) -> None:
        found = None
        if not math.isfinite(self.losses[-1]):
            found = f"its mean loss was {self.losses[-1]}"
        elif not all(of.isfinite().all() for of in pl_module.parameters()):
            found = "weights became NaN or infinite"
        if found is not None:
            raise DivergedError(f"{self._title} diverged in epoch {epoch}: {found}.")

    def teardown(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str
    ) -> None:
        """Remove the progress bar."""
        self._progress.stop()

    def on_exception(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        exception: BaseException,
    ) -> None:
        """Remove the progress bar; Lightning does not call teardown in this case."""
        self._progress.stop()

    def _print_line(self) -> None:
        if time.monotonic() < self._line_at + _SECONDS_TO_NEXT_LINE:
            return
        self._line_at = time.monotonic()
        task = self._progress.tasks[self._task]
        self._console.print(
            f"{escape(self._title)}: epoch {task.completed:.0f} of {task.total:.0f}, "
            f"{task.fields['loss']}, {TimeRemainingColumn().render(task)} left",
            soft_wrap=True,
        )


class EpochCheckpoint(Checkpoint):
    """Write the whole state of a training after each epoch and all other callbacks.

    The file is replaced atomically.

    Args:
        path: The checkpoint.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Write the checkpoint."""
        if not trainer.is_global_zero:
            # All processes take part; the first one writes.
            trainer.save_checkpoint(self._path)
            return
        with replacing(self._path) as partial:
            trainer.save_checkpoint(partial)
