import numpy as np
import pandas as pd
import pytest
from torch import distributed, multiprocessing

from lightly_memloc import load_result, measure_layer_mem, measure_unit_mem
from lightly_memloc.data import Digits


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


def measure_as_rank(rank, folder, encoders, split, transform):
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    results = measure(encoders, Digits(), split, transform, 4, 0)
    for name, result in zip(("layer", "unit"), results, strict=True):
        result.save(folder / f"{name}-{rank}")
    distributed.destroy_process_group()


def test_two_processes_measure_what_one_does(
    tmp_path, encoders, digits, small_split, transform
):
    assert len(small_split.candidate) % 2 == 1
    task = tmp_path, encoders, small_split, transform
    # Copies of this process, which has imported what they need.
    multiprocessing.start_processes(measure_as_rank, task, 2, start_method="fork")
    one = measure(encoders, digits, small_split, transform, 64, 0)
    for rank in range(2):
        two = tuple(
            load_result(tmp_path / f"{name}-{rank}") for name in ("layer", "unit")
        )
        assert_same(one, two)
        assert np.array_equal(one[1].to_pandas()["index"], two[1].to_pandas()["index"])
