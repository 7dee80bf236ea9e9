"""What a module is to the layers of a model, by its type."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

_CLASSIFIERS = ("fc", "head", "heads", "head_dist", "classifier", "linear")
_MODEL_PACKAGES = ("torchvision.models", "timm.", "lightly.models")


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is one step.

    MultiheadAttention calls no child; timm's norms hold their activation.
    """
    return (
        isinstance(module, nn.MultiheadAttention)
        or is_norm(module)
        or not any(True for _ in module.children())
    )


def starts_stage(module: nn.Module) -> bool:
    """Whether a leaf holds weights of its own, norms and activations aside."""
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
    """Whether a module normalizes."""
    if isinstance(module, _NormBase | nn.LayerNorm | nn.GroupNorm):
        return True
    has_children = any(True for _ in module.children())
    return "norm" in type(module).__name__.lower() and not has_children


def is_pool(module: nn.Module) -> bool:
    """Whether a module pools positions."""
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
    """Dimension of the units in a module's output, where its type tells."""
    if isinstance(module, _ConvNd | _NormBase) or type(module).__name__.endswith("2d"):
        return 1
    if isinstance(module, nn.Linear | nn.LayerNorm):
        return -1
    return None


def block_channel_dim(block: nn.Module) -> int | None:
    """Dimension of the units in a block's output: the last if it has no convolution."""
    modules = list(block.modules())
    if any(isinstance(module, _ConvNd) for module in modules):
        return 1
    return -1 if any(isinstance(module, nn.Linear) for module in modules) else None
