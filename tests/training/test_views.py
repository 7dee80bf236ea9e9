import numpy as np
import pytest
import timm
import torch
from lightly.transforms.utils import IMAGENET_NORMALIZE
from PIL import Image
from torch import nn
from torchvision import transforms

from lightly_memloc.data import MultiViewDataset, described
from lightly_memloc.errors import MemorizationError
from lightly_memloc.training import (
    TrainingConfig,
    make_views,
    normalization,
    own_preprocessing,
    view_names,
)

PIXELS = np.random.default_rng(0).integers(256, size=(40, 30, 3), dtype=np.uint8)
HERE = "tests.training.test_views"


class Images:
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return Image.fromarray(PIXELS)


def views_of(name, **settings):
    config = TrainingConfig(input_size=24, **settings)
    return MultiViewDataset(Images(), make_views(name, config), n_views=3)[0][0]


@pytest.mark.parametrize("name", view_names())
def test_each_name_makes_views_of_the_size_asked_for(name):
    seen = views_of(name)
    assert seen.shape == (3, 3, 24, 24)
    is_random = not torch.equal(seen[0], seen[1])
    assert is_random == (name != "center-crop")


@pytest.mark.parametrize("name", view_names())
def test_each_is_normalized_as_asked(name):
    """The same views, on the scale of the normalization."""
    given = {"mean": [0.2, 0.3, 0.4], "std": [0.5, 0.25, 2.0]}
    plain = views_of(name, transform={"normalize": None})
    seen = views_of(name, transform={"normalize": given})
    assert 0 <= plain.min() < plain.max() <= 1
    expected = transforms.Normalize(**given)(plain)
    torch.testing.assert_close(seen, expected)
    imagenet = transforms.Normalize(**IMAGENET_NORMALIZE)(plain)
    torch.testing.assert_close(views_of(name), imagenet)


def made_by_a_function():
    return transforms.Compose([transforms.RandomCrop(10), transforms.ToTensor()])


class MadeByAClass:
    def __call__(self, image):
        return transforms.ToTensor()(image)[:, :10, :10]


made_before = made_by_a_function()


def itself(image):
    return transforms.ToTensor()(image)[:, :10, :10]


@pytest.mark.parametrize(
    "name", ["made_by_a_function", "MadeByAClass", "made_before", "itself"]
)
def test_a_transform_of_ones_own(name):
    assert views_of(f"{HERE}:{name}").shape == (3, 3, 10, 10)


def broken():
    raise RuntimeError("no such file")


number = 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("simlcr", "Unknown transform 'simlcr': expected one of barlow_twins, byol"),
        (f"{HERE}:nothing", "Cannot find the transform"),
        ("no.such.module:make", "Cannot find the transform"),
        (f"{HERE}:broken", "failed with RuntimeError: no such file"),
        (f"{HERE}:number", "gave a int; expected a transform"),
    ],
)
def test_what_is_no_transform(name, message):
    with pytest.raises(MemorizationError, match=message):
        make_views(name, TrainingConfig())


def test_normalizations():
    assert normalization("imagenet") == IMAGENET_NORMALIZE
    assert normalization("none") is None
    assert normalization("0.5,0.25") == {"mean": [0.5] * 3, "std": [0.25] * 3}
    each = normalization("1,2,3,4,5,6")
    assert each == {"mean": [1, 2, 3], "std": [4, 5, 6]}


@pytest.mark.parametrize(
    "text", ["", "image", "0.5", "1,2,3", "0.5,0", "0.5,-1", "nan,1", "0.5,inf", "a,b"]
)
def test_what_is_no_normalization(text):
    with pytest.raises(MemorizationError, match="Expected"):
        normalization(text)


def test_the_preprocessing_that_a_model_states():
    model = timm.create_model("vit_tiny_patch16_224.augreg_in21k", num_classes=0)
    own = own_preprocessing(model)
    assert own == {
        "input_size": 224,
        "normalize": {"mean": [0.5] * 3, "std": [0.5] * 3},
    }
    assert own_preprocessing(nn.Linear(1, 1)) == {}
    odd = nn.Linear(1, 1)
    odd.pretrained_cfg = {"input_size": None}
    assert own_preprocessing(odd) == {}


@pytest.mark.parametrize("name", view_names())
def test_descriptions_are_one_line_and_the_same_each_time(name):
    texts = {described(make_views(name, TrainingConfig())) for _ in range(2)}
    (text,) = texts
    assert "\n" not in text
    assert "0x" not in text
    assert "size=(32, 32)" in text or "size=32" in text or "32" in text
