import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Subset

from lightly_memloc import MultiViewDataset, load_result, measure_unit_mem
from lightly_memloc.data import Study
from lightly_memloc.errors import MemorizationError
from lightly_memloc.interventions import measure_unit_tuning, tune_unit
from lightly_memloc.training import ResNet9

IMAGES = np.arange(100, 140)


@pytest.fixture
def encoder():
    torch.manual_seed(3)
    return ResNet9(width=8).eval()


def study(digits, transform, indices, n_views=2, seed=0):
    return Study(digits, transform, indices=indices, n_views=n_views, seed=seed)


def test_measured_rises_are_those_of_the_tuned_models(
    encoder, digits, transform, tmp_path
):
    layers = ["layer1.residual", "layer2.conv", "layer3.head.conv"]
    result = measure_unit_tuning(
        encoder,
        study(digits, transform, IMAGES, n_views=4, seed=5),
        layers=layers,
        n_units=3,
        steps=3,
        learning_rate=0.1,
    )
    units = result.to_pandas()
    # The residual block has no weights of its own.
    assert units["layer"].tolist() == ["layer2.conv"] * 3 + ["layer3.head.conv"] * 3
    before = measure_unit_mem(
        encoder, digits, transform, IMAGES, layers=layers, n_views=4, seed=5
    ).to_pandas()
    for _, row in units.iterrows():
        assert row["index"] in IMAGES
        assert row["filename"] == MultiViewDataset(digits, transform)[row["index"]][2]
        tuned = tune_unit(
            encoder,
            row["layer"],
            row["unit"],
            digits,
            transform,
            row["index"],
            IMAGES,
            steps=3,
            learning_rate=0.1,
            seed=5,
        )
        after = measure_unit_mem(
            tuned, digits, transform, IMAGES, layers=row["layer"], n_views=4, seed=5
        ).to_pandas()
        one = (before["layer"] == row["layer"]) & (before["unit"] == row["unit"])
        assert before[one]["unit_mem"].item() == row["before"]
        assert before[one]["index"].item() != row["index"]
        assert after["unit_mem"][row["unit"]] == row["after"]
        assert (after["index"][row["unit"]] == row["index"]) == row["wins"]
    result.save(tmp_path)
    loaded = load_result(tmp_path)
    pd.testing.assert_frame_equal(loaded.to_pandas(), units)


def test_layers_without_weights_are_refused(encoder, digits, transform):
    with pytest.raises(
        MemorizationError, match="None of the layers has its own weights"
    ):
        measure_unit_tuning(
            encoder, study(digits, transform, IMAGES), layers=["layer1.residual"]
        )


def test_units_are_not_tuned_to_the_image_that_activates_them_most(
    encoder, digits, transform
):
    images, layers = [100, 101, 102], "layer2.conv"
    tuned = measure_unit_tuning(
        encoder, study(digits, transform, images), layers=layers, n_units=8, steps=1
    ).to_pandas()
    before = measure_unit_mem(
        encoder, digits, transform, images, layers=layers, n_views=2
    ).to_pandas()
    most = before.set_index("unit")["index"][tuned["unit"]].to_numpy()
    assert len(tuned) == 8
    assert (tuned["index"].to_numpy() != most).all()


def test_measuring_leaves_the_model_and_the_generators_as_they_were(
    encoders, digits, transform, generator_states
):
    encoder = encoders[0].train()
    encoder.layer2.requires_grad_(False)
    before, states = copy.deepcopy(encoder.state_dict()), generator_states()
    images = Subset(digits, range(50, 62))
    result = measure_unit_tuning(
        encoder, Study(images, transform, n_views=2), layers="layer2.conv", steps=1
    )
    assert generator_states() == states
    assert all(module.training for module in encoder.modules())
    assert [p.requires_grad for p in encoder.layer2.parameters()] == [False] * 3
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])
    table = result.to_pandas()
    assert table["unit"].is_unique
    assert table["filename"].tolist() == [
        digits.filenames[50 + index] for index in table["index"]
    ]
