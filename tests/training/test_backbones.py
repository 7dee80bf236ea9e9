import pytest
import torch

from lightly_memloc import find_layers
from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import ResNet9, make_backbone
from lightly_memloc.training.backbones import num_features


@pytest.mark.parametrize("size", [8, 16, 28, 32])
def test_resnet9_takes_small_images(size):
    features = ResNet9(width=4).eval()(torch.zeros(2, 3, size, size))
    assert features.shape == (2, 32)


def test_resnet9_has_eight_convolutional_layers():
    names = [layer.name for layer in find_layers(ResNet9()) if layer.kind != "pool"]
    assert names == [
        "prep.conv",
        "layer1.head.conv",
        "layer1.residual.conv1",
        "layer1.residual",
        "layer2.conv",
        "layer3.head.conv",
        "layer3.residual.conv1",
        "layer3.residual",
    ]


def test_num_features_leaves_the_mode():
    backbone = ResNet9(width=4).train()
    assert num_features(backbone, 16) == 32
    assert backbone.training


@pytest.mark.parametrize(
    ("name", "features"), [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)]
)
def test_resnets_have_a_stem_that_suits_the_views(name, features):
    small, usual = make_backbone(name, 32), make_backbone(name, 224)
    assert num_features(small, 32) == num_features(usual, 224) == features
    stems = [
        torch.nn.Sequential(model.conv1, model.maxpool)(torch.zeros(1, 3, 32, 32)).shape
        for model in (small, usual)
    ]
    assert [stem[-1] for stem in stems] == [32, 8]


@pytest.mark.parametrize(
    ("name", "size", "tokens", "width"),
    [
        ("vit_tiny_patch4", 32, 65, 192),
        ("vit_small_patch8", 32, 17, 384),
        ("vit_tiny_patch16_224", 224, 197, 192),
    ],
)
def test_vision_transformers_by_patch_size(name, size, tokens, width):
    backbone = make_backbone(name, size)
    assert num_features(backbone, size) == width
    assert backbone.encode(torch.zeros(1, 3, size, size)).shape == (1, tokens, width)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet181", "did you mean 'resnet18'"),
        ("vit_tiny_patch5", "cannot be cut into patches of 5"),
        ("vit_enormous_patch4", "timm has no vision transformer 'vit_enormous'"),
        ("no.such:thing", "Cannot find the model"),
    ],
)
def test_backbones_that_do_not_exist(name, message):
    with pytest.raises(MemorizationError, match=message):
        make_backbone(name, 32)
