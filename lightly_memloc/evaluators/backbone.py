"""Finding the backbone: the encoder inside the module that trains it."""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from lightly_memloc.errors import MemorizationError

# Names in lightly's examples and elsewhere. The first trainable one is chosen.
_NAMES = (
    "backbone",
    "student_backbone",
    "online_backbone",
    "anchor_backbone",
    "encoder",
    "online_encoder",
    "student",
    "vit",
    "model",
)

Backbone = str | Callable[[nn.Module], nn.Module]


class FoundBackbone(NamedTuple):
    """An encoder, and its dotted name in the module that trains it."""

    name: str
    module: nn.Module


def find_backbone(module: nn.Module, backbone: Backbone | None = None) -> FoundBackbone:
    """Find the encoder in a module that trains it, such as a LightningModule.

    Args:
        module: The module.
        backbone: The encoder's dotted name in the module, or a function that returns
            the encoder, given the module. By default, the first of ``backbone``,
            ``student_backbone``, ``encoder``, ``vit`` and similar names that has
            trainable weights.

    Raises:
        MemorizationError: If the encoder is not found.
    """
    children = ", ".join(name for name, _ in module.named_children()) or "none"
    advice = (
        f"{type(module).__name__} has {children}. Name the encoder, as in "
        "backbone='student_backbone', or pass a function that returns it."
    )
    if isinstance(backbone, str):
        try:
            return FoundBackbone(backbone, module.get_submodule(backbone))
        except AttributeError as error:
            raise MemorizationError(
                f"There is no module {backbone!r}: {advice}"
            ) from error
    if backbone is not None:
        found = backbone(module)
        names = {id(child): name for name, child in module.named_modules()}
        if not isinstance(found, nn.Module) or id(found) not in names:
            raise MemorizationError(
                f"The backbone function returned a {type(found).__name__}, which is not "
                f"a submodule of {type(module).__name__}."
            )
        return FoundBackbone(names[id(found)], found)
    for name in _NAMES:
        child = getattr(module, name, None)
        if isinstance(child, nn.Module) and any(
            parameter.requires_grad for parameter in child.parameters()
        ):
            return FoundBackbone(name, child)
    raise MemorizationError(f"Cannot identify the encoder: {advice}")
