import pytest
import timm
import torch
from lightly.models.modules import (
    MaskedVisionTransformerTIMM,
    MaskedVisionTransformerTorchvision,
)
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import VisionTransformer as TimmViT
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torchvision.models import GoogLeNet, VisionTransformer, resnet18, resnet50, vgg11

from lightly_memloc.layers import find_layers, trace_layers
from lightly_memloc.training.backbones import ResNet9


def torchvision_vit():
    return VisionTransformer(32, 8, 2, 2, 16, 24, num_classes=5)


def timm_vit(depth=2):
    return TimmViT(32, 8, embed_dim=16, depth=depth, num_heads=2, num_classes=5)


def rows(model):
    return [
        (layer.name, layer.kind, layer.state is not None, layer.units is not None)
        for layer in find_layers(model)
    ]


def units(model, size=32):
    device = next(model.parameters()).device
    images = torch.zeros(2, 3, size, size, device=device)
    with torch.no_grad():
        traced = trace_layers(model.eval(), "auto", "units", images)
    return [(layer.name, layer.num_units) for layer in traced]


def state_names(model, size=32):
    device = next(model.parameters()).device
    images = torch.zeros(2, 3, size, size, device=device)
    with torch.no_grad():
        traced = trace_layers(model.eval(), "auto", "state", images)
    return [layer.name for layer in traced]


RESNET18 = [
    ("conv1", "conv", 64),
    ("layer1.0.conv1", "conv", 64),
    ("layer1.0", "block", 64),
    ("layer1.1.conv1", "conv", 64),
    ("layer1.1", "block", 64),
    ("layer2.0.conv1", "conv", 128),
    ("layer2.0", "block", 128),
    ("layer2.1.conv1", "conv", 128),
    ("layer2.1", "block", 128),
    ("layer3.0.conv1", "conv", 256),
    ("layer3.0", "block", 256),
    ("layer3.1.conv1", "conv", 256),
    ("layer3.1", "block", 256),
    ("layer4.0.conv1", "conv", 512),
    ("layer4.0", "block", 512),
    ("layer4.1.conv1", "conv", 512),
    ("layer4.1", "block", 512),
]


def test_resnet18():
    with torch.device("meta"):
        model = resnet18()
    expected = [(name, kind, True, True) for name, kind, _ in RESNET18]
    assert rows(model) == [*expected, ("avgpool", "pool", True, False)]
    assert units(model) == [(name, count) for name, _, count in RESNET18]
    assert state_names(model) == [name for name, _, _ in RESNET18] + ["avgpool"]


def test_resnet50():
    with torch.device("meta"):
        model = resnet50()
    expected = [("conv1", "conv", 64)]
    for stage, (blocks, width) in enumerate(
        [(3, 64), (4, 128), (6, 256), (3, 512)], start=1
    ):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            expected += [
                (f"{name}.conv1", "conv", width),
                (f"{name}.conv2", "conv", width),
                (name, "block", 4 * width),
            ]
    assert len(expected) == 49
    assert rows(model) == [
        *((name, kind, True, True) for name, kind, _ in expected),
        ("avgpool", "pool", True, False),
    ]
    assert units(model) == [(name, count) for name, _, count in expected]
    assert state_names(model) == [name for name, _, _ in expected] + ["avgpool"]


def test_resnet_in_sequential_has_the_same_layers():
    with torch.device("meta"):
        model = nn.Sequential(*list(resnet18().children())[:-1])
    position = {"conv1": "0", "avgpool": "8"}
    position |= {f"layer{stage}": str(3 + stage) for stage in range(1, 5)}

    def renamed(name):
        first, *rest = name.split(".")
        return ".".join([position[first], *rest])

    assert rows(model) == [
        *((renamed(name), kind, True, True) for name, kind, _ in RESNET18),
        ("8", "pool", True, False),
    ]
    assert units(model) == [(renamed(name), count) for name, _, count in RESNET18]


def torchvision_block(prefix):
    return [
        (f"{prefix}.self_attention.out_proj", "projection", False, True),
        (f"{prefix}.self_attention", "attention", True, False),
        (f"{prefix}.mlp.0", "hidden", False, True),
        (f"{prefix}.mlp.3", "projection", False, True),
        (f"{prefix}.mlp", "mlp", True, False),
    ]


def timm_block(prefix):
    return [
        (f"{prefix}.attn.proj", "projection", False, True),
        (f"{prefix}.attn", "attention", True, False),
        (f"{prefix}.mlp.fc1", "hidden", False, True),
        (f"{prefix}.mlp.fc2", "projection", False, True),
        (f"{prefix}.mlp", "mlp", True, False),
    ]


@pytest.mark.parametrize(
    ("make", "prefix"),
    [
        (torchvision_vit, ""),
        (lambda: MaskedVisionTransformerTorchvision(torchvision_vit()), "vit."),
    ],
    ids=["torchvision", "lightly"],
)
def test_torchvision_vit(make, prefix):
    model = make()
    blocks = [f"{prefix}encoder.layers.encoder_layer_{i}" for i in (0, 1)]
    assert rows(model) == [
        (f"{prefix}conv_proj", "conv", True, True),
        *torchvision_block(blocks[0]),
        *torchvision_block(blocks[1]),
        (f"{prefix}encoder.ln", "norm", True, False),
    ]
    expected_units = [(f"{prefix}conv_proj", 16)]
    expected_states = [f"{prefix}conv_proj"]
    for block in blocks:
        expected_units += [
            (f"{block}.self_attention.out_proj", 16),
            (f"{block}.mlp.0", 24),
            (f"{block}.mlp.3", 16),
        ]
        expected_states += [f"{block}.self_attention", f"{block}.mlp"]
    assert units(model) == expected_units
    assert state_names(model) == [*expected_states, f"{prefix}encoder.ln"]


@pytest.mark.parametrize(
    ("make", "prefix"),
    [(timm_vit, ""), (lambda: MaskedVisionTransformerTIMM(timm_vit()), "vit.")],
    ids=["timm", "lightly"],
)
def test_timm_vit(make, prefix):
    model = make()
    blocks = [f"{prefix}blocks.{i}" for i in (0, 1)]
    assert rows(model) == [
        (f"{prefix}patch_embed.proj", "conv", True, True),
        *timm_block(blocks[0]),
        *timm_block(blocks[1]),
        (f"{prefix}norm", "norm", True, False),
    ]
    expected_units = [(f"{prefix}patch_embed.proj", 16)]
    expected_states = [f"{prefix}patch_embed.proj"]
    for block in blocks:
        expected_units += [
            (f"{block}.attn.proj", 16),
            (f"{block}.mlp.fc1", 64),
            (f"{block}.mlp.fc2", 16),
        ]
        expected_states += [f"{block}.attn", f"{block}.mlp"]
    assert units(model) == expected_units
    assert state_names(model) == [*expected_states, f"{prefix}norm"]


def test_resnet9():
    expected = [
        ("prep.conv", "conv", 4),
        ("layer1.head.conv", "conv", 8),
        ("layer1.residual.conv1", "conv", 8),
        ("layer1.residual", "block", 8),
        ("layer2.conv", "conv", 16),
        ("layer3.head.conv", "conv", 32),
        ("layer3.residual.conv1", "conv", 32),
        ("layer3.residual", "block", 32),
    ]
    model = ResNet9(width=4)
    assert rows(model) == [
        *((name, kind, True, True) for name, kind, _ in expected),
        ("pool", "pool", True, False),
    ]
    assert units(model) == [(name, count) for name, _, count in expected]


def test_mlp():
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(3 * 4 * 4, 6),
        nn.BatchNorm1d(6),
        nn.GELU(),
        nn.Dropout(),
        nn.Linear(6, 5),
        nn.Tanh(),
        nn.Linear(5, 2),
    )
    assert rows(model) == [
        ("1", "linear", True, True),
        ("5", "linear", True, True),
        ("7", "linear", True, True),
    ]
    assert units(model, size=4) == [("1", 6), ("5", 5), ("7", 2)]


@pytest.mark.parametrize(
    ("make", "heads"),
    [
        (resnet18, ["fc"]),
        (vgg11, ["classifier"]),
        (torchvision_vit, ["heads"]),
        (timm_vit, ["head"]),
        (
            lambda: VisionTransformerDistilled(
                img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=2
            ),
            ["head", "head_dist"],
        ),
    ],
)
def test_classifiers_are_left_out(make, heads):
    # VGG is large; old versions of timm cannot be made on the meta device.
    with torch.device("meta" if make is vgg11 else "cpu"):
        model = make()
    assert set(heads) <= {name for name, _ in model.named_children()}
    names = [layer.name for layer in find_layers(model)]
    assert names
    assert not [name for name in names if name.split(".")[0] in heads]


def test_only_the_linear_part_of_a_head_is_the_classifier():
    model = timm.create_model("convnext_tiny", depths=(1, 1, 1, 1), dims=(8, 8, 8, 8))
    heads = [layer.name for layer in find_layers(model) if "head" in layer.name]
    assert heads == ["head.global_pool.pool", "head.norm"]
    assert isinstance(model.head.fc, nn.Linear)


def test_a_model_inside_another_is_no_block_for_its_classifier():
    with torch.device("meta"):
        inner = GoogLeNet(num_classes=5, aux_logits=False, init_weights=False)
    weights = [name for name, m in inner.named_modules() if isinstance(m, nn.Conv2d)]
    found = find_layers(nn.Sequential(inner))
    assert {layer.kind for layer in found} == {"conv", "pool"}
    convolutions = [layer.name for layer in found if layer.kind == "conv"]
    assert convolutions == [f"0.{name}" for name in weights]


def test_nested_sequentials_are_no_blocks():
    pair = [nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1), nn.ReLU()]
    model = nn.Sequential(nn.Sequential(*pair), nn.Sequential(nn.Conv2d(3, 3, 1)))
    assert rows(model) == [
        ("0.0", "conv", True, True),
        ("0.2", "conv", True, True),
        ("1.0", "conv", True, True),
    ]


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x):
        normalized = self.norm(x)
        return x + self.attention(normalized, normalized, normalized)[0]


def test_attention_of_an_own_module(read, randomized):
    model = randomized(Attending())
    assert rows(model) == [
        ("norm", "norm", True, False),
        ("attention", "multiheadattention", True, True),
    ]
    x = torch.randn(2, 5, 4).double()
    mha, normalized = model.attention, model.norm(x)
    q, k, v = (normalized @ mha.in_proj_weight.T + mha.in_proj_bias).chunk(3, dim=-1)
    weights = (q @ k.transpose(1, 2) / 2).softmax(-1)
    expected = weights @ v @ mha.out_proj.weight.T + mha.out_proj.bias
    assert_close(read(model, x, "units")["attention"], expected)


class OwnHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))


def test_head_of_an_own_module_stays():
    assert [layer.name for layer in find_layers(OwnHead())] == ["conv", "fc"]


class FunctionalBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return F.relu(x + self.second(F.relu(self.first(x))))


class FunctionalStage(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return F.relu(self.conv(x) - 1)


class FunctionalNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.block = FunctionalBlock(4)
        self.stage = FunctionalStage(4)
        self.linear = nn.Linear(4, 5)

    def forward(self, x):
        x = self.stage(self.block(F.relu(self.stem(x))))
        return self.linear(x.mean((2, 3)))


def test_functional_net_layers():
    model = FunctionalNet()
    assert rows(model) == [
        ("stem", "conv", True, True),
        ("block.first", "conv", True, True),
        ("block.second", "conv", True, True),
        ("block", "block", True, True),
        ("stage.conv", "conv", True, True),
        ("linear", "linear", True, True),
    ]
    assert units(model, size=6) == [
        ("stem", 4),
        ("block.first", 4),
        ("block.second", 4),
        ("block", 4),
        ("stage.conv", 4),
        ("linear", 5),
    ]


def test_functional_net_values(read, randomized):
    model = randomized(FunctionalNet())
    images = torch.randn(3, 3, 6, 6).double()
    stem = model.stem(images)
    first = model.block.first(stem.clamp(min=0))
    second = model.block.second(first.clamp(min=0))
    block = (stem.clamp(min=0) + second).clamp(min=0)
    conv = model.stage.conv(block)
    stage = (conv - 1).clamp(min=0)
    linear = model.linear(stage.mean((2, 3)))
    assert (block == 0).any()
    assert (stage > 0).any()
    states = read(model, images, "state")
    expected = {
        "stem": stem,
        "block.first": first,
        "block.second": second,
        "block": block,
        "stage.conv": stage,
        "linear": linear,
    }
    assert list(states) == list(expected)
    for name, value in expected.items():
        assert_close(states[name], value)
    assert_close(read(model, images, "units")["block"], block)


def test_resnet_stem(read, randomized):
    model = randomized(resnet18())
    images = torch.randn(2, 3, 32, 32).double()
    normalized = model.bn1(model.conv1(images))
    assert (normalized < 0).any()
    activated = normalized.clamp(min=0)
    pooled = F.max_pool2d(activated, 3, stride=2, padding=1)
    assert_close(read(model, images, "units", "conv1")["conv1"], activated)
    assert_close(read(model, images, "state", "conv1")["conv1"], pooled)


def test_resnet_pool(read, randomized):
    model = randomized(resnet18())
    images = torch.randn(2, 3, 64, 64).double()
    state = read(model, images, "state", ["layer4.1", "avgpool"])
    assert state["layer4.1"].shape == (2, 512, 2, 2)
    assert_close(state["avgpool"][:, :, 0, 0], state["layer4.1"].mean((2, 3)))


def test_mlp_values(read, randomized):
    model = randomized(
        nn.Sequential(
            nn.Flatten(),
            nn.Linear(12, 6),
            nn.ReLU(inplace=True),
            nn.LayerNorm(6),
            nn.Linear(6, 5),
            nn.BatchNorm1d(5),
            nn.Linear(5, 2),
        )
    )
    images = torch.randn(4, 3, 2, 2).double()
    linear1, norm, linear2, batch_norm, linear3 = (model[i] for i in (1, 3, 4, 5, 6))
    activated = (images.flatten(1) @ linear1.weight.T + linear1.bias).clamp(min=0)
    centred = activated - activated.mean(1, keepdim=True)
    deviation = (centred.square().mean(1, keepdim=True) + norm.eps).sqrt()
    normalized = centred / deviation * norm.weight + norm.bias
    middle = normalized @ linear2.weight.T + linear2.bias
    scale = batch_norm.weight / (batch_norm.running_var + batch_norm.eps).sqrt()
    middle = (middle - batch_norm.running_mean) * scale + batch_norm.bias
    last = middle @ linear3.weight.T + linear3.bias
    units = read(model, images, "units")
    states = read(model, images, "state")
    assert list(units) == list(states) == ["1", "4", "6"]
    assert_close(units["1"], activated)
    assert_close(states["1"], normalized)
    assert_close(units["4"], middle)
    assert_close(states["4"], middle)
    assert_close(units["6"], last)
    assert_close(states["6"], last)


def test_resnet9_values(read, randomized):
    model = randomized(ResNet9(width=2))
    images = torch.randn(2, 3, 16, 16).double()
    units, states = {}, {}

    def stage(name, x, modules):
        units[name] = modules.bn(modules.conv(x)).clamp(min=0)
        states[name] = F.max_pool2d(units[name], 2, ceil_mode=True)
        return states[name]

    def block(name, x, module):
        inner = module.bn1(module.conv1(x)).clamp(min=0)
        output = x + module.bn2(module.conv2(inner)).clamp(min=0)
        units[f"{name}.conv1"] = states[f"{name}.conv1"] = inner
        units[name] = states[name] = output
        return output

    x = stage("prep.conv", images, model.prep)
    x = stage("layer1.head.conv", x, model.layer1.head)
    x = block("layer1.residual", x, model.layer1.residual)
    x = stage("layer2.conv", x, model.layer2)
    x = stage("layer3.head.conv", x, model.layer3.head)
    x = block("layer3.residual", x, model.layer3.residual)
    states["pool"] = x.mean((2, 3))
    for expected, kind in [(units, "units"), (states, "state")]:
        found = read(model, images, kind)
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert_close(found[name], value)


PARAMETRIZATIONS = [
    nn.utils.parametrizations.weight_norm,
    nn.utils.parametrizations.spectral_norm,
    nn.utils.parametrizations.orthogonal,
]


@pytest.mark.parametrize("parametrize", PARAMETRIZATIONS)
def test_parametrized_modules_are_layers_like_others(parametrize):
    def model():
        return nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 4),
            nn.GELU(),
        )

    parametrized = model()
    for place in (0, 5):
        parametrize(parametrized[place])
    assert find_layers(parametrized) == find_layers(model())


class TokenMlp(nn.Module):
    """A block of tokens with a depthwise convolution of feature maps, as in PVTv2."""

    def __init__(self, width=8, hidden=24):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)

    def forward(self, x):
        x = self.fc1(x).transpose(1, 2)
        side = int(x.shape[2] ** 0.5)
        x = self.dwconv(x.unflatten(2, (side, side)))
        return self.fc2(x.flatten(2).transpose(1, 2))


class Tokens(nn.Module):
    def __init__(self, mlp):
        super().__init__()
        self.embed, self.mlp = nn.Conv2d(3, 8, 4, 4), mlp

    def forward(self, x):
        return self.mlp(self.embed(x).flatten(2).transpose(1, 2))


class Sequence(nn.Module):
    """A block of sequences, (B, C, L), whose convolutions have one dimension."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Conv1d(16, 6, 1), nn.Conv1d(6, 5, 1)

    def forward(self, x):
        return self.other(self.one(x))


@pytest.mark.parametrize(
    ("mlp", "shape", "units"), [(TokenMlp(), (16, 8), 8), (Sequence(), (5, 8), 5)]
)
def test_units_of_blocks_of_tokens_and_of_sequences(mlp, shape, units):
    (layer,) = trace_layers(Tokens(mlp), "mlp", "units", torch.rand(2, 3, 16, 16))
    assert (layer.shape, layer.num_units) == (shape, units)


def test_a_layer_norm_over_feature_maps_has_the_units_of_the_maps():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.LayerNorm([8, 10, 10]), nn.ReLU(), nn.Conv2d(8, 4, 3)
    )
    layers = trace_layers(model, "auto", "units", torch.rand(2, 3, 12, 12))
    assert [layer.num_units for layer in layers] == [8, 4]


def test_the_name_of_a_layer_is_no_kind():
    model = nn.Sequential()
    model.add_module("conv", nn.Conv2d(3, 4, 3))
    model.add_module("last", nn.Conv2d(4, 4, 3))
    assert [layer.name for layer in find_layers(model, "conv")] == ["conv"]
    assert len(find_layers(nn.Sequential(*model), "conv")) == 2
