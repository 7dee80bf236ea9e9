import re

import numpy as np
import pandas as pd
import pytest

from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import Readings, estimate_layer_mem
from tests.estimation.measured import SETTINGS

LAYERS = [("stem", "conv"), ("head", "linear")]


def images(index=(4, 7, 9)):
    names = [f"{i}.png" for i in index]
    return pd.DataFrame({"index": index, "filename": names, "role": "candidate"})


def distances(n_images=3, n_layers=2):
    return np.arange(1.0, 1 + n_images * n_layers).reshape(n_images, n_layers)


def test_every_layer_has_a_value_for_every_image():
    values = distances()
    readings = Readings(images(), LAYERS, {"f": values, "g": values + 1})
    assert readings.names == ["stem", "head"]
    assert readings.roles.tolist() == ["candidate"] * 3


@pytest.mark.parametrize("encoder", ["f", "g"])
def test_a_layer_without_a_value_is_refused_with_its_name_and_an_image(encoder):
    values = {"f": distances(), "g": distances()}
    values[encoder][1:, 1] = np.nan
    message = (
        f"Layer head of encoder {encoder} has no value for 2 of 3 images, 7.png among"
    )
    with pytest.raises(MemorizationError, match=re.escape(message)):
        Readings(images(), LAYERS, values)


@pytest.mark.parametrize("shape", [(2, 2), (3, 1), (3,)])
def test_other_numbers_of_images_or_layers_are_refused(shape):
    with pytest.raises(MemorizationError, match=r"3 images and 2 layers, got shape"):
        Readings(images(), LAYERS, {"f": np.ones(shape)})


def test_an_image_listed_twice_is_refused():
    with pytest.raises(MemorizationError, match="Image 7 is listed twice"):
        Readings(images((7, 4, 7)), LAYERS, {"f": distances()})


@pytest.mark.parametrize("encoders", [["g"], ["untrained_1", "g"], []])
def test_readings_without_the_encoder_are_refused(encoders):
    with pytest.raises(MemorizationError, match="distances of the encoder f"):
        Readings(images(), LAYERS, dict.fromkeys(encoders, distances()))


def test_images_without_roles_are_refused():
    with pytest.raises(MemorizationError, match="it lacks filename, role"):
        Readings(pd.DataFrame({"index": [1]}), LAYERS, {"f": distances(1)})


def test_values_are_sorted_into_the_rows_of_their_images():
    values = distances()
    orders = {"f": ([2, 0, 1], [1, 2, 0]), "g": ([0, 1, 2], [2, 1, 0])}
    measured = {
        encoder: [
            (images()["index"].to_numpy()[order], values[order, layer])
            for layer, order in enumerate(by_layer)
        ]
        for encoder, by_layer in orders.items()
    }
    readings = Readings.aligned(images(), LAYERS, measured)
    for encoder in ("f", "g"):
        np.testing.assert_array_equal(readings.distances[encoder], values)


def test_a_layer_that_ran_on_some_images_is_refused():
    measured = {"f": [([4, 7, 9], [1, 2, 3]), ([9, 4], [1, 2])]}
    with pytest.raises(MemorizationError, match=r"Layer head .* 1 of 3 images, 7\.png"):
        Readings.aligned(images(), LAYERS, measured)


@pytest.mark.parametrize("index", [[4, 7, 8], [4, 7, 7]])
def test_other_or_repeated_images_are_refused(index):
    measured = {"f": [([4, 7, 9], [1, 2, 3]), (index, [1, 2, 3])]}
    with pytest.raises(MemorizationError, match="Layer head of encoder f measured"):
        Readings.aligned(images(), LAYERS, measured)


def test_rows_keep_their_images_whatever_the_tables_index():
    table = images().set_index(pd.Index([5, 1, 3]))
    result = estimate_layer_mem(
        Readings(table, LAYERS, {"f": distances()}), SETTINGS, 19
    )
    found = result.distances_to_pandas()
    assert found["index"].tolist() == [4, 7, 9]
    np.testing.assert_array_equal(found[["f:stem", "f:head"]], distances())
