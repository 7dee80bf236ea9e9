"""The layers of a ResNet's residual block."""

from torch import nn
from torch.nn.modules.conv import _ConvNd

from lightly_memloc.layers.layer import Layer, Site


def is_residual_block(module: nn.Module) -> bool:
    """Whether the module is a ResNet's basic or bottleneck block."""
    return type(module).__name__ in ("BasicBlock", "Bottleneck") and isinstance(
        getattr(module, "conv1", None), _ConvNd
    )


def residual_layers(name: str, block: nn.Module) -> list[Layer]:
    """Layers of a residual block.

    Each convolution but the last starts a stage; the last one's output is the block's,
    after the addition.
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
