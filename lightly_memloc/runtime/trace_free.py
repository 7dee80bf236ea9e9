"""Measuring without side effects on encoders and random generators."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from lightly_memloc.runtime.generators import generators_restored


@contextmanager
def leave_no_trace(models: Iterable[nn.Module], device: torch.device) -> Iterator[None]:
    """Set encoders to evaluation mode on a device, and restore all state on exit.

    Restores the mode of each module, the buffers, the device of parameters and buffers,
    and the states of the random generators of torch, numpy and random.

    Args:
        models: The encoders.
        device: The device to measure on.
    """
    with ExitStack() as restore:
        if device.type == "cuda":
            restore.enter_context(torch.random.fork_rng(devices=[device]))
        restore.enter_context(generators_restored())
        for model in models:
            restore.enter_context(_evaluated(model, device))
        yield


@contextmanager
def _evaluated(model: nn.Module, device: torch.device) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    home = next((p.device for p in model.parameters()), torch.device("cpu"))
    try:
        model.eval().to(device)
        yield
    finally:
        model.to(home)
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for module, name, buffer, before in buffers:
                buffer.copy_(before)
                # A move to another device replaces buffers.
                setattr(module, name, buffer)
