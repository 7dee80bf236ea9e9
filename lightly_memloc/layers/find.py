"""Finding the layers of a model: all of them, or the requested ones."""

import difflib
import sys
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.conv import _ConvNd
from torchvision.models.vision_transformer import EncoderBlock

from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers.layer import (
    Layer,
    Site,
    block_channel_dim,
    channel_dim,
    is_classifier,
    is_leaf,
    is_norm,
    is_pool,
    starts_stage,
    type_name,
)

# timm is optional: a model contains its blocks only if it has been imported.
_TIMM_BLOCKS = {
    "timm.models.vision_transformer": "Block",
    "timm.models.beit": "Block",
    "timm.models.eva": "EvaBlock",
}


def find_layers(model: nn.Module, layers: str | Sequence[str] = "auto") -> list[Layer]:
    """Find the layers of a model.

    Blocks of torchvision's and timm's ResNets and vision transformers, alone, in
    lightly's masked transformers or in an ``nn.Sequential``, give the layers that the
    literature names. In other modules a leaf with weights (a convolution, a linear
    layer) starts a stage; the norm, activation and pooling modules that take its output
    belong to the stage. A custom module of several stages without a known block counts
    as a block itself, read at its output. The classifiers of torchvision, timm and
    lightly models are left out: they are not part of the encoder.

    Args:
        model: Any module.
        layers: ``"auto"`` for all layers, or names, globs (``"layer4.*"``) or kinds
            (``"attention"``). The name of a layer is not looked up as a kind. A name or
            glob that matches no layer is looked up among all modules of the model, which
            are then read at their outputs.

    Returns:
        Layers without repetitions: with ``"auto"`` in the order of their definition,
        otherwise in the order of the patterns. Measurements sort them into forward
        order.

    Raises:
        MemorizationError: If a name, glob or kind matches nothing, or the model has
            no layers.

    Examples:
        >>> from torchvision.models import resnet18
        >>> from lightly_memloc import find_layers
        >>> [layer.name for layer in find_layers(resnet18(), "layer4.1*")]
        ['layer4.1.conv1', 'layer4.1']
    """
    found = _children_layers("", model)
    patterns = [layers] if isinstance(layers, str) else list(layers)
    if patterns == ["auto"]:
        if not found:
            raise MemorizationError(
                f"{type(model).__name__} has no layers with weights to measure. Name "
                "the modules to measure with layers=..."
            )
        return found
    if not patterns:
        raise MemorizationError(
            "No layers were asked for: layers is empty. Use 'auto' for all layers."
        )
    chosen: dict[str, Layer] = {}
    for pattern in patterns:
        chosen |= {layer.name: layer for layer in _matching(model, found, pattern)}
    return list(chosen.values())


def _matching(model: nn.Module, found: list[Layer], pattern: str) -> list[Layer]:
    named = [layer for layer in found if layer.name == pattern]
    matches = named or [
        layer
        for layer in found
        if fnmatchcase(layer.name, pattern) or layer.kind == pattern
    ]
    modules = [
        Layer(name, type(module).__name__.lower(), site, site)
        for name, module in model.named_modules()
        if name and fnmatchcase(name, pattern)
        for site in [
            Site(name, channel_dim=channel_dim(module) or block_channel_dim(module))
        ]
    ]
    if matches or modules:
        return matches or modules
    names = [layer.name for layer in found]
    close = difflib.get_close_matches(pattern, names, n=3, cutoff=0.3) or names[:3]
    kinds = sorted({layer.kind for layer in found})
    raise MemorizationError(
        f"No layer of {type(model).__name__} matches {pattern!r}. Use names such as "
        f"{', '.join(close)}, globs of names, or the kinds {', '.join(kinds)}; "
        "`lightly-memloc layers` lists all layers."
    )


def _children_layers(name: str, module: nn.Module) -> list[Layer]:
    layers: list[Layer] = []
    in_stage = False
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}".lstrip(".")
        if isinstance(child, nn.Identity) or is_classifier(module, child_name, child):
            continue
        if _is_residual_block(child):
            layers += _residual_layers(path, child)
            in_stage = False
        elif _is_transformer_block(child):
            layers += _transformer_layers(path, child)
            in_stage = False
        elif not is_leaf(child):
            layers += _container_layers(path, child)
            in_stage = False
        elif starts_stage(child):
            layers.append(_stage_layer(path, child))
            in_stage = True
        elif (is_pool(child) or is_norm(child)) and not in_stage:
            kind = "pool" if is_pool(child) else "norm"
            state = Site(path, channel_dim=channel_dim(child), stage="end")
            layers.append(Layer(path, kind, state, None))
            in_stage = True
    return layers


def _container_layers(name: str, module: nn.Module) -> list[Layer]:
    layers = _children_layers(name, module)
    has_weights = any(
        starts_stage(child) and not is_classifier(module, child_name, child)
        for child_name, child in module.named_children()
    )
    if isinstance(module, nn.Sequential) or not has_weights:
        return layers
    output = Site(name, channel_dim=block_channel_dim(module))
    if len(layers) == 1:
        # The output includes what the module does besides calling its children.
        return [replace(layers[0], state=Site(name))]
    if any(layer.kind in ("block", "mlp") for layer in layers):
        return layers
    return [*layers, Layer(name, "block", output, output)]


def _stage_layer(name: str, module: nn.Module) -> Layer:
    """The layer of the stage that a leaf with weights starts."""
    kind = "conv" if isinstance(module, _ConvNd) else type_name(module).lower()
    return Layer(
        name,
        kind,
        Site(name, stage="end"),
        Site(name, channel_dim=channel_dim(module), stage="activation"),
    )


def _is_residual_block(module: nn.Module) -> bool:
    """Whether a module is a ResNet's basic or bottleneck block."""
    return type(module).__name__ in ("BasicBlock", "Bottleneck") and isinstance(
        getattr(module, "conv1", None), _ConvNd
    )


def _residual_layers(name: str, block: nn.Module) -> list[Layer]:
    """Layers of a residual block.

    Each convolution except the last starts a stage. The last one is read at the
    block's output, after the addition.
    """
    convolutions = [
        child for child in ("conv1", "conv2", "conv3") if hasattr(block, child)
    ]
    output = Site(name, channel_dim=1)
    return [
        *(
            Layer(
                f"{name}.{convolution}",
                "conv",
                Site(f"{name}.{convolution}", stage="end"),
                Site(f"{name}.{convolution}", channel_dim=1, stage="activation"),
            )
            for convolution in convolutions[:-1]
        ),
        Layer(name, "block", output, output),
    ]


def _is_transformer_block(module: nn.Module) -> bool:
    """Whether a module is a known pre-norm transformer block."""
    return isinstance(module, EncoderBlock) or any(
        isinstance(module, getattr(sys.modules[package], block))
        for package, block in _TIMM_BLOCKS.items()
        if package in sys.modules
    )


def _transformer_layers(name: str, block: nn.Module) -> list[Layer]:
    """Layers of a transformer block.

    Two states: the residual stream after attention, which is the input of the block's
    second norm, and after the MLP, the block's output. Three sets of units: attention's
    projection, the MLP's hidden units after their activation, which are the input of
    its second projection, and that projection.
    """
    if isinstance(block, EncoderBlock):
        attention, norm, hidden, projection = "self_attention", "ln_2", "mlp.0", "mlp.3"
        # MultiheadAttention uses its out_proj's weights without calling it.
        attention_units = Site(f"{name}.{attention}", channel_dim=-1)
        attention_projection = f"{name}.{attention}.out_proj"
    else:
        attention, norm, hidden, projection = "attn", "norm2", "mlp.fc1", "mlp.fc2"
        attention_projection = f"{name}.{attention}.proj"
        attention_units = Site(attention_projection, channel_dim=-1)
    after_attention = Site(f"{name}.{norm}", "input", channel_dim=-1)
    after_mlp = Site(name, channel_dim=-1)
    hidden_units = Site(f"{name}.{projection}", "input", channel_dim=-1)
    mlp_units = Site(f"{name}.{projection}", channel_dim=-1)
    return [
        Layer(attention_projection, "projection", None, attention_units),
        Layer(f"{name}.{attention}", "attention", after_attention, None),
        Layer(f"{name}.{hidden}", "hidden", None, hidden_units),
        Layer(f"{name}.{projection}", "projection", None, mlp_units),
        Layer(f"{name}.mlp", "mlp", after_mlp, None),
    ]
