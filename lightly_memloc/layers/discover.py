"""Discovery: the layers of any model, from its module tree."""

from dataclasses import replace

from torch import nn
from torch.nn.modules.conv import _ConvNd

from lightly_memloc.layers.layer import Layer, Site
from lightly_memloc.layers.module_types import (
    block_channel_dim,
    channel_dim,
    is_classifier,
    is_leaf,
    is_norm,
    is_pool,
    starts_stage,
)
from lightly_memloc.layers.residual import is_residual_block, residual_layers
from lightly_memloc.layers.transformer import is_transformer_block, transformer_layers


def discover_layers(model: nn.Module) -> list[Layer]:
    """Find the layers of a model, in the order in which they are defined.

    Blocks of ResNets and vision transformers are known. In all other modules a leaf
    with weights (a convolution, a linear layer) starts a stage; a trace settles which
    norm, activation and pooling modules follow it in the run. A custom module of
    several stages that holds no known block counts as a block itself, read at its
    output. Classifiers of torchvision, timm and lightly models are left out: they are
    no part of an encoder.
    """
    return _children_layers("", model)


def _children_layers(name: str, module: nn.Module) -> list[Layer]:
    layers: list[Layer] = []
    in_stage = False
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}".lstrip(".")
        if isinstance(child, nn.Identity) or is_classifier(module, child_name, child):
            continue
        if is_residual_block(child):
            layers += residual_layers(path, child)
            in_stage = False
        elif is_transformer_block(child):
            layers += transformer_layers(path, child)
            in_stage = False
        elif not is_leaf(child):
            layers += _container_layers(path, child)
            in_stage = False
        elif starts_stage(child):
            layers.append(stage_layer(path, child))
            in_stage = True
        elif (is_pool(child) or is_norm(child)) and not in_stage:
            kind = "pool" if is_pool(child) else "norm"
            state = Site(path, channel_dim=channel_dim(child), stage="end")
            layers.append(Layer(path, kind, state, None))
            in_stage = True
    return layers


def _container_layers(name: str, module: nn.Module) -> list[Layer]:
    layers = _children_layers(name, module)
    holds_weights = any(
        starts_stage(child) and not is_classifier(module, child_name, child)
        for child_name, child in module.named_children()
    )
    if isinstance(module, nn.Sequential) or not holds_weights:
        return layers
    output = Site(name, channel_dim=block_channel_dim(module))
    if len(layers) == 1:
        # The output has passed what the module does besides calling its children.
        return [replace(layers[0], state=Site(name))]
    if any(layer.kind in ("block", "mlp") for layer in layers):
        return layers
    return [*layers, Layer(name, "block", output, output)]


def stage_layer(name: str, module: nn.Module) -> Layer:
    """The layer that a leaf with weights starts."""
    kind = "conv" if isinstance(module, _ConvNd) else type(module).__name__.lower()
    return Layer(
        name,
        kind,
        Site(name, stage="end"),
        Site(name, channel_dim=channel_dim(module), stage="activation"),
    )
