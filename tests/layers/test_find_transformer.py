import math

import pytest
import torch
from lightly.models.modules import (
    MaskedVisionTransformerTIMM,
    MaskedVisionTransformerTorchvision,
)
from timm.models.beit import Block as BeitBlock
from timm.models.eva import EvaBlock
from timm.models.vision_transformer import VisionTransformer as TimmViT
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torchvision.models import VisionTransformer
from torchvision.models.vision_transformer import EncoderBlock

from lightly_memloc.layers import find_layers

HEADS = 2


def linear(x, module):
    return x @ module.weight.T + module.bias


def normalized(x, norm):
    centred = x - x.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt()
    return centred / deviation * norm.weight + norm.bias


def gelu(x):
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def attended(x, weight, bias):
    heads = []
    query, key, value = (x @ weight.T + bias).chunk(3, dim=-1)
    for q, k, v in zip(
        query.chunk(HEADS, -1),
        key.chunk(HEADS, -1),
        value.chunk(HEADS, -1),
        strict=True,
    ):
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        heads.append(scores.softmax(-1) @ v)
    return torch.cat(heads, dim=-1)


def scale(module):
    return getattr(module, "gamma", 1)


def timm_walk(x, name, block):
    attention = linear(
        attended(
            normalized(x, block.norm1), block.attn.qkv.weight, block.attn.qkv.bias
        ),
        block.attn.proj,
    )
    middle = x + scale(block.ls1) * attention
    hidden = gelu(linear(normalized(middle, block.norm2), block.mlp.fc1))
    projected = linear(hidden, block.mlp.fc2)
    units = {
        f"{name}.attn.proj": attention,
        f"{name}.mlp.fc1": hidden,
        f"{name}.mlp.fc2": projected,
    }
    output = middle + scale(block.ls2) * projected
    return units, {f"{name}.attn": middle, f"{name}.mlp": output}, output


def torchvision_walk(x, name, block):
    mha = block.self_attention
    attention = linear(
        attended(normalized(x, block.ln_1), mha.in_proj_weight, mha.in_proj_bias),
        mha.out_proj,
    )
    middle = x + attention
    hidden = gelu(linear(normalized(middle, block.ln_2), block.mlp[0]))
    projected = linear(hidden, block.mlp[3])
    units = {
        f"{name}.self_attention.out_proj": attention,
        f"{name}.mlp.0": hidden,
        f"{name}.mlp.3": projected,
    }
    output = middle + projected
    return units, {f"{name}.self_attention": middle, f"{name}.mlp": output}, output


def tokens(images, convolution, class_token, position):
    patches = F.conv2d(images, convolution.weight, convolution.bias, stride=8)
    patches = patches.flatten(2).transpose(1, 2)
    class_tokens = class_token.expand(len(images), 1, -1)
    return patches, torch.cat([class_tokens, patches], dim=1) + position


def agree(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert_close(found[name], value)


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "lightly"])
@pytest.mark.parametrize("init_values", [None, 0.1], ids=["", "layer-scale"])
def test_timm(read, randomized, init_values, masked):
    vit = TimmViT(
        32, 8, embed_dim=16, depth=2, num_heads=HEADS, init_values=init_values
    )
    model = randomized(MaskedVisionTransformerTIMM(vit) if masked else vit)
    prefix = "vit." if masked else ""
    images = torch.randn(2, 3, 32, 32).double()
    patches, x = tokens(images, vit.patch_embed.proj, vit.cls_token, vit.pos_embed)
    first = f"{prefix}patch_embed.proj"
    units = {first: patches.transpose(1, 2).unflatten(2, (4, 4))}
    states = {first: patches}
    for i, block in enumerate(vit.blocks):
        block_units, block_states, x = timm_walk(x, f"{prefix}blocks.{i}", block)
        units |= block_units
        states |= block_states
    states[f"{prefix}norm"] = normalized(x, vit.norm)
    agree(read(model, images, "units"), units)
    agree(read(model, images, "state"), states)


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "lightly"])
def test_torchvision(read, randomized, masked):
    vit = VisionTransformer(32, 8, 2, HEADS, 16, 24)
    model = randomized(MaskedVisionTransformerTorchvision(vit) if masked else vit)
    prefix = "vit." if masked else ""
    images = torch.randn(2, 3, 32, 32).double()
    patches, x = tokens(
        images, vit.conv_proj, vit.class_token, vit.encoder.pos_embedding
    )
    first = f"{prefix}conv_proj"
    grid = patches.transpose(1, 2).unflatten(2, (4, 4))
    units, states = {first: grid}, {first: grid}
    for i, block in enumerate(vit.encoder.layers):
        name = f"{prefix}encoder.layers.encoder_layer_{i}"
        block_units, block_states, x = torchvision_walk(x, name, block)
        units |= block_units
        states |= block_states
    states[f"{prefix}encoder.ln"] = normalized(x, vit.encoder.ln)
    agree(read(model, images, "units"), units)
    agree(read(model, images, "state"), states)


def test_encoder_block_in_a_sequential(read, randomized):
    block = EncoderBlock(HEADS, 16, 24, dropout=0.1, attention_dropout=0.1)
    model = randomized(nn.Sequential(block))
    x = torch.randn(3, 5, 16).double()
    units, states, _ = torchvision_walk(x, "0", block)
    agree(read(model, x, "units"), units)
    agree(read(model, x, "state"), states)


def test_beit_block(read, randomized):
    block = BeitBlock(16, HEADS, qkv_bias=True, init_values=0.1)
    model = randomized(nn.Sequential(block))
    x = torch.randn(3, 5, 16).double()
    attention = block.attn
    bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    attention = linear(
        attended(normalized(x, block.norm1), attention.qkv.weight, bias),
        attention.proj,
    )
    middle = x + block.gamma_1 * attention
    hidden = gelu(linear(normalized(middle, block.norm2), block.mlp.fc1))
    projected = linear(hidden, block.mlp.fc2)
    output = middle + block.gamma_2 * projected
    agree(
        read(model, x, "units"),
        {"0.attn.proj": attention, "0.mlp.fc1": hidden, "0.mlp.fc2": projected},
    )
    agree(read(model, x, "state"), {"0.attn": middle, "0.mlp": output})


def test_eva_block_with_gated_mlp(read, randomized):
    block = EvaBlock(16, HEADS, swiglu_mlp=True, qkv_fused=True, init_values=0.1)
    model = randomized(nn.Sequential(block))
    x = torch.randn(3, 5, 16).double()
    attention = block.attn
    bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    attention = linear(
        attended(normalized(x, block.norm1), attention.qkv.weight, bias),
        attention.proj,
    )
    middle = x + block.gamma_1 * attention
    inner = normalized(middle, block.norm2)
    gate, value = linear(inner, block.mlp.fc1).chunk(2, dim=-1)
    hidden = gate * torch.sigmoid(gate) * value
    projected = linear(hidden, block.mlp.fc2)
    output = middle + block.gamma_2 * projected
    agree(
        read(model, x, "units"),
        {"0.attn.proj": attention, "0.mlp.fc1": hidden, "0.mlp.fc2": projected},
    )
    agree(read(model, x, "state"), {"0.attn": middle, "0.mlp": output})


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm2 = nn.LayerNorm(4)
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return x + self.linear(self.norm2(x))


def test_namesake_is_no_transformer_block():
    layers = find_layers(nn.Sequential(Block()))
    assert not {"attention", "mlp", "hidden"} & {layer.kind for layer in layers}
