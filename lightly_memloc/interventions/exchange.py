"""Exchanging layers between two encoders."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import refuse_different_architectures
from lightly_memloc.layers import example_images, shared_weights, weights_of
from lightly_memloc.runtime import copy_encoder


def exchange_layers(
    model: nn.Module,
    donor: nn.Module,
    layers: str | Sequence[str],
    example: Tensor | None = None,
) -> nn.Module:
    """Copy a model and replace some of its layers by those of another [0].

    Parameters and buffers of a layer are replaced, including those of its BatchNorm.
    Weights that the layer shares with other layers are replaced in these, too, with a
    warning.

    - [0]: Localizing Memorization, 2024, https://arxiv.org/abs/2409.19069

    Args:
        model: The model; it is not changed.
        donor: A model of the same architecture; it is not changed.
        layers: Names, globs or kinds of layers. A layer selects its segment of the
            forward pass, from the state after the previous layer to its own: a
            convolution with its norm, or the second half of a residual block with its
            shortcut. Names or globs of other modules (``"layer4"``) select all weights
            in them, ``"auto"`` selects the whole model.
        example: At least two images that the model accepts, shape ``(N, C, H, W)``;
            blank images of a common size by default.

    Returns:
        The new model, in evaluation mode.

    Raises:
        MemorizationError: If the models differ in architecture or in the weights that
            their layers share, a layer is not found, the model cannot be copied, or it
            accepts no images of a common size.

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
    _refuse_different_sharing(model, donor)
    mixed = copy_encoder(model).eval()
    images = example_images(mixed) if example is None else example
    with torch.no_grad():
        chosen = weights_of(mixed, layers, images)
    given = donor.state_dict()
    mixed.load_state_dict({name: given[name] for name in chosen}, strict=False)
    return mixed


def _refuse_different_sharing(model: nn.Module, donor: nn.Module) -> None:
    here, there = shared_weights(model), shared_weights(donor)
    for name in [*here, *there]:
        if here.get(name) != there.get(name):
            where, others = ("model", here) if name in here else ("donor", there)
            raise MemorizationError(
                f"{name} shares its memory with {', '.join(sorted(others[name]))} in the "
                f"{where}, but not in the other encoder: tie the same weights in both."
            )
