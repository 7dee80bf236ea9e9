"""The weights of a model, divided among its layers."""

import warnings
from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.layers.capture import trace_layers
from lightly_memloc.layers.find import find_layers
from lightly_memloc.layers.shared_weights import other_users, shared_weights
from lightly_memloc.layers.trace import Trace

# The smallest first: it costs least.
_SIZES = (16, 28, 32, 64, 96, 128, 224, 256, 384, 512)


def segments(model: nn.Module, example: Tensor) -> dict[str, list[str]]:
    """Divide a model's weights among the layers that LayerMem measures.

    The states after the layers cut the forward pass into segments. The modules that run
    in a segment, from the previous state to the layer's own, belong to the layer: a
    convolution with its norm, the second half of a residual block with its shortcut,
    the attention half of a transformer block with its norm. Weights of the model
    itself, such as a class token, belong to the first layer; modules that run after the
    last state belong to the last layer.

    Args:
        model: The model, in evaluation mode.
        example: At least two images, as the model takes them.

    Returns:
        Names of parameters and buffers, as in the model's ``state_dict``, by layer, in
        forward order. Each belongs to exactly one layer.

    Raises:
        MemorizationError: If the model has no layers.
    """
    layers = trace_layers(model, "auto", "state", example)
    started = Trace(model, example).starts()
    # A module may have several names; it runs under the first.
    first: dict[nn.Module, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if first.setdefault(module, name) in started:
            started[name] = started[first[module]]
    divided: dict[str, list[str]] = {layer.name: [] for layer in layers}
    for entry in model.state_dict():
        start = _start(entry, started)
        after = (layer.name for layer in layers if layer.order > start)
        divided[next(after, layers[-1].name)].append(entry)
    return divided


def weights_of(
    model: nn.Module, layers: str | Sequence[str], example: Tensor
) -> list[str]:
    """Names of the parameters and buffers that belong to selected layers.

    Args:
        model: The model, in evaluation mode.
        layers: Names, globs or kinds of layers, each of which selects its segment;
            names or globs of other modules, which select all of their weights; or
            ``"auto"`` for the whole model.
        example: At least two images, as the model takes them.

    Raises:
        MemorizationError: If a name, glob or kind matches nothing, or modules without
            weights.

    Warns:
        MemorizationWarning: If the layers share weights with others, which then belong
            to the selection.
    """
    entries = list(model.state_dict())
    patterns = [layers] if isinstance(layers, str) else list(layers)
    if patterns == ["auto"]:
        return entries
    divided = segments(model, example)
    kinds = {layer.name: layer.kind for layer in find_layers(model)}
    chosen: set[str] = set()
    for pattern in patterns:
        matching = [name for name in divided if _matches(name, kinds, pattern)]
        if matching:
            chosen.update(entry for name in matching for entry in divided[name])
            continue
        modules = [layer.name for layer in find_layers(model, pattern)]
        prefixes = tuple(f"{module}." for module in modules)
        owned = [entry for entry in entries if entry.startswith(prefixes)]
        if not owned:
            raise MemorizationError(
                f"{pattern!r} has no weights. Name a layer or module that has some."
            )
        chosen.update(owned)
    others = other_users(model, chosen)
    if others:
        message = (
            f"The weights of {', '.join(patterns)} are also those of "
            f"{', '.join(sorted(others))}: both are selected."
        )
        warnings.warn(message, MemorizationWarning, stacklevel=3)
    shared = shared_weights(model)
    chosen |= {other for entry in chosen for other in shared.get(entry, ())}
    return [entry for entry in entries if entry in chosen]


def example_images(model: nn.Module) -> Tensor:
    """Make two blank images of a size that a model takes.

    Args:
        model: The model, in evaluation mode.

    Raises:
        MemorizationError: If the model takes none of the usual sizes.
    """
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    channels = convolutions[0].in_channels if convolutions else 3
    floating = [p.dtype for p in model.parameters() if p.is_floating_point()]
    dtype = floating[0] if floating else None
    reason = ""
    for size in _SIZES:
        shape = (2, channels, size, size)
        images = torch.zeros(shape, dtype=dtype, device=device_of(model))
        try:
            with torch.inference_mode():
                Trace(model, images)
        # Models raise errors of any type for sizes that they do not take.
        except Exception as error:
            reason = str(error)
            continue
        return images
    raise MemorizationError(
        f"{type(model).__name__} takes no images of {_SIZES[0]} to {_SIZES[-1]} pixels "
        f"({reason}). Give two images that it takes with example=..."
    )


def device_of(model: nn.Module) -> torch.device:
    """Device of a model's weights; the CPU if it has none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _matches(layer: str, kinds: dict[str, str], pattern: str) -> bool:
    # Later calls of a module share its weights.
    module = layer.partition("#")[0]
    return (
        fnmatchcase(layer, pattern)
        or fnmatchcase(module, pattern)
        or kinds.get(module) == pattern
    )


def _start(entry: str, started: dict[str, int]) -> int:
    """When the module of an entry started, or else the one that contains it."""
    module = entry
    while module := module.rpartition(".")[0]:
        if module in started:
            return started[module]
    return -1
