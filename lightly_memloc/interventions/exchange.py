"""Exchanging layers between two encoders."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from lightly_memloc.evaluators import refuse_different_architectures
from lightly_memloc.layers import example_images, weights_of


def exchange_layers(
    model: nn.Module,
    donor: nn.Module,
    layers: str | Sequence[str],
    example: Tensor | None = None,
) -> nn.Module:
    """Make a copy of a model with some of its layers taken from another [0].

    A layer's parameters and buffers are taken, so those of its BatchNorm included.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The model; stays as it is.
        donor: A model of the same architecture; stays as it is.
        layers: Names, globs or kinds of layers. A layer stands for its segment of the
            forward pass, from the state after the layer before to its own: a
            convolution with its norm, the second half of a residual block with its
            shortcut. Names or globs of other modules (``"layer4"``) stand for all that
            they hold, ``"auto"`` for the whole model.
        example: At least two images, as the model takes them; blank ones of a usual
            size by default.

    Returns:
        The new model, in evaluation mode.

    Raises:
        MemorizationError: If the models differ in architecture, a layer is not found,
            or the model takes no images of a usual size.

    Examples:
        >>> import torch
        >>> from torchvision.models import resnet18
        >>> from lightly_memloc import exchange_layers
        >>> model, donor = resnet18(), resnet18()
        >>> mixed = exchange_layers(model, donor, ["layer4"])
        >>> torch.equal(mixed.layer4[1].conv1.weight, donor.layer4[1].conv1.weight)
        True
        >>> torch.equal(mixed.layer3[1].conv1.weight, model.layer3[1].conv1.weight)
        True
    """
    refuse_different_architectures(model, donor)
    _refresh_masked(model)
    mixed = copy.deepcopy(model).eval()
    images = example_images(mixed) if example is None else example
    with torch.no_grad():
        chosen = weights_of(mixed, layers, images)
    given = donor.state_dict()
    mixed.load_state_dict({name: given[name] for name in chosen}, strict=False)
    return mixed


def _refresh_masked(model: nn.Module) -> None:
    """Mask pruned weights anew: one that a backward pass used cannot be copied."""
    with torch.no_grad():
        for module in model.modules():
            for hook in module._forward_pre_hooks.values():
                if isinstance(hook, prune.BasePruningMethod):
                    hook(module, None)
