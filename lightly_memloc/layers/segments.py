"""The weights of a model by the layer that they belong to."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import Tensor, nn

from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers.capture import trace_layers
from lightly_memloc.layers.find import find_layers
from lightly_memloc.layers.traced_run import TracedRun


def segments(model: nn.Module, example: Tensor) -> dict[str, list[str]]:
    """Divide a model's weights among its layers, as LayerMem has them.

    The states after the layers cut the forward pass into segments. What runs in a
    segment, from the state before to the layer's own, belongs to the layer: a
    convolution with its norm, the second half of a residual block with its shortcut,
    the attention half of a transformer block with its norm. Weights of the model
    itself, such as a class token, belong to the first layer; what runs after the last
    state belongs to the last layer.

    Args:
        model: The model, in evaluation mode.
        example: At least two images, as the model takes them.

    Returns:
        Names of parameters and buffers, as in the model's ``state_dict``, by layer, in
        forward order. Each has one layer.

    Raises:
        MemorizationError: If the model has no layers.
    """
    layers = trace_layers(model, "auto", "state", example)
    begun = TracedRun(model, example).beginnings()
    # A module may have several names; it runs under the first.
    first: dict[nn.Module, str] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if first.setdefault(module, name) in begun:
            begun[name] = begun[first[module]]
    divided: dict[str, list[str]] = {layer.name: [] for layer in layers}
    for entry in model.state_dict():
        start = _beginning(entry, begun)
        after = (layer.name for layer in layers if layer.order > start)
        divided[next(after, layers[-1].name)].append(entry)
    return divided


def weights_of(
    model: nn.Module, layers: str | Sequence[str], example: Tensor
) -> list[str]:
    """Names of the parameters and buffers that belong to chosen layers.

    Args:
        model: The model, in evaluation mode.
        layers: Names, globs or kinds of layers, each of which stands for its segment;
            names or globs of other modules, which stand for all that they hold; or
            ``"auto"`` for the whole model.
        example: At least two images, as the model takes them.

    Raises:
        MemorizationError: If a name, glob or kind matches nothing, or modules without
            weights.
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
        held = _held(entries, modules)
        if not held:
            raise MemorizationError(f"{pattern!r} has no weights.")
        chosen.update(held)
    return [entry for entry in entries if entry in chosen]


def _matches(layer: str, kinds: dict[str, str], pattern: str) -> bool:
    # The later calls of a module go with it.
    module = layer.partition("#")[0]
    return (
        fnmatchcase(layer, pattern)
        or fnmatchcase(module, pattern)
        or kinds.get(module) == pattern
    )


def _beginning(entry: str, begun: dict[str, int]) -> int:
    """When the module of an entry began, or the one that it is part of."""
    module = entry
    while module := module.rpartition(".")[0]:
        if module in begun:
            return begun[module]
    return -1


def _held(entries: Iterable[str], modules: Sequence[str]) -> list[str]:
    prefixes = tuple(f"{module}." for module in modules)
    return [entry for entry in entries if entry.startswith(prefixes)]
