import pytest
import torch

from lightly_memloc import find_layers
from lightly_memloc.training import ResNet9
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
