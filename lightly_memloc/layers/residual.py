"""The layers of a residual block of torchvision or timm."""

from torch import nn

from lightly_memloc.layers.layer import Layer, Site


def is_residual_block(module: nn.Module) -> bool:
    """Whether the module is a ResNet's basic or bottleneck block."""
    return (
        type(module).__name__ in ("BasicBlock", "Bottleneck")
        and hasattr(module, "conv1")
        and (hasattr(module, "relu") or hasattr(module, "act1"))
    )


def residual_layers(name: str, block: nn.Module) -> list[Layer]:
    """Layers of a residual block.

    Each convolution but the last is read after its activation, the block after the
    addition. In torchvision all activations are calls of one module.
    """
    convolutions = [
        child for child in ("conv1", "conv2", "conv3") if hasattr(block, child)
    ]
    layers = []
    for call, convolution in enumerate(convolutions[:-1]):
        if hasattr(block, "relu"):
            site = Site(f"{name}.relu", call=call, channel_dim=1)
        else:
            site = Site(f"{name}.act{call + 1}", channel_dim=1)
        layers.append(Layer(f"{name}.{convolution}", "conv", site, site))
    output = Site(name, channel_dim=1)
    return [*layers, Layer(name, "block", output, output)]
