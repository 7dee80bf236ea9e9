"""The layers of a transformer block of torchvision or timm."""

import sys

from torch import nn
from torchvision.models.vision_transformer import EncoderBlock

from lightly_memloc.layers.layer import Layer, Site

# timm is optional: a model can only hold its blocks if it has been imported.
_TIMM_BLOCKS = {
    "timm.models.vision_transformer": "Block",
    "timm.models.beit": "Block",
    "timm.models.eva": "EvaBlock",
}


def is_transformer_block(module: nn.Module) -> bool:
    """Whether the module is a pre-norm transformer block whose parts are known."""
    return isinstance(module, EncoderBlock) or _is_timm_block(module)


def transformer_layers(name: str, block: nn.Module) -> list[Layer]:
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


def _is_timm_block(module: nn.Module) -> bool:
    return any(
        isinstance(module, getattr(sys.modules[package], block))
        for package, block in _TIMM_BLOCKS.items()
        if package in sys.modules
    )
