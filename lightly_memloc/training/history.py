"""How a training goes: its losses, and what a person sees of it."""

import time
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console
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

_SECONDS_TO_NEXT_LINE = 30


class History(pl.Callback):
    """Mean loss of each epoch, and the epochs' progress with the time left.

    A terminal gets a progress bar, anything else, such as the log of a job, a line at the
    end of an epoch, at most one in half a minute; both on standard error.

    Args:
        title: What is trained.

    Attributes:
        losses: Mean loss of each epoch, those before a training was resumed included.
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
            # Epochs may take longer than the half minute that counts by default.
            speed_estimate_period=float("inf"),
            disable=not self._console.is_terminal,
        )
        self._task = TaskID(0)
        self._line_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the losses, for the training's checkpoints."""
        return {"losses": self.losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the losses of a training that is resumed."""
        self.losses = list(state_dict["losses"])

    def on_train_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Begin to show the progress."""
        self._task = self._progress.add_task(
            self._title,
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
        """Take a batch's loss."""
        self._batches.append(outputs["loss"].detach())

    def on_train_epoch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> None:
        """Take an epoch's mean loss over all processes, and show the progress."""
        loss = torch.stack(self._batches).mean()
        self._batches.clear()
        self.losses.append(float(trainer.strategy.reduce(loss, reduce_op="mean")))
        self._progress.update(self._task, advance=1, loss=f"loss {self.losses[-1]:.3f}")
        if trainer.is_global_zero and not self._console.is_terminal:
            self._print_line()

    def teardown(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str
    ) -> None:
        """Take the progress bar away."""
        self._progress.stop()

    def on_exception(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        exception: BaseException,
    ) -> None:
        """Take the progress bar away; Lightning calls no teardown then."""
        self._progress.stop()

    def _print_line(self) -> None:
        if time.monotonic() < self._line_at + _SECONDS_TO_NEXT_LINE:
            return
        self._line_at = time.monotonic()
        task = self._progress.tasks[self._task]
        self._console.print(
            f"{self._title}: epoch {task.completed:.0f} of {task.total:.0f}, "
            f"{task.fields['loss']}, {TimeRemainingColumn().render(task)} left",
            soft_wrap=True,
        )
