import json
import struct
import sys

import numpy as np
import pandas as pd
import pytest

from lightly_memloc.results import table_file
from lightly_memloc.results.table_file import read_table, write_table

NAMES = [
    "",
    "NA",
    "nan",
    "None",
    "null",
    "-inf",
    "1e5",
    "007",
    " leading and trailing ",
    "a,b.png",
    "line\nbreak.png",
    "line\r\nbreak.png",
    "return\ralone.png",
    'say "cheese".png',
    "'#; \t\\",
    "grüße/日本.png",
    b"caf\xe9.png".decode("utf-8", "surrogateescape"),
    "True",
    "x" * 200_000,
]


@pytest.fixture(params=["csv", "npz"], autouse=True)
def format_of_file(request, monkeypatch):
    """Each table is written in both formats, whatever its number of rows."""
    if request.param == "npz":
        monkeypatch.setattr(table_file, "MANY_ROWS", 0)
    return request.param


def bits(values):
    return [struct.pack("d", value) for value in values]


def again(table, folder):
    path = folder / "table.csv"
    description = json.loads(json.dumps(write_table(table, path)))
    return read_table(path, description)


def test_floats_keep_every_bit(tmp_path):
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 2**64, 5000, dtype=np.uint64).view(np.float64)
    values = [0.1, -0.0, 5e-324, 1 / 3, sys.float_info.max, np.inf, -np.inf]
    values = np.concatenate([values, drawn[~np.isnan(drawn)]])
    table = pd.DataFrame({"value": values, "index": np.arange(len(values))})
    assert bits(again(table, tmp_path)["value"]) == bits(values)


def test_single_precision_is_read_as_double_of_the_same_value(tmp_path):
    values = np.random.default_rng(0).random(1000, dtype=np.float32)
    found = again(pd.DataFrame({"value": values}), tmp_path)["value"]
    assert found.dtype == np.float64
    assert (found == values.astype(np.float64)).all()


@pytest.mark.parametrize(
    "values",
    [
        [np.nan, 0.5, np.nan],
        [np.nan, np.nan],
        [-(2**63), 2**63 - 1, 0],
        [True, False, True],
        ["a", "b"],
    ],
)
def test_columns_of_one_type(tmp_path, values):
    table = pd.DataFrame({"only": values})
    pd.testing.assert_frame_equal(again(table, tmp_path), table, check_exact=True)


@pytest.mark.parametrize("name", NAMES, ids=[ascii(name)[:20] for name in NAMES])
def test_any_file_name_alone(tmp_path, name):
    found = again(pd.DataFrame({"filename": [name]}), tmp_path)
    assert found["filename"].tolist() == [name]


def test_any_file_names_together_and_as_names_of_columns(tmp_path):
    table = pd.DataFrame({"index": range(len(NAMES)), "filename": NAMES})
    found = again(table.assign(value=0.5, **{"return\ralone": 1, "a,b": 2}), tmp_path)
    assert found["filename"].tolist() == NAMES
    assert found.columns.tolist() == [
        "index",
        "filename",
        "value",
        "return\ralone",
        "a,b",
    ]
    assert found["index"].tolist() == list(range(len(NAMES)))


def test_two_columns_of_one_name(tmp_path):
    table = pd.DataFrame([[1, "a"], [2, "b"]], columns=["x", "x"])
    pd.testing.assert_frame_equal(again(table, tmp_path), table)


def test_texts_with_missing_values_and_texts_among_numbers(tmp_path):
    table = pd.DataFrame(
        {
            "missing": pd.Series(["", None, "null"], dtype=object),
            "mixed": pd.Series([np.int64(1), "1", 0.5], dtype=object),
            "lists": pd.Series([[1, "a"], [], None], dtype=object),
        }
    )
    found = again(table, tmp_path)
    assert found["missing"].isna().tolist() == [False, True, False]
    assert found["missing"][[0, 2]].tolist() == ["", "null"]
    assert found["mixed"].tolist() == [1, "1", 0.5]
    assert [type(value) for value in found["mixed"]] == [int, str, float]
    assert found["lists"].tolist() == [[1, "a"], [], None]


def test_integers_beyond_64_bits_with_sign(tmp_path):
    table = pd.DataFrame({"n": np.array([2**64 - 1, 0], dtype=np.uint64)})
    assert again(table, tmp_path)["n"].tolist() == [2**64 - 1, 0]


def test_tables_without_rows_keep_their_columns(tmp_path):
    table = pd.DataFrame({"layer": ["a"], "value": [0.5], "n": [1], "dead": [True]})
    empty = table.iloc[:0]
    pd.testing.assert_frame_equal(again(empty, tmp_path), empty)


def test_a_table_without_columns(tmp_path):
    assert again(pd.DataFrame(index=range(3)), tmp_path).shape == (3, 0)


@pytest.mark.parametrize("format_of_file", ["csv"], indirect=True)
def test_spreadsheets_read_the_file_as_it_is(tmp_path):
    table = pd.DataFrame({"layer": ["a,b", "c"], "value": [0.1, np.nan], "n": [1, 2]})
    write_table(table, tmp_path / "table.csv")
    text = (tmp_path / "table.csv").read_bytes()
    assert text == b'layer,value,n\n"a,b",0.1,1\nc,,2\n'


@pytest.mark.parametrize("format_of_file", ["npz"], indirect=True)
def test_numpy_reads_the_file_as_it_is(tmp_path):
    table = pd.DataFrame(
        {"filename": ["a.png", "b.png"], "f:layer1.0": [0.1, np.nan], "n": [1, 2]}
    )
    write_table(table, tmp_path / "table.npz")
    with np.load(tmp_path / "table.npz") as found:
        np.testing.assert_array_equal(found["f:layer1.0"], [0.1, np.nan])
        assert found["n"].tolist() == [1, 2]
        assert json.loads(found["filename.json"]) == ["a.png", "b.png"]


def test_the_number_of_rows_decides_the_format(tmp_path, format_of_file):
    table = pd.DataFrame({"value": np.zeros(100_000)})
    few, many = (
        write_table(of, tmp_path / "table")["format"] for of in (table[1:], table)
    )
    assert (few, many) == ("npz" if format_of_file == "npz" else "csv", "npz")


def test_the_same_table_gives_the_same_file(tmp_path):
    table = pd.DataFrame({"name": ["a", "b"], "value": [0.1, 0.2]})
    first, second = (write_table(table, tmp_path / name) for name in ("one", "two"))
    assert first == second
