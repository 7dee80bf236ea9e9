import pytest
import torch
from timm.models.resnet import BasicBlock as TimmBasicBlock
from timm.models.resnet import Bottleneck as TimmBottleneck
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from lightly_memloc.layers import find_layers


def convolved(x, convolution, norm):
    return F.batch_norm(
        F.conv2d(
            x,
            convolution.weight,
            convolution.bias,
            convolution.stride,
            convolution.padding,
        ),
        norm.running_mean,
        norm.running_var,
        norm.weight,
        norm.bias,
        eps=norm.eps,
    )


def shortcut(x, block):
    return x if block.downsample is None else convolved(x, *block.downsample)


def walk(x, name, block):
    outputs = {}
    convolutions = [i for i in (1, 2, 3) if hasattr(block, f"conv{i}")]
    y = x
    for i in convolutions:
        y = convolved(y, getattr(block, f"conv{i}"), getattr(block, f"bn{i}"))
        if i < convolutions[-1]:
            assert (y < 0).any()
            y = y.clamp(min=0)
            outputs[f"{name}.conv{i}"] = y
    outputs[name] = (y + shortcut(x, block)).clamp(min=0)
    return outputs


@pytest.mark.parametrize("kind", ["units", "state"])
@pytest.mark.parametrize(
    ("block", "inner"), [(BasicBlock, ["conv1"]), (Bottleneck, ["conv1", "conv2"])]
)
def test_torchvision_blocks(read, randomized, block, inner, kind):
    model = randomized(ResNet(block, [2, 1, 1, 1], width_per_group=64))
    images = torch.randn(2, 3, 32, 32).double()
    stem = convolved(images, model.conv1, model.bn1).clamp(min=0)
    x = F.max_pool2d(stem, 3, stride=2, padding=1)
    expected, names = {}, []
    for name in ["layer1.0", "layer1.1", "layer2.0", "layer3.0", "layer4.0"]:
        outputs = walk(x, name, model.get_submodule(name))
        expected |= outputs
        names += [f"{name}.{conv}" for conv in inner] + [name]
        x = outputs[name]
    found = read(model, images, kind, "layer*")
    assert list(found) == names
    for name in names:
        assert_close(found[name], expected[name])


@pytest.mark.parametrize("make", [TimmBasicBlock, TimmBottleneck])
def test_timm_blocks(read, randomized, make):
    model = randomized(nn.Sequential(make(32, 32 // make.expansion)))
    x = torch.randn(2, 32, 4, 4).double()
    expected = walk(x, "0", model[0])
    found = read(model, x, "units")
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert_close(found[name], value)


class ConvolutionOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 1)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.conv1(x))


def test_other_module_is_no_residual_block():
    layers = find_layers(nn.Sequential(ConvolutionOnly()))
    assert [(layer.name, layer.kind) for layer in layers] == [("0.conv1", "conv")]


class OtherBottleneck(nn.Module):
    """An autoencoder's bottleneck, whose convolutions have other names."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(4, 2, 1)
        self.up = nn.Conv2d(2, 4, 1)

    def forward(self, x):
        return self.up(self.down(x))


class LinearBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Linear(4, 4)
        self.conv2 = nn.Linear(4, 4)

    def forward(self, x):
        return x + self.conv2(self.conv1(x))


@pytest.mark.parametrize(
    ("block", "name", "kind", "weights"),
    [
        (OtherBottleneck, "Bottleneck", "conv", ("down", "up")),
        (LinearBlock, "BasicBlock", "linear", ("conv1", "conv2")),
    ],
)
def test_module_of_the_name_of_a_residual_block(block, name, kind, weights):
    namesake = type(name, (block,), {})
    layers = find_layers(nn.Sequential(namesake()))
    assert [(layer.name, layer.kind) for layer in layers] == [
        *((f"0.{weight}", kind) for weight in weights),
        ("0", "block"),
    ]


def test_units_are_read_before_anti_aliasing(read, randomized):
    block = TimmBasicBlock(8, 8, stride=2, aa_layer=nn.AvgPool2d)
    model = randomized(nn.Sequential(block))
    block.downsample = nn.AvgPool2d(2)
    x = torch.randn(2, 8, 4, 4).double()
    activated = block.bn1(block.conv1(x)).clamp(min=0)
    pooled = F.avg_pool2d(activated, 2)
    assert_close(read(model, x, "units", "0.conv1")["0.conv1"], activated)
    assert_close(read(model, x, "state", "0.conv1")["0.conv1"], pooled)
