"""The weights that a layer's units have for themselves."""

from collections.abc import Iterable, Sequence

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers import CapturedLayer, is_norm

_HOLDERS = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


def refuse_unknown_units(layer: CapturedLayer, units: Iterable[int]) -> None:
    """Refuse numbers that no unit of a layer has."""
    wrong = [unit for unit in units if not 0 <= unit < layer.num_units]
    if wrong:
        raise MemorizationError(
            f"Layer {layer.name} has units 0 to {layer.num_units - 1}, no {wrong[0]}."
        )


def holder_of(model: nn.Module, layer: CapturedLayer) -> nn.Module:
    """Return the module that a layer is named after.

    Raises:
        MemorizationError: If the layer is read before a module without weights.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    holder = modules.get(layer.name)
    if holder is None or (layer.site.side == "input" and not hasattr(holder, "weight")):
        raise MemorizationError(f"{layer.name} has no weights of its own.")
    return holder


def has_unit_rows(module: nn.Module) -> bool:
    """Whether the rows of a module's weight are units."""
    return isinstance(module, _HOLDERS)


def norms_of(model: nn.Module, layer: CapturedLayer) -> list[nn.Module]:
    """Return the norms that follow a layer's weights, before its units are read."""
    return [m for m in map(model.get_submodule, layer.stage) if is_norm(m)]


def refuse_unfit_weights(layer: CapturedLayer, modules: Sequence[nn.Module]) -> None:
    """Refuse weights whose rows cannot be changed, or are not the layer's units."""
    if any(is_parametrized(module) for module in modules):
        raise MemorizationError(f"The weights of {layer.name} are parametrized.")
    weights = [getattr(module, "weight", None) for module in modules]
    if layer.site.side == "output" and any(
        weight is not None and len(weight) != layer.num_units for weight in weights
    ):
        raise MemorizationError(
            f"The units of {layer.name} are not the channels of its weights: what "
            "follows rearranges them. Choose those of a module after it."
        )
