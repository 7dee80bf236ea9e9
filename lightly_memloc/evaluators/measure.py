"""Measuring in one call: an evaluator run without a Trainer."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import distributed, nn

from lightly_memloc.evaluators.evaluator import Evaluator, R
from lightly_memloc.runtime import (
    leave_no_trace,
    rank_and_world_size,
    resolve_device,
    tracked,
)


def measure(
    evaluator: Evaluator[R],
    device: str | torch.device,
    *,
    progress: bool = True,
) -> R:
    """Run an evaluator and return its result.

    Args:
        evaluator: The evaluator.
        device: ``"auto"`` or a torch device.
        progress: Whether a terminal shows the progress.

    Raises:
        MemorizationError: If torch has no such device.
    """
    encoders = list(evaluator.encoders.values())
    on = resolve_device(device, encoders[0])
    with leave_no_trace(encoders, on), torch.inference_mode():
        _share_buffers(encoders)
        loader = evaluator.val_dataloader()
        batches: Iterable[Any] = loader
        if progress:
            batches = tracked(loader, len(loader), evaluator.title)
        for number, batch in enumerate(batches):
            on_device = evaluator.transfer_batch_to_device(batch, on, 0)
            evaluator.validation_step(on_device, number)
        return evaluator.finish()


def _share_buffers(encoders: list[nn.Module]) -> None:
    """Give all processes the first one's buffers.

    BatchNorm's statistics differ between the processes of a training.
    """
    if rank_and_world_size()[1] > 1:
        for encoder in encoders:
            for buffer in encoder.buffers():
                distributed.broadcast(buffer, src=0)
