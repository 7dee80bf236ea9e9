"""Measuring in one call: an evaluator run without a Trainer."""

import torch

from lightly_memloc.evaluators.device import resolve_device
from lightly_memloc.evaluators.evaluator import Evaluator, R
from lightly_memloc.evaluators.progress import tracked
from lightly_memloc.evaluators.trace_free import leave_no_trace


def measure(evaluator: Evaluator[R], device: str | torch.device) -> R:
    """Run an evaluator and return its result.

    Args:
        evaluator: The evaluator.
        device: ``"auto"`` or a torch device.

    Raises:
        MemorizationError: If torch has no such device.
    """
    encoders = list(evaluator.encoders.values())
    on = resolve_device(device, encoders[0])
    with leave_no_trace(encoders, on), torch.inference_mode():
        loader = evaluator.val_dataloader()
        for number, batch in enumerate(tracked(loader, len(loader), evaluator.title)):
            on_device = evaluator.transfer_batch_to_device(batch, on, 0)
            evaluator.validation_step(on_device, number)
        return evaluator.finish()
