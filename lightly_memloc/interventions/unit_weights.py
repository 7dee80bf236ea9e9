"""The weights that belong to single units of a layer."""

from collections.abc import Iterable, Sequence

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers import CapturedLayer, is_norm

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


def refuse_unfit_weights(layer: CapturedLayer, modules: Sequence[nn.Module]) -> None:
    """Check that the rows of weights can be changed and are the layer's units.

    Raises:
        MemorizationError: If they cannot or are not.
    """
    if any(is_parametrized(module) for module in modules):
        raise MemorizationError(
            f"The weights of {layer.name} are parametrized: remove the parametrization "
            "with torch.nn.utils.parametrize.remove_parametrizations."
        )
    weights = [getattr(module, "weight", None) for module in modules]
    if layer.site.side == "output" and any(
        weight is not None and len(weight) != layer.num_units for weight in weights
    ):
        raise MemorizationError(
            f"The units of {layer.name} are not the channels of its weights, because a "
            "later module rearranges them. Choose units of a module after it."
        )
