import numpy as np
import pandas as pd
import pytest
from torch import distributed, multiprocessing

from lightly_memloc import (
    MemorizationSplit,
    load_result,
    measure_layer_mem,
    measure_unit_mem,
)
from lightly_memloc.data import Digits

# Enough images to adjust a single encoder's gap, and to test whether they differ in kind.
ALONE = MemorizationSplit(1797, candidate=np.arange(40, 55), external=np.arange(55, 70))


def measure(encoders, digits, split, transform, batch_size, num_workers):
    how = {"n_views": 3, "batch_size": batch_size, "num_workers": num_workers}
    return {
        "layer": measure_layer_mem(*encoders, digits, split, transform, **how),
        "unit": measure_unit_mem(
            encoders[0], digits, transform, split.candidate, split.external, **how
        ),
        "layer-alone": measure_layer_mem(
            encoders[0], None, digits, ALONE, transform, **how
        ),
        "unit-alone": measure_unit_mem(
            encoders[0], digits, transform, split=ALONE, **how
        ),
    }


def assert_same(one, two):
    assert one["layer-alone"].has("adjusted_gap")
    assert "matched_share" in one["unit-alone"].layers_to_pandas()
    for name, first in one.items():
        for table in ("layers", "units", "samples", "distances"):
            if table in first.tables:
                pd.testing.assert_frame_equal(
                    first.to_pandas(table),
                    two[name].to_pandas(table),
                    rtol=1e-6,
                    atol=1e-6,
                )
        if first.settings.get("blind"):
            assert two[name].settings["blind"] == pytest.approx(first.settings["blind"])


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
    for name, result in results.items():
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
        two = {name: load_result(tmp_path / f"{name}-{rank}") for name in one}
        assert_same(one, two)
        for name in ("unit", "unit-alone"):
            index, other = (of[name].to_pandas()["index"] for of in (one, two))
            assert np.array_equal(index, other)
