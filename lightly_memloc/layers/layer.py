"""What a layer is, and what the type of a module says about its layers."""

from dataclasses import dataclass
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import is_parametrized

_CLASSIFIERS = ("fc", "head", "heads", "head_dist", "classifier", "linear")
_MODEL_PACKAGES = ("torchvision.models", "timm.", "lightly.models")


@dataclass(frozen=True)
class Site:
    """Where in the forward pass a tensor is read.

    Attributes:
        module: Dotted name of the module, as in ``model.named_modules()``.
        side: Whether the module's input or its output is read.
        call: Which of the module's calls in one forward pass, from 0; None reads every
            call, each as a layer of its own.
        channel_dim: Dimension of the units; None means the last dimension for token
            streams (three dimensions), and dimension 1 otherwise.
        stage: Whether the site moves along the norm, activation, pooling and other
            modules without weights that take the module's output in the forward pass:
            to the stage's ``"end"`` or to its last ``"activation"``. None if it stays.
    """

    module: str
    side: Literal["input", "output"] = "output"
    call: int | None = None
    channel_dim: int | None = None
    stage: Literal["end", "activation"] | None = None


@dataclass(frozen=True)
class Layer:
    """A named place in an encoder where memorisation can be measured.

    Attributes:
        name: Unique name: the dotted name of the module with the layer's weights, or
            of the block whose output it is.
        kind: ``"conv"``, ``"linear"``, ``"block"`` (a residual block), ``"attention"``
            and ``"mlp"`` (the two halves of a transformer block), ``"hidden"`` and
            ``"projection"`` (units of a transformer block), ``"norm"``, ``"pool"``, or
            the lower-case class name of a module that was chosen by its name.
        state: Where the state after the layer is read, for LayerMem; None if the
            layer has units only.
        units: Where its units are read, for UnitMem and ClassMem; None if it has a
            state only.
    """

    name: str
    kind: str
    state: Site | None
    units: Site | None


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is a single step of the forward pass.

    ``MultiheadAttention`` does not call its child; timm's norms contain their
    activation; a parametrized module contains what computes its weights.
    """
    return (
        isinstance(module, nn.MultiheadAttention)
        or is_norm(module)
        or not _has_children(module)
    )


def starts_stage(module: nn.Module) -> bool:
    """Whether a module is a leaf with weights, other than a norm or an activation."""
    return (
        is_leaf(module)
        and any(True for _ in module.parameters())
        and not is_norm(module)
        and not is_activation(module)
    )


def joins_stage(module: nn.Module) -> bool:
    """Whether a module belongs to the stage whose output it takes."""
    return is_leaf(module) and not starts_stage(module)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalization layer."""
    if isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm):
        return True
    return "norm" in type_name(module).lower() and not _has_children(module)


def type_name(module: nn.Module) -> str:
    """Return the name of a module's type, without what a parametrization makes of it."""
    of = type(module)
    return (
        of.__base__.__name__ if is_parametrized(module) and of.__base__ else of.__name__
    )


def _has_children(module: nn.Module) -> bool:
    return any(name != "parametrizations" for name, _ in module.named_children())


def is_pool(module: nn.Module) -> bool:
    """Whether a module pools over positions."""
    return "pool" in type(module).__name__.lower()


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation function."""
    return "activation" in type(module).__module__ and not isinstance(
        module, nn.MultiheadAttention
    )


def is_classifier(parent: nn.Module, name: str, child: nn.Module) -> bool:
    """Whether a module is the classifier of a torchvision, timm or lightly model."""
    return (
        type(parent).__module__.startswith(_MODEL_PACKAGES)
        and name in _CLASSIFIERS
        and isinstance(child, nn.Linear | nn.Sequential)
    )


def channel_dim(module: nn.Module) -> int | None:
    """Dimension of the units in a module's output, if its type determines it."""
    if isinstance(module, _ConvNd | _NormBase) or type(module).__name__.endswith("2d"):
        return 1
    if isinstance(module, nn.LayerNorm):
        # Over whole feature maps, its first dimension is that of the units.
        return -1 if len(module.normalized_shape) == 1 else 1
    if isinstance(module, nn.Linear):
        return -1
    return None


def block_channel_dim(block: nn.Module) -> int | None:
    """Dimension of the units in a block's output: the last if it has no convolution."""
    modules = list(block.modules())
    if any(isinstance(module, _ConvNd) for module in modules):
        return 1
    return -1 if any(isinstance(module, nn.Linear) for module in modules) else None
