import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer, resnet18

from lightly_memloc.errors import MemorizationError
from lightly_memloc.layers import find_layers

LAYER4 = ["layer4.0.conv1", "layer4.0", "layer4.1.conv1", "layer4.1"]
BLOCKS = [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]


@pytest.fixture(scope="module")
def resnet():
    with torch.device("meta"):
        return resnet18()


def names(model, layers):
    return [layer.name for layer in find_layers(model, layers)]


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("layer4.1", ["layer4.1"]),
        ("layer2.0.conv1", ["layer2.0.conv1"]),
        ("layer4.*", LAYER4),
        ("layer?.1", ["layer1.1", "layer2.1", "layer3.1", "layer4.1"]),
        ("layer[34].0", ["layer3.0", "layer4.0"]),
        ("*.conv1", [f"{block}.conv1" for block in BLOCKS]),
        ("block", BLOCKS),
        ("pool", ["avgpool"]),
        (["conv1"], ["conv1"]),
        (["conv1", "block", "pool"], ["conv1", *BLOCKS, "avgpool"]),
        (("layer4.0", "layer4.1"), ["layer4.0", "layer4.1"]),
        (["layer4.*", "layer4.1", "layer4.?"], LAYER4),
        (["layer4.1", "layer4.1"], ["layer4.1"]),
    ],
)
def test_names_globs_and_kinds(resnet, layers, expected):
    assert names(resnet, layers) == expected


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("bn1", [("bn1", "batchnorm2d")]),
        ("maxpool", [("maxpool", "maxpool2d")]),
        ("layer3", [("layer3", "sequential")]),
        ("*.bn2", [(f"{block}.bn2", "batchnorm2d") for block in BLOCKS]),
        (
            ["bn1", "layer4.1", "bn1"],
            [("bn1", "batchnorm2d"), ("layer4.1", "block")],
        ),
    ],
)
def test_other_modules(resnet, layers, expected):
    found = find_layers(resnet, layers)
    assert [(layer.name, layer.kind) for layer in found] == expected
    for layer in found:
        assert layer.state.module == layer.units.module == layer.name


def test_kinds_of_a_transformer():
    model = VisionTransformer(32, 8, 1, 2, 16, 32)
    block = "encoder.layers.encoder_layer_0"
    assert names(model, "attention") == [f"{block}.self_attention"]
    assert names(model, "mlp") == [f"{block}.mlp"]
    assert names(model, "hidden") == [f"{block}.mlp.0"]
    assert names(model, "projection") == [
        f"{block}.self_attention.out_proj",
        f"{block}.mlp.3",
    ]


def test_layer_goes_before_the_module_of_its_name(resnet):
    (layer,) = find_layers(resnet, "conv1")
    assert (layer.kind, layer.state.stage, layer.units.stage) == (
        "conv",
        "end",
        "activation",
    )


def test_names_match_case(resnet):
    with pytest.raises(MemorizationError, match=r"matches 'Conv1'"):
        find_layers(resnet, "Conv1")


def test_unmatched_pattern_shows_close_names(resnet):
    with pytest.raises(MemorizationError) as caught:
        find_layers(resnet, ["conv1", "layer3.1.conv"])
    message = str(caught.value)
    assert "ResNet" in message
    assert "'layer3.1.conv'" in message
    assert "layer3.1.conv1," in message
    assert "kinds block, conv, pool" in message


def test_pattern_like_no_name_shows_the_first_ones(resnet):
    with pytest.raises(
        MemorizationError,
        match=r"matches 'zzz\*'.*conv1, layer1\.0\.conv1, layer1\.0,",
    ):
        find_layers(resnet, "zzz*")


@pytest.mark.parametrize("layers", ["auto", ["auto"]])
def test_model_without_weights(layers):
    with pytest.raises(MemorizationError, match="Sequential has no layers"):
        find_layers(nn.Sequential(nn.ReLU(), nn.Flatten()), layers)


@pytest.mark.parametrize("layers", [[], ()])
def test_no_layers(resnet, layers):
    with pytest.raises(MemorizationError, match="No layers were asked for"):
        find_layers(resnet, layers)
