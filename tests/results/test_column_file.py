import json
import zipfile

import numpy as np
import pytest

from lightly_memloc.results.column_file import read_columns, write_columns


def again(columns, folder):
    path = folder / "columns.npz"
    write_columns(columns, path)
    return read_columns(path.read_bytes())


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (np.array([0.5, np.nan, -0.0, np.inf]), "float32"),
        (np.array([0.1]), "float64"),
        (np.array([np.float64(np.float32(0.1)), 1e300]), "float64"),
        (np.array([5e-324]), "float64"),
        (np.array([-(2**31), 2**31 - 1]), "int32"),
        (np.array([0, 2**31]), "int64"),
        (np.array([True, False]), "bool"),
        (np.zeros(0), "float32"),
    ],
)
def test_numbers_take_half_the_room_only_where_they_stay_the_same(
    tmp_path, values, written
):
    (found,) = again({"a": values}, tmp_path).values()
    assert found.dtype == written
    assert found.astype(values.dtype).tobytes() == values.tobytes()


def test_columns_keep_their_order_and_names(tmp_path):
    columns = {"b.c": np.arange(3), "a": ["x", "\udcff"], "f:b/0": np.ones(2), "": []}
    found = again(columns, tmp_path)
    assert list(found) == list(columns)
    assert found["a"] == ["x", "\udcff"]
    assert found[""] == []


def test_the_file_is_an_archive_of_arrays_and_json(tmp_path):
    again({"value": np.ones(2), "name": ["a", "ü"]}, tmp_path)
    with zipfile.ZipFile(tmp_path / "columns.npz") as archive:
        assert archive.namelist() == ["value.npy", "name.json"]
        assert json.loads(archive.read("name.json")) == ["a", "ü"]


def test_random_single_precision_takes_less_than_its_four_bytes(tmp_path):
    values = np.random.default_rng(0).lognormal(size=100_000).astype(np.float32)
    again({"value": values.astype(np.float64)}, tmp_path)
    assert (tmp_path / "columns.npz").stat().st_size < 4 * len(values)
