import subprocess
import sys

import pytest
import torch

from lightly_memloc import MemorizationSplit, measure_layer_mem, measure_unit_mem
from lightly_memloc.data import Digits
from lightly_memloc.errors import MemorizationError
from lightly_memloc.evaluators import load_encoder
from lightly_memloc.training import (
    TrainingConfig,
    make_backbone,
    make_transform,
    method_class,
    train_pair,
)

pytestmark = pytest.mark.slow

SLIM = {"backbone": "resnet9-slim", "batch_size": 16}
METHODS = {
    "simclr": SLIM,
    "moco": SLIM | {"learning_rate": 2e-3},
    "byol": SLIM,
    "simsiam": SLIM,
    "barlow_twins": SLIM | {"learning_rate": 3e-4},
    "vicreg": SLIM,
    "dino": SLIM,
    "mae": {"backbone": "vit_tiny_patch4", "batch_size": 16},
    "supervised": SLIM,
}
BACKBONES = {
    "resnet18": "simclr",
    "vit_tiny_patch4": "mae",
    "tests.training.test_methods:make_own": "vicreg",
}


def assert_trained_and_measurable(tmp_path, config, images):
    digits, transform = Digits(), make_transform(config)
    others = range(4 * images + 16, len(digits))
    split = MemorizationSplit.random(len(digits), images, images, 16, exclude=others)
    f, g = train_pair(digits, split, config)
    for encoder in (f, g):
        assert encoder.losses[-1] < encoder.losses[0]
    f.save(tmp_path / "f.ckpt")
    backbone = make_backbone(config.backbone, config.input_size)
    loaded = load_encoder(backbone, tmp_path / "f.ckpt")
    for name, value in f.backbone.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    layers = measure_layer_mem(loaded, g.backbone, digits, split, transform, n_views=2)
    assert layers.to_pandas()["symmetric"].notna().all()
    units = measure_unit_mem(loaded, digits, transform, split.candidate, n_views=2)
    assert units.layers_to_pandas()["mean"].between(0, 1).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_and_can_be_measured(tmp_path, method):
    settings = METHODS[method] | {"method": method, "epochs": 2}
    config = TrainingConfig.for_data("digits", **settings)
    # DINO's last layer rests in the first epoch, and MoCo has to fill its queue.
    images = 200 if method in ("dino", "moco") else 40
    assert_trained_and_measurable(tmp_path, config, images)


def make_own():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
    )


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_backbone_trains_and_can_be_measured(tmp_path, backbone):
    config = TrainingConfig.for_data(
        "digits",
        method=BACKBONES[backbone],
        backbone=backbone,
        epochs=2,
        batch_size=16,
    )
    assert_trained_and_measurable(tmp_path, config, images=40)


def test_every_method_is_tested():
    of_the_package = {
        name
        for name, method in method_class("simclr").registry.items()
        if method.__module__.startswith("lightly_memloc.")
    }
    assert of_the_package == set(METHODS)


def test_digits_are_neither_solarized_nor_coloured():
    """A grey image of one value stays one, whatever is cropped from it."""
    image, *_ = Digits()[0]
    grey = image.point(lambda _: 50)
    for method in METHODS:
        config = TrainingConfig.for_data("digits", method=method)
        for _ in range(20):
            for view in make_transform(config)(grey):
                assert view.unique().tolist() == pytest.approx([50 / 255])


def test_mae_needs_tokens():
    with pytest.raises(MemorizationError, match="needs a vision transformer"):
        method_class("mae")(make_own(), 8, 2, 1e-3)


def test_supervised_training_needs_classes():
    with pytest.raises(MemorizationError, match="at least two classes, got 0"):
        method_class("supervised")(make_own(), 8, 2, 1e-3)


def test_an_unknown_method_is_told_the_nearest():
    with pytest.raises(MemorizationError, match="did you mean 'simclr'"):
        method_class("simcrl")


WITHOUT_TIMM = """
import sys

sys.modules["timm"] = None

from lightly_memloc import training
from lightly_memloc.errors import MemorizationError

resnet = training.make_backbone("resnet9-slim", 16)
for vision_transformer in (
    lambda: training.method_class("mae")(resnet, 256, epochs=1, learning_rate=0.1),
    lambda: training.make_backbone("vit_tiny_patch4", 16),
):
    try:
        vision_transformer()
    except MemorizationError as error:
        print(error)
"""


def test_without_timm_all_but_vision_transformers_works():
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_TIMM], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    mae, vit = run.stdout.splitlines()
    assert "it needs a vision transformer as backbone" in mae
    assert 'pip install "lightly-memloc[timm]"' in vit
