"""Finding the layers of a model: all of them, or those that are asked for."""

import difflib
from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers.discover import discover_layers
from lightly_memloc.layers.layer import Layer, Site
from lightly_memloc.layers.module_types import block_channel_dim, channel_dim


def find_layers(model: nn.Module, layers: str | Sequence[str] = "auto") -> list[Layer]:
    """Find the layers of a model.

    Args:
        model: Any module. Blocks of torchvision's and timm's ResNets and vision
            transformers, alone, in lightly's masked transformers or in an
            ``nn.Sequential``, give the layers the literature means; other modules are
            taken apart into stages.
        layers: ``"auto"`` for all layers, or names, globs (``"layer4.*"``) or kinds
            (``"attention"``). A name or glob that matches none of them is looked up
            among all modules of the model, which are then read at their outputs.

    Returns:
        Layers, each once: all of them in the order of their definition, others in that
        of the patterns. A measurement brings them into forward order.

    Raises:
        MemorizationError: If a name, glob or kind matches nothing, or the model has
            no layers.

    Examples:
        >>> from torchvision.models import resnet18
        >>> from lightly_memloc import find_layers
        >>> [layer.name for layer in find_layers(resnet18(), "layer4.1*")]
        ['layer4.1.conv1', 'layer4.1']
    """
    found = discover_layers(model)
    patterns = [layers] if isinstance(layers, str) else list(layers)
    if patterns == ["auto"]:
        if not found:
            raise MemorizationError(
                f"{type(model).__name__} has no layers with weights to measure. Name "
                "the modules to measure with layers=..."
            )
        return found
    if not patterns:
        raise MemorizationError("No layers were asked for; 'auto' stands for all.")
    chosen: dict[str, Layer] = {}
    for pattern in patterns:
        chosen |= {layer.name: layer for layer in _matching(model, found, pattern)}
    return list(chosen.values())


def _matching(model: nn.Module, found: list[Layer], pattern: str) -> list[Layer]:
    matches = [
        layer
        for layer in found
        if fnmatchcase(layer.name, pattern) or layer.kind == pattern
    ]
    modules = [
        Layer(name, type(module).__name__.lower(), site, site)
        for name, module in model.named_modules()
        if name and fnmatchcase(name, pattern)
        for site in [
            Site(name, channel_dim=channel_dim(module) or block_channel_dim(module))
        ]
    ]
    if matches or modules:
        return matches or modules
    names = [layer.name for layer in found]
    close = difflib.get_close_matches(pattern, names, n=3, cutoff=0.3) or names[:3]
    kinds = sorted({layer.kind for layer in found})
    raise MemorizationError(
        f"No layer of {type(model).__name__} matches {pattern!r}. Names such as "
        f"{', '.join(close)}, globs of names, and the kinds {', '.join(kinds)} are "
        "understood; `lightly-memloc layers` lists all of them."
    )
