import copy

import pytest
import timm
import torch
from lightly.models.modules import MaskedVisionTransformerTIMM
from torch import nn
from torchvision.models import VisionTransformer, resnet18
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers import (
    captured,
    example_images,
    segments,
    trace_layers,
    weights_of,
)
from lightly_memloc.training import ResNet9, make_backbone

NORM = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
AFFINE = ["weight", "bias"]


def of(prefix, names):
    return [f"{prefix}.{name}" for name in names]


def timm_vit(num_classes=5):
    return timm.create_model(
        "vit_tiny_patch16_224",
        depth=2,
        img_size=32,
        patch_size=8,
        embed_dim=24,
        init_values=0.1,
        num_classes=num_classes,
    )


def torchvision_vit():
    return VisionTransformer(32, 8, 2, 2, 16, 32)


class Rooted(nn.Module):
    """Weights of its own, an inner container with more, parallel branches."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.register_buffer("offset", torch.randn(8))
        self.embed = nn.Conv2d(3, 8, 8, 8)
        self.inner = Inner()
        self.left, self.right = nn.Linear(8, 4), nn.Linear(8, 4)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2) + self.offset
        x = self.inner(torch.cat([self.token.expand(len(x), 1, 8), x], dim=1))
        x = torch.cat([self.right(x), self.left(x)], dim=-1)
        return self.out(x.mean(1))


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.position = nn.Parameter(torch.randn(17, 8))
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Linear(8, 8)

    def forward(self, x):
        return self.mix(self.norm(x + self.position)).tanh()


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.norm = nn.LayerNorm(4)
        self.step = nn.Linear(4, 4)
        self.first = nn.Linear(3, 4)

    def forward(self, x):
        x = self.step(self.first(x.mean((2, 3))))
        x = self.step(self.norm(torch.tanh(x)))
        return self.last(torch.tanh(x))


def sequential():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.PReLU(),
        nn.AvgPool2d(4),
        nn.Conv2d(6, 6, 3),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.LayerNorm(6 * 36),
        nn.Linear(6 * 36, 4),
    )


MODELS = {
    "resnet18": resnet18,
    "bottlenecks": lambda: ResNet(Bottleneck, [2, 1, 1, 1], width_per_group=8),
    "timm": timm_vit,
    "torchvision": torchvision_vit,
    "lightly": lambda: MaskedVisionTransformerTIMM(timm_vit(num_classes=0)),
    "resnet9": lambda: ResNet9(4),
    "sequential": sequential,
    "rooted": Rooted,
    "twice": Twice,
}
# Weights that are used only after the state of the layer that they are counted to.
LATER = {
    "timm": {"cls_token", "pos_embed"},
    "torchvision": {"class_token"},
    "lightly": {"vit.cls_token", "vit.pos_embed"},
    "rooted": {"token", "offset"},
}
UNUSED = {"lightly": {"mask_token"}}


def made(name):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    for entry, value in model.state_dict().items():
        if value.is_floating_point() and (value.dim() < 2 or not value.any()):
            scatter(entry, value)
    return model


def scatter(entry, value):
    noise = torch.randn_like(value).mul_(0.3)
    value.add_(noise.abs() if entry.endswith("running_var") else noise)


def outputs(model, layers, images):
    states = {}
    with (
        torch.no_grad(),
        captured(model, layers, lambda layer, x: states.update({layer.name: x + 0})),
    ):
        states["output"] = model(images)
    return states


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", [*MODELS, "resnet50", "vit_tiny_patch8"])
def test_every_weight_has_one_layer(images, name):
    model = made(name) if name in MODELS else make_backbone(name, 32).eval()
    divided = segments(model, images)
    entries = [entry for of_layer in divided.values() for entry in of_layer]
    assert sorted(entries) == sorted(model.state_dict())
    states = trace_layers(model, "auto", "state", images)
    assert list(divided) == [layer.name for layer in states]


@pytest.mark.parametrize("name", [name for name in MODELS if name != "resnet18"])
def test_weights_act_on_their_layer_and_on_none_before(images, name):
    model = made(name)
    divided = segments(model, images)
    layers = trace_layers(model, "auto", "state", images)
    names = [layer.name for layer in layers]
    before = outputs(model, layers, images)
    later, unused = LATER.get(name, set()), UNUSED.get(name, set())
    for layer, of_layer in divided.items():
        read = [layer, *(["output"] if layer == names[-1] else [])]
        for entry in of_layer:
            value = model.state_dict()[entry]
            if not value.is_floating_point():
                continue
            kept = value.clone()
            scatter(entry, value)
            after = outputs(model, layers, images)
            value.copy_(kept)
            for earlier in names[: names.index(layer)]:
                assert torch.equal(after[earlier], before[earlier]), (entry, earlier)
            changed = {n for n in after if not torch.equal(after[n], before[n])}
            assert bool(changed) == (entry not in unused), entry
            if entry not in later | unused:
                assert changed & set(read), entry


@pytest.mark.parametrize("name", ["resnet18", "torchvision"])
def test_a_segment_as_a_whole(images, name):
    model = made(name)
    layers = trace_layers(model, "auto", "state", images)
    before = outputs(model, layers, images)
    divided = segments(model, images)
    for number, (layer, of_layer) in enumerate(divided.items()):
        other = copy.deepcopy(model)
        for entry in of_layer:
            value = other.state_dict()[entry]
            if value.is_floating_point():
                scatter(entry, value)
        after = outputs(other, layers, images)
        equal = [torch.equal(after[name], before[name]) for name in divided]
        assert all(equal[:number])
        # The classifier runs after the last state, which it does not change.
        assert equal[number] == (layer == "avgpool")
        assert not torch.equal(after["output"], before["output"])


def test_resnet18(images):
    expected = {"conv1": ["conv1.weight", *of("bn1", NORM)]}
    for stage in (1, 2, 3, 4):
        for number in (0, 1):
            block = f"layer{stage}.{number}"
            first = [f"{block}.conv1.weight", *of(f"{block}.bn1", NORM)]
            second = [f"{block}.conv2.weight", *of(f"{block}.bn2", NORM)]
            if stage > 1 and number == 0:
                second += [f"{block}.downsample.0.weight"]
                second += of(f"{block}.downsample.1", NORM)
            expected |= {f"{block}.conv1": first, block: second}
    expected["avgpool"] = ["fc.weight", "fc.bias"]
    divided = segments(made("resnet18"), images)
    assert list(divided.items()) == list(expected.items())


def test_timm_vit(images):
    expected = {
        "patch_embed.proj": ["cls_token", "pos_embed", *of("patch_embed.proj", AFFINE)]
    }
    for number in (0, 1):
        block = f"blocks.{number}"
        expected[f"{block}.attn"] = [
            *of(f"{block}.norm1", AFFINE),
            *of(f"{block}.attn.qkv", AFFINE),
            *of(f"{block}.attn.proj", AFFINE),
            f"{block}.ls1.gamma",
        ]
        expected[f"{block}.mlp"] = [
            *of(f"{block}.norm2", AFFINE),
            *of(f"{block}.mlp.fc1", AFFINE),
            *of(f"{block}.mlp.fc2", AFFINE),
            f"{block}.ls2.gamma",
        ]
    expected["norm"] = [*of("norm", AFFINE), *of("head", AFFINE)]
    divided = segments(made("timm"), images)
    assert list(divided) == list(expected)
    assert {name: set(weights) for name, weights in divided.items()} == {
        name: set(weights) for name, weights in expected.items()
    }


def test_torchvision_vit(images):
    expected = {"conv_proj": ["class_token", *of("conv_proj", AFFINE)]}
    for number in (0, 1):
        block = f"encoder.layers.encoder_layer_{number}"
        attention = f"{block}.self_attention"
        expected[attention] = [
            *(["encoder.pos_embedding"] if number == 0 else []),
            *of(f"{block}.ln_1", AFFINE),
            f"{attention}.in_proj_weight",
            f"{attention}.in_proj_bias",
            *of(f"{attention}.out_proj", AFFINE),
        ]
        expected[f"{block}.mlp"] = [
            *of(f"{block}.ln_2", AFFINE),
            *of(f"{block}.mlp.0", AFFINE),
            *of(f"{block}.mlp.3", AFFINE),
        ]
    expected["encoder.ln"] = [*of("encoder.ln", AFFINE), *of("heads.head", AFFINE)]
    divided = segments(made("torchvision"), images)
    assert list(divided.items()) == list(expected.items())


def test_lightly_vit(images):
    divided = segments(make_backbone("vit_tiny_patch8", 32).eval(), images)
    assert list(divided) == [
        "vit.patch_embed.proj",
        *(f"vit.blocks.{i}.{half}" for i in range(12) for half in ("attn", "mlp")),
        "vit.norm",
    ]
    assert set(divided["vit.patch_embed.proj"]) == {
        "mask_token",
        "vit.cls_token",
        "vit.pos_embed",
        *of("vit.patch_embed.proj", AFFINE),
    }
    assert divided["vit.blocks.7.mlp"] == [
        *of("vit.blocks.7.norm2", AFFINE),
        *of("vit.blocks.7.mlp.fc1", AFFINE),
        *of("vit.blocks.7.mlp.fc2", AFFINE),
    ]


def test_resnet9(images):
    def convolution(name, convolution="conv", norm="bn"):
        return [f"{name}.{convolution}.weight", *of(f"{name}.{norm}", NORM)]

    expected = {"prep.conv": convolution("prep")}
    for stage in ("layer1", "layer3"):
        residual = f"{stage}.residual"
        expected[f"{stage}.head.conv"] = convolution(f"{stage}.head")
        expected[f"{residual}.conv1"] = convolution(residual, "conv1", "bn1")
        expected[residual] = convolution(residual, "conv2", "bn2")
        if stage == "layer1":
            expected["layer2.conv"] = convolution("layer2")
    expected["pool"] = []
    divided = segments(made("resnet9"), images)
    assert list(divided.items()) == list(expected.items())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "sequential",
            {
                "0": [*of("0", AFFINE), *of("1", NORM), "2.weight"],
                "4": [*of("4", AFFINE), *of("7", AFFINE)],
                "8": of("8", AFFINE),
            },
        ),
        (
            "rooted",
            {
                "embed": ["token", "offset", *of("embed", AFFINE)],
                "inner.norm": ["inner.position", *of("inner.norm", AFFINE)],
                "inner.mix": of("inner.mix", AFFINE),
                "inner": [],
                "right": of("right", AFFINE),
                "left": of("left", AFFINE),
                "out": of("out", AFFINE),
            },
        ),
        (
            "twice",
            {
                "first": of("first", AFFINE),
                "step": of("step", AFFINE),
                "step#2": of("norm", AFFINE),
                "last": of("last", AFFINE),
            },
        ),
    ],
)
def test_other_models(images, name, expected):
    divided = segments(made(name), images)
    assert list(divided.items()) == list(expected.items())


def test_model_without_layers_is_refused(images):
    with pytest.raises(MemorizationError, match="no layers with weights"):
        segments(nn.Sequential(nn.ReLU()), images)


def first_half(entry):
    return ".conv1." in f".{entry}" or ".bn1." in f".{entry}"


def second_half(entry):
    return entry.startswith("layer") and not first_half(entry)


@pytest.mark.parametrize(
    ("layers", "belongs"),
    [
        ("conv1", lambda e: e.startswith(("conv1.", "bn1."))),
        ("layer3.1", lambda e: e.startswith(("layer3.1.conv2.", "layer3.1.bn2."))),
        (
            "layer3.0",
            lambda e: e.startswith(
                ("layer3.0.conv2.", "layer3.0.bn2.", "layer3.0.downsample.")
            ),
        ),
        (["layer2.1.conv1"], lambda e: e.startswith("layer2.1.") and first_half(e)),
        ("layer4", lambda e: e.startswith("layer4.")),
        ("layer4.*", lambda e: e.startswith("layer4.")),
        ("layer[12]", lambda e: e.startswith(("layer1.", "layer2."))),
        ("conv", first_half),
        ("block", second_half),
        ("*.conv1", lambda e: first_half(e) and e.startswith("layer")),
        ("bn1", lambda e: e.startswith("bn1.")),
        ("*.downsample", lambda e: ".downsample." in e),
        ("layer?.?.bn2", lambda e: ".bn2." in e),
        ("fc", lambda e: e.startswith("fc.")),
        (
            ("fc", "layer1.1", "layer1", "conv1"),
            lambda e: e.startswith(("conv1.", "bn1.", "layer1.", "fc.")),
        ),
        ("auto", lambda e: True),
        (["auto"], lambda e: True),
        ("*", lambda e: True),
        (["conv", "block", "pool"], lambda e: True),
        ([], lambda e: False),
    ],
)
def test_weights_of_a_resnet(images, layers, belongs):
    model = made("resnet18")
    expected = [entry for entry in model.state_dict() if belongs(entry)]
    assert weights_of(model, layers, images) == expected


@pytest.mark.parametrize("name", ["timm", "torchvision"])
def test_weights_of_a_vit(images, name):
    model = made(name)
    attention, norm1, norm2, hidden, projections = {
        "timm": (
            (".attn.", ".ls1."),
            ".norm1.",
            (".norm2.", ".ls2."),
            ".mlp.fc1.",
            ("attn.proj.", ".mlp.fc2."),
        ),
        "torchvision": (
            (".self_attention.",),
            ".ln_1.",
            (".ln_2.",),
            ".mlp.0.",
            (".out_proj.", ".mlp.3."),
        ),
    }[name]
    entries = list(model.state_dict())
    first = [e for e in entries if any(part in e for part in (*attention, norm1))]
    second = [e for e in entries if any(part in e for part in (".mlp.", *norm2))]
    positional = [e for e in entries if e == "encoder.pos_embedding"]
    assert weights_of(model, "attention", images) == positional + first
    assert weights_of(model, "mlp", images) == second
    assert weights_of(model, "hidden", images) == [
        entry for entry in model.state_dict() if hidden in entry
    ]
    assert weights_of(model, "projection", images) == [
        e for e in model.state_dict() if any(part in e for part in projections)
    ]


def test_names_that_begin_alike(images):
    fillers = [nn.ReLU() for _ in range(8)]
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), *fillers, nn.Conv2d(4, 4, 1)
    ).eval()
    assert weights_of(model, "1", images) == of("1", NORM)
    assert weights_of(model, "10", images) == of("10", AFFINE)


@pytest.mark.parametrize("layers", ["layer5", ["conv1", "layer5.*"], "Conv1", "hidden"])
def test_unmatched_name_is_refused(images, layers):
    with pytest.raises(MemorizationError, match="No layer of ResNet matches"):
        weights_of(made("resnet18"), layers, images)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Conv2d(3, 4, 3), (2, 3, 16, 16)),
        (nn.Conv2d(1, 4, 3), (2, 1, 16, 16)),
        (nn.Conv2d(5, 4, 20), (2, 5, 28, 28)),
        (nn.Conv2d(1, 4, 300), (2, 1, 384, 384)),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2)), (2, 3, 64, 64)),
        (nn.Flatten(), (2, 3, 16, 16)),
        (torchvision_vit(), (2, 3, 32, 32)),
        (resnet18(), (2, 3, 16, 16)),
        (timm_vit(), (2, 3, 32, 32)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_example_images(model, shape):
    images = example_images(model.eval())
    assert images.shape == shape
    assert images.count_nonzero() == 0
    with torch.no_grad():
        assert len(model(images)) == 2


def test_example_images_leave_the_model_alone():
    model = made("resnet18")
    before = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()
    example_images(model)
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("side", [17, 600])
def test_no_example_fits(side):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, 1))
    if side == 600:
        model = nn.Conv2d(3, 2, side)
    with pytest.raises(MemorizationError, match="takes no images of 16 to 512 pixels"):
        example_images(model)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_example_images_have_the_type_of_the_weights(dtype):
    assert example_images(nn.Conv2d(3, 4, 3).to(dtype)).dtype == dtype


class TwoNames(nn.Module):
    """Its second module has two names, and runs twice, with a norm between."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.alias = self.second

    def forward(self, x):
        x = self.second(self.first(x.mean((2, 3))).relu()).relu()
        return self.second(torch.tanh(self.norm(x + 1)))


def test_weights_of_two_names_belong_to_one_layer():
    model, images = TwoNames().eval(), torch.randn(2, 3, 4, 4)
    expected = {
        "first": ["first.weight", "first.bias"],
        "second": ["second.weight", "second.bias", "alias.weight", "alias.bias"],
        "second#2": ["norm.weight", "norm.bias"],
    }
    with torch.no_grad():
        assert segments(model, images) == expected
        chosen = weights_of(model, "second", images)
        assert set(chosen) == {*expected["second"], *expected["second#2"]}


def test_module_under_two_names(images):
    norm = nn.LayerNorm(4)
    model = nn.Sequential(
        nn.Flatten(),
        nn.Linear(3072, 4),
        nn.Linear(4, 4),
        norm,
        nn.Linear(4, 4),
        norm,
        nn.Linear(4, 2),
    ).eval()
    divided = segments(model, images)
    assert "5.weight" not in divided["1"]
    assert {"3.weight", "5.weight"} <= set(divided["2"])


def test_example_of_a_double_model():
    assert (
        example_images(ResNet(BasicBlock, [1, 1, 1, 1]).double().eval()).dtype
        == torch.float64
    )


def test_example_of_a_model_with_a_position_of_four_dimensions():
    class Positional(nn.Module):
        def __init__(self):
            super().__init__()
            self.position = nn.Parameter(torch.zeros(1, 4, 4, 8))
            self.embed = nn.Conv2d(3, 8, 8, 8)

        def forward(self, x):
            return self.embed(x).permute(0, 2, 3, 1) + self.position

    assert example_images(Positional().eval()).shape == (2, 3, 32, 32)
