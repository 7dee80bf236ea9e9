import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lightly_memloc import load_result, measure_layer_mem, measure_unit_mem


def measure(encoders, digits, split, transform, batch_size, num_workers):
    layer_mem = measure_layer_mem(
        *encoders,
        digits,
        split,
        transform,
        n_views=3,
        batch_size=batch_size,
        num_workers=num_workers,
    )
    unit_mem = measure_unit_mem(
        encoders[0],
        digits,
        transform,
        split.candidate,
        split.external,
        n_views=3,
        batch_size=batch_size,
        num_workers=num_workers,
    )
    return layer_mem, unit_mem


def assert_same(one, two):
    for (layer_mem_1, unit_mem_1), (layer_mem_2, unit_mem_2) in [(one, two)]:
        for first, second in [
            (layer_mem_1.samples_to_pandas(), layer_mem_2.samples_to_pandas()),
            (layer_mem_1.to_pandas(), layer_mem_2.to_pandas()),
            (unit_mem_1.to_pandas(), unit_mem_2.to_pandas()),
            (unit_mem_1.layers_to_pandas(), unit_mem_2.layers_to_pandas()),
        ]:
            pd.testing.assert_frame_equal(first, second, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (7, 0), (7, 2)])
def test_batches_and_workers_change_nothing(
    encoders, digits, small_split, transform, batch_size, num_workers
):
    usual = measure(encoders, digits, small_split, transform, 64, 0)
    other = measure(encoders, digits, small_split, transform, batch_size, num_workers)
    assert_same(usual, other)


RANK = """
import sys, pickle, torch
from pathlib import Path
from torch import distributed
from lightly_memloc.data import Digits
from tests.evaluators.test_execution import measure
torch.set_num_threads(1)
folder, rank = Path(sys.argv[1]), int(sys.argv[2])
distributed.init_process_group(
    "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
)
encoders, split, transform = torch.load(folder / "task.pt", weights_only=False)
results = measure(encoders, Digits(), split, transform, 4, 0)
for name, result in zip(("layer", "unit"), results):
    result.save(folder / f"{name}-{rank}")
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_measure_what_one_does(
    tmp_path, encoders, digits, small_split, transform
):
    assert len(small_split.candidate) % 2 == 1
    torch.save((encoders, small_split, transform), tmp_path / "task.pt")
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(tmp_path), str(rank)],
            cwd=Path(__file__).parents[2],
        )
        for rank in range(2)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0]
    one = measure(encoders, digits, small_split, transform, 64, 0)
    for rank in range(2):
        two = tuple(
            load_result(tmp_path / f"{name}-{rank}") for name in ("layer", "unit")
        )
        assert_same(one, two)
        assert np.array_equal(one[1].to_pandas()["index"], two[1].to_pandas()["index"])
