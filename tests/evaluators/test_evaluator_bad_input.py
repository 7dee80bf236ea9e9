import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.models import resnet18

from lightly_memloc import (
    MemorizationSplit,
    measure_class_mem,
    measure_layer_mem,
    measure_unit_mem,
)
from lightly_memloc.data import open_dataset
from lightly_memloc.errors import MemorizationError, UnreadableImageError
from lightly_memloc.training import ResNet9
from tests.evaluators.tiny import Shades, Unlabelled


def test_different_architectures_name_the_first_difference(
    encoders, digits, small_split, transform
):
    with pytest.raises(MemorizationError, match=r"prep.conv.weight has shape \(4, 3"):
        measure_layer_mem(encoders[0], ResNet9(width=8), digits, small_split, transform)
    with pytest.raises(MemorizationError, match="it is missing"):
        measure_layer_mem(encoders[0], resnet18(), digits, small_split, transform)


def test_unknown_layer_names_pattern_and_neighbours(encoders, digits, transform):
    with pytest.raises(MemorizationError, match=r"'layer9\.\*'.*layer1") as error:
        measure_unit_mem(
            encoders[0], digits, transform, np.arange(4), layers="layer9.*"
        )
    assert "lightly-memloc layers" in str(error.value)


@pytest.mark.parametrize("name", ["index", "filename", "role"])
def test_a_layer_called_as_a_column_is_refused_before_it_is_measured(
    name, digits, small_split, transform
):
    read = []

    def counted(image):
        read.append(image)
        return transform(image)

    encoder = nn.Sequential()
    encoder.add_module(name, nn.Conv2d(3, 4, 3))
    encoder.add_module("last", nn.Conv2d(4, 4, 3))
    measured = (encoder, None, digits, small_split, counted)
    with pytest.raises(MemorizationError, match=f"A layer is called '{name}'.*rename"):
        measure_layer_mem(*measured, n_views=2, batch_size=2)
    assert len(read) == 2 * 2
    result = measure_layer_mem(*measured, n_views=2, layers="last")
    assert "last" in result.samples_to_pandas()
    nested = nn.Sequential(encoder)
    named = measure_layer_mem(nested, *measured[1:], n_views=2)
    assert f"0.{name}" in named.samples_to_pandas()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_activations_that_are_not_finite_name_the_layer(
    encoders, digits, small_split, transform, value
):
    with torch.no_grad():
        encoders[0].layer2.bn.bias[0] = value
    with pytest.raises(MemorizationError, match=r"Layer layer2\.conv: Image \d+ gave"):
        measure_layer_mem(*encoders, digits, small_split, transform, n_views=2)
    with pytest.raises(MemorizationError, match=r"Layer layer2\.conv: Image \d+ gave"):
        measure_unit_mem(encoders[0], digits, transform, np.arange(4), n_views=2)


def test_split_of_another_data_set(encoders, digits, transform):
    split = MemorizationSplit.random(100, 10, 10, 10)
    with pytest.raises(MemorizationError, match=r"made for 100 images.*1797"):
        measure_layer_mem(*encoders, digits, split, transform)


def test_no_reference_and_no_externals(encoders, digits, transform):
    split = MemorizationSplit.random(len(digits), 10, 10)
    with pytest.raises(
        MemorizationError, match="expected at least two external images, got 0"
    ):
        measure_layer_mem(encoders[0], None, digits, split, transform)


@pytest.mark.parametrize("has_reference", [True, False])
def test_exactly_one_candidate(encoders, transform, has_reference):
    f, g = encoders
    split = MemorizationSplit(12, candidate=[3], independent=[5, 6], external=[1, 2])
    with pytest.raises(MemorizationError, match="at least two candidates, got 1"):
        measure_layer_mem(f, g if has_reference else None, Shades(12), split, transform)


def test_exactly_one_external(encoders, transform):
    f, g = encoders
    split = MemorizationSplit(12, candidate=[3, 4], independent=[5], external=[1])
    with pytest.raises(
        MemorizationError, match="expected at least two external images, got 1"
    ):
        measure_layer_mem(f, None, Shades(12), split, transform)
    result = measure_layer_mem(f, g, Shades(12), split, transform, n_views=2)
    assert sorted(result.samples_to_pandas()["index"]) == [1, 3, 4, 5]


def test_two_candidates_and_two_externals_are_enough(encoders, transform):
    split = MemorizationSplit(12, candidate=[3, 4], external=[1, 2])
    result = measure_layer_mem(
        encoders[0], None, Shades(12), split, transform, n_views=2
    )
    assert result.to_pandas()["alignment_gap"].notna().all()


def test_exactly_one_image(encoders, transform):
    with pytest.raises(MemorizationError, match="at least two images, got 1"):
        measure_unit_mem(encoders[0], Shades(12), transform, indices=[3, 3])
    result = measure_unit_mem(
        encoders[0], Shades(12), transform, indices=[3, 4], n_views=2
    )
    assert result.settings["images"] == 2


def test_image_in_indices_and_holdout(encoders, digits, transform):
    with pytest.raises(
        MemorizationError, match="Image 3 and 1 more are both in indices"
    ):
        measure_unit_mem(encoders[0], digits, transform, range(5), range(3, 9))


def test_indices_out_of_range(encoders, digits, transform):
    with pytest.raises(MemorizationError, match="1797 images"):
        measure_unit_mem(encoders[0], digits, transform, [1, 5000])


@pytest.mark.parametrize("indices", [[1, 12], [-1, 3]])
def test_indices_just_out_of_range(encoders, transform, indices):
    outside = -1 if -1 in indices else 12
    words = f"Index {outside} of indices is out of range for a data set of 12 images"
    with pytest.raises(MemorizationError, match=words):
        measure_unit_mem(encoders[0], Shades(12), transform, indices=indices)
    with pytest.raises(MemorizationError, match=words):
        measure_class_mem(
            encoders[0], Unlabelled(12), transform, indices=indices, num_classes=3
        )


def test_the_first_and_the_last_image(encoders, transform):
    result = measure_unit_mem(
        encoders[0], Shades(12), transform, indices=[0, 11], n_views=2
    )
    assert set(result.to_pandas()["index"]) == {0, 11}


@pytest.mark.parametrize("batch_size", [0, -3])
def test_batches_without_an_image(encoders, digits, small_split, transform, batch_size):
    words = f"batch_size to be a whole number at least 1, got {batch_size}"
    with pytest.raises(MemorizationError, match=words):
        measure_layer_mem(
            *encoders, digits, small_split, transform, batch_size=batch_size
        )
    for measure in (measure_unit_mem, measure_class_mem):
        with pytest.raises(MemorizationError, match=words):
            measure(encoders[0], digits, transform, batch_size=batch_size)


def test_an_unknown_rectification(encoders, digits, transform):
    for measure in (measure_unit_mem, measure_class_mem):
        with pytest.raises(MemorizationError, match=r"Expected rectify .*'square'"):
            measure(encoders[0], digits, transform, rectify="square")


def test_anchor_pairs_need_their_transform(encoders, digits, small_split, transform):
    with pytest.raises(
        MemorizationError, match="anchor_transform must be given together"
    ):
        measure_layer_mem(*encoders, digits, small_split, transform, pairs="anchor")


def test_an_anchor_transform_needs_anchor_pairs(
    encoders, digits, small_split, transform
):
    with pytest.raises(
        MemorizationError, match="anchor_transform must be given together"
    ):
        measure_layer_mem(
            *encoders, digits, small_split, transform, anchor_transform=transform
        )


@pytest.fixture
def folder_with_a_broken_image(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(12):
        folder = tmp_path / f"class{number % 2}"
        folder.mkdir(exist_ok=True)
        pixels = rng.integers(256, size=(20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    broken = tmp_path / "class1" / "05.png"
    broken.write_bytes(broken.read_bytes()[:100])
    return tmp_path


@pytest.mark.parametrize("num_workers", [0, 1])
def test_unreadable_image_names_itself(
    encoders, folder_with_a_broken_image, transform, num_workers
):
    dataset = open_dataset(folder_with_a_broken_image)
    with pytest.raises(UnreadableImageError, match=r"^class1/05\.png: "):
        measure_unit_mem(
            encoders[0], dataset, transform, n_views=2, num_workers=num_workers
        )


def test_unreadable_image_is_left_out_and_reported(
    encoders, folder_with_a_broken_image, transform
):
    dataset = open_dataset(folder_with_a_broken_image)
    broken = [dataset.index_to_filename(dataset.dataset, i) for i in range(12)].index(
        "class1/05.png"
    )
    members = [i for i in range(12) if i % 2 == 0 or i == broken]
    holdout = [i for i in range(12) if i not in members]
    result = measure_unit_mem(
        encoders[0],
        dataset,
        transform,
        members,
        holdout,
        n_views=2,
        skip_unreadable=True,
    )
    assert result.settings["skipped"] == ["class1/05.png"]
    assert broken not in result.to_pandas()["index"].tolist()
    split = MemorizationSplit(12, candidate=members, external=holdout)
    layer_mem = measure_layer_mem(
        *encoders, dataset, split, transform, n_views=2, skip_unreadable=True
    )
    assert layer_mem.settings["skipped"] == ["class1/05.png"]
    assert broken not in layer_mem.samples_to_pandas()["index"].tolist()
