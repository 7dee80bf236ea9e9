"""Untrained copies of an encoder: its architecture, and nothing that it learned."""

from collections.abc import Callable, Iterable
from inspect import signature
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torchvision.ops import FrozenBatchNorm2d

from lightly_memloc.runtime.copies import copy_encoder
from lightly_memloc.runtime.generators import generators_restored, seed_generators

M = TypeVar("M", bound=nn.Module)


def untrained_copy(encoder: M, *entropy: int) -> M:
    """Copy an encoder with new initial weights.

    Modules initialise themselves with their ``reset_parameters``, and the encoder with
    its ``init_weights`` if it has this method, as those of timm do. A parameter that no
    module initialises, such as a class token, is drawn from a normal distribution with
    the mean and the standard deviation of the trained one.

    Args:
        encoder: The encoder, which is not changed.
        entropy: Non-negative integers that seed the weights.

    Returns:
        The copy, in evaluation mode.
    """
    copied = copy_encoder(encoder).eval()
    with generators_restored(), torch.no_grad():
        seed_generators(*entropy)
        for module in copied.modules():
            for parameter in module.parameters(recurse=False):
                deviation = parameter.std(correction=0).item()
                parameter.normal_(parameter.mean().item(), deviation)
            _reset(module)
        initialise = getattr(copied, "init_weights", None)
        if callable(initialise) and not _requires_arguments(initialise):
            initialise()
    return copied


def estimate_running_statistics(encoder: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of BatchNorm layers to those of given views.

    Args:
        encoder: The encoder, which is otherwise in evaluation mode.
        batches: Views of shape ``(N, C, H, W)``.
    """
    norms = [
        module
        for module in encoder.modules()
        if isinstance(module, _NormBase) and module.track_running_stats
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # None averages over all batches.
        norm.momentum = None
        norm.train()
    try:
        for views in batches:
            encoder(views)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def _reset(module: nn.Module) -> None:
    if isinstance(module, FrozenBatchNorm2d):
        for ones in (module.weight, module.running_var):
            ones.fill_(1)
        for zeros in (module.bias, module.running_mean):
            zeros.zero_()
    for name in ("reset_parameters", "_reset_parameters"):
        reset = getattr(module, name, None)
        if callable(reset) and not _requires_arguments(reset):
            reset()


def _requires_arguments(method: Callable[..., object]) -> bool:
    return any(
        parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        for parameter in signature(method).parameters.values()
    )
