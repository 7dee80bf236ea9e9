"""Measuring without a trace: encoders and generators end as they began."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import nn

from lightly_memloc.data import generators_restored


@contextmanager
def leave_no_trace(models: Iterable[nn.Module], device: torch.device) -> Iterator[None]:
    """Put encoders into evaluation mode on a device, and everything back afterwards.

    Restored are each module's mode, the buffers, the device of parameters and buffers,
    and the states of torch's, numpy's and random's generators.

    Args:
        models: The encoders.
        device: Where they are measured.
    """
    with ExitStack() as restore:
        if device.type == "cuda":
            restore.enter_context(torch.random.fork_rng(devices=[device]))
        restore.enter_context(generators_restored())
        for model in models:
            restore.enter_context(_evaluated(model, device))
        yield


class TraceFree(Callback):
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


@contextmanager
def _evaluated(model: nn.Module, device: torch.device) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    home = next((p.device for p in model.parameters()), torch.device("cpu"))
    try:
        model.eval().to(device)
        yield
    finally:
        model.to(home)
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
