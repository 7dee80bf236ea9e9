"""A result says which weights, images and split it belongs to."""

import copy

import pytest
import torch

import lightly_memloc as memloc
from lightly_memloc.data import Study, pixel_digest
from lightly_memloc.evaluators import EVALUATORS
from lightly_memloc.runtime import weights_fingerprint
from tests.evaluators.tiny import Shades, Tiny

SPLIT = memloc.MemorizationSplit(24, range(6, 24), [0, 1], [2, 3], [4, 5])
IMAGES = {"layer_mem": range(6), "unit_mem": range(4), "class_mem": range(2)}


def measure(name, f, g, dataset, transform, split=SPLIT):
    study = Study(dataset, transform, split, n_views=2)
    return EVALUATORS[name](f, study, g).run().settings["fingerprints"]


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return Tiny(), Tiny()


@pytest.mark.parametrize("name", IMAGES)
def test_fingerprints_of_what_was_measured(pair, transform, name):
    f, g = pair
    found = measure(name, f, g, Shades(), transform)
    weights = {"f": weights_fingerprint(f)}
    if name != "class_mem":
        weights["g"] = weights_fingerprint(g)
    images = {str(index): pixel_digest(Shades()[index][0]) for index in IMAGES[name]}
    assert found == {"weights": weights, "images": images, "split": SPLIT.digest()}


@pytest.mark.parametrize("name", IMAGES)
def test_each_tells_what_changed(pair, transform, name):
    f, g = pair
    before = measure(name, f, g, Shades(), transform)

    def changed(*arguments):
        after = measure(name, *arguments)
        return {of for of in before if before[of] != after[of]}

    other = copy.deepcopy(f)
    with torch.no_grad():
        other.head.bias[0] += 1
    assert changed(other, g, Shades(), transform) == {"weights"}
    replaced = Shades()
    replaced.pixels[1, 0, 0, 0] ^= 1
    assert changed(f, g, replaced, transform) == {"images"}
    without = memloc.MemorizationSplit(24, range(6, 23), [0, 1], [2, 3], [4, 5])
    assert changed(f, g, Shades(), transform, without) == {"split"}
    assert changed(f, g, Shades(), transform) == set()


def test_without_a_split_there_is_none_to_compare(pair, transform):
    result = memloc.measure_unit_mem(
        pair[0], Shades(), transform, range(4), range(4, 8), n_views=2
    )
    assert result.settings["fingerprints"]["split"] is None


def test_fingerprints_are_saved(pair, transform, tmp_path):
    result = memloc.measure_unit_mem(pair[0], Shades(), transform, range(4), n_views=2)
    result.save(tmp_path)
    loaded = memloc.load_result(tmp_path)
    assert loaded.settings["fingerprints"] == result.settings["fingerprints"]
