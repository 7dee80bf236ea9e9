"""Both callbacks in a training of two processes."""

import pandas as pd
import pytest
import torch
from torch import nn

from lightly_memloc import (
    load_result,
    measure_layer_mem,
    measure_unit_mem,
)
from tests.evaluators import fit_of_two
from tests.evaluators.ranks import call_in_two_processes


def fit(folder, encoders, split, transform, n_processes):
    torch.save((encoders, split, transform), folder / "task.pt")
    if n_processes == 1:
        fit_of_two.main(folder, 1)
    else:
        call_in_two_processes(fit_of_two.main, folder, 2)


def assert_same(result, expected):
    for name, table in expected.tables.items():
        pd.testing.assert_frame_equal(result.tables[name], table, rtol=1e-6, atol=1e-6)


def test_two_processes_measure_the_first_ones_encoder(
    tmp_path, encoders, digits, small_split, transform
):
    """BatchNorm's statistics differ between the processes of a training."""
    assert len(small_split.candidate) % 2 == 1
    f, g = encoders
    untrained = {name: value.clone() for name, value in f.state_dict().items()}
    fit(tmp_path, encoders, small_split, transform, 2)
    trained = torch.load(tmp_path / "f.pt")
    assert any(not trained[name].equal(value) for name, value in untrained.items())
    f.load_state_dict(trained)
    expected = [
        measure_unit_mem(
            f,
            digits,
            transform,
            reference=g,
            split=small_split,
            n_views=2,
        ),
        measure_layer_mem(f, g, digits, small_split, transform, n_views=2),
    ]
    for rank in range(2):
        for number, result in enumerate(expected):
            measured = load_result(tmp_path / f"measured-{number}-{rank}")
            assert_same(measured, result)
    written = load_result(tmp_path / "memorization" / "epoch=0" / "unit-mem")
    assert_same(written, expected[0])


@pytest.fixture
def without_batch_norm():
    torch.manual_seed(0)
    return [
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten())
        for _ in range(2)
    ]


def test_two_processes_follow_the_same_images(
    tmp_path, without_batch_norm, small_split, transform
):
    assert len(small_split.candidate) % 2 == 1
    for n_processes in (1, 2):
        fit(tmp_path, without_batch_norm, small_split, transform, n_processes)
    expected = load_result(tmp_path / "online-1-0")
    assert expected.settings["images"] == len(small_split.candidate)
    for rank in range(2):
        result = load_result(tmp_path / f"online-2-{rank}")
        assert result.settings == expected.settings
        assert_same(result, expected)
