"""The weights that belong to single units of a layer."""

from collections.abc import Iterable, Sequence

from torch import nn
from torch.nn.utils import prune

from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers import CapturedLayer, is_norm, other_users

_HOLDERS = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def refuse_unknown_units(layer: CapturedLayer, units: Iterable[int]) -> None:
    """Check that a layer has units with these numbers.

    Raises:
        MemorizationError: If a number is out of range.
    """
    wrong = [unit for unit in units if not 0 <= unit < layer.num_units]
    if wrong:
        raise MemorizationError(
            f"Layer {layer.name} has units 0 to {layer.num_units - 1}, got {wrong[0]}."
        )


def holder_of(model: nn.Module, layer: CapturedLayer) -> nn.Module:
    """Return the module that a layer is named after.

    Raises:
        MemorizationError: If the layer is read before a module without weights.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    holder = modules.get(layer.name)
    if holder is None or (layer.site.side == "input" and not hasattr(holder, "weight")):
        raise MemorizationError(
            f"{layer.name} does not have its own weights: choose units of another layer."
        )
    return holder


def has_unit_rows(module: nn.Module) -> bool:
    """Return whether each row of a module's weight belongs to one unit."""
    return isinstance(module, _HOLDERS)


def norms_of(model: nn.Module, layer: CapturedLayer) -> list[nn.Module]:
    """Return the norms between a layer's weights and the place its units are read."""
    return [m for m in map(model.get_submodule, layer.stage) if is_norm(m)]


def weights_are_own(model: nn.Module, module: nn.Module) -> bool:
    """Return whether a module's weight and bias are parameters that it alone uses.

    Others are computed by a parametrization or a hook, frozen in buffers, or shared with
    another module. The masks of pruned units do not count.

    Args:
        model: The model.
        module: A module in it.
    """
    held = [
        name for name in ("weight", "bias") if getattr(module, name, None) is not None
    ]
    masked = "_orig" if prune.is_pruned(module) else ""
    names = [
        f"{name}{masked}" if f"{name}{masked}" in module._parameters else name
        for name in held
    ]
    if any(name not in module._parameters for name in names):
        return False
    # An empty prefix is that of the model itself.
    prefix = next(f"{of}." for of, m in model.named_modules() if m is module).lstrip(
        "."
    )
    return not other_users(model, [f"{prefix}{name}" for name in names])


def refuse_rearranged(layer: CapturedLayer, modules: Sequence[nn.Module]) -> None:
    """Check that the rows of weights are the layer's units.

    Raises:
        MemorizationError: If they are not.
    """
    weights = [getattr(module, "weight", None) for module in modules]
    if layer.site.side == "output" and any(
        weight is not None and len(weight) != layer.num_units for weight in weights
    ):
        raise MemorizationError(
            f"The units of {layer.name} are not the channels of its weights, because a "
            "later module rearranges them. Choose units of a module after it."
        )
