"""Measuring without a trace: encoders and generators end as they began."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn

from lightly_memloc.runtime.generators import generators_restored


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
