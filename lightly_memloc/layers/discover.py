"""Discovery: the layers of any model, from its module tree."""

from dataclasses import replace

from torch import nn
from torch.nn.modules.conv import _ConvNd

from lightly_memloc.layers.layer import Layer, Site
from lightly_memloc.layers.residual import is_residual_block, residual_layers
from lightly_memloc.layers.transformer import is_transformer_block, transformer_layers

_CLASSIFIERS = ("fc", "head", "heads", "head_dist", "classifier")


def discover_layers(model: nn.Module) -> list[Layer]:
    """Find the layers of a model, in the order in which they are defined.

    Blocks of ResNets and vision transformers are known. In all other modules a
    convolution or linear layer starts a stage, and the norm, activation, pooling and
    other modules without weights that follow it belong to it: its units are read after
    the activation, its state at the stage's end. A custom module of several stages that
    holds no known block counts as a block itself, read at its output. Classifiers of
    torchvision and timm models are left out: they are no part of an encoder.
    """
    return _children_layers("", model)


def _children_layers(name: str, module: nn.Module) -> list[Layer]:
    layers: list[Layer] = []
    stage: list[tuple[str, nn.Module]] = []
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}".lstrip(".")
        if isinstance(child, nn.Identity) or _is_classifier(module, child_name, child):
            continue
        if _is_known_block(child) or _has_children(child):
            layers += _stage_layers(stage) + _module_layers(path, child)
            stage = []
        elif stage and not _starts_stage(child):
            stage.append((path, child))
        else:
            layers += _stage_layers(stage)
            stage = [(path, child)]
    return layers + _stage_layers(stage)


def _module_layers(name: str, module: nn.Module) -> list[Layer]:
    if is_residual_block(module):
        return residual_layers(name, module)
    if is_transformer_block(module):
        return transformer_layers(name, module)
    layers = _children_layers(name, module)
    holds_weights = any(
        _starts_stage(child) and not _is_classifier(module, child_name, child)
        for child_name, child in module.named_children()
    )
    if isinstance(module, nn.Sequential) or not holds_weights:
        return layers
    output = Site(name)
    if len(layers) == 1:
        # The output has passed what the module does besides calling its children.
        return [replace(layers[0], state=output)]
    if any(layer.kind in ("block", "mlp") for layer in layers):
        return layers
    return [*layers, Layer(name, "block", output, output)]


def _stage_layers(stage: list[tuple[str, nn.Module]]) -> list[Layer]:
    """The layer that a run of leaf modules makes up; none if they hold no weights."""
    if not stage:
        return []
    name, first = stage[0]
    state = Site(stage[-1][0])
    if _is_pool(first):
        return [Layer(name, "pool", state, None)]
    if _is_norm(first):
        return [Layer(name, "norm", Site(name), None)]
    if not _starts_stage(first):
        return []
    units = [
        (path, module)
        for path, module in stage
        if module is first or _is_norm(module) or _is_activation(module)
    ]
    activations = [(path, module) for path, module in units if _is_activation(module)]
    read, reader = (activations or units)[-1]
    channel_dim = module_channel_dim(reader) or module_channel_dim(first)
    return [Layer(name, _stage_kind(first), state, Site(read, channel_dim=channel_dim))]


def module_channel_dim(module: nn.Module) -> int | None:
    """Dimension of the units in a module's output, where its type tells."""
    if isinstance(module, _ConvNd | nn.modules.batchnorm._NormBase):
        return 1
    # A subclass of LayerNorm may have its channels elsewhere.
    if isinstance(module, nn.Linear) or type(module) is nn.LayerNorm:
        return -1
    return None


def _stage_kind(module: nn.Module) -> str:
    if isinstance(module, _ConvNd):
        return "conv"
    return type(module).__name__.lower()


def _is_known_block(module: nn.Module) -> bool:
    return is_residual_block(module) or is_transformer_block(module)


def _has_children(module: nn.Module) -> bool:
    # MultiheadAttention does not call its only child.
    return not isinstance(module, nn.MultiheadAttention) and any(
        True for _ in module.children()
    )


def _starts_stage(module: nn.Module) -> bool:
    """Whether a leaf holds weights of its own, norms and activations aside."""
    return (
        not _has_children(module)
        and any(True for _ in module.parameters())
        and not _is_norm(module)
        and not _is_activation(module)
    )


def _is_norm(module: nn.Module) -> bool:
    return "norm" in type(module).__name__.lower()


def _is_pool(module: nn.Module) -> bool:
    return "pool" in type(module).__name__.lower()


def _is_activation(module: nn.Module) -> bool:
    return "activation" in type(module).__module__ and not isinstance(
        module, nn.MultiheadAttention
    )


def _is_classifier(parent: nn.Module, name: str, child: nn.Module) -> bool:
    return (
        type(parent).__module__.startswith(("torchvision.models", "timm."))
        and name in _CLASSIFIERS
        and isinstance(child, nn.Linear | nn.Sequential)
    )
