"""Tables of many rows are read when they are first asked for."""

import copy
import os
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lightly_memloc import load_result
from lightly_memloc.errors import MemorizationError
from lightly_memloc.results import table_file, tables
from lightly_memloc.results.tables import Tables
from tests.results.made_up import MadeUpResult


@pytest.fixture(autouse=True)
def many_rows(monkeypatch):
    """Four rows are many."""
    for module in (table_file, tables):
        monkeypatch.setattr(module, "MANY_ROWS", 4)


def result(n_rows=5):
    frame = pd.DataFrame({"index": range(n_rows), "score": np.arange(n_rows) / 3})
    layers = pd.DataFrame({"layer": ["one"], "difference": [0.25]})
    both = {"samples": frame, "layers": layers, "random": frame.assign(score=0.5)}
    return MadeUpResult({"seed": 0}, both)


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that were read."""
    read, real = [], tables.read_table

    def noted(path, description):
        read.append(path.name)
        return real(path, description)

    monkeypatch.setattr(tables, "read_table", noted)
    return read


def test_only_the_table_that_is_asked_for_is_read_and_only_once(tmp_path, reads):
    result().save(tmp_path)
    loaded = load_result(tmp_path)
    assert reads == ["layers.csv"]
    assert loaded.to_pandas("layers")["difference"].tolist() == [0.25]
    assert repr(loaded) == repr(result())
    assert list(loaded.tables) == ["samples", "layers", "random"]
    assert "samples" in loaded.tables
    assert "more" not in loaded.tables
    assert reads == ["layers.csv"]
    for _ in range(2):
        pd.testing.assert_frame_equal(
            loaded.to_pandas("random"), result().to_pandas("random")
        )
    assert reads == ["layers.csv", "random.npz"]


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda of: pickle.loads(pickle.dumps(of))],
    ids=["deepcopy", "pickle"],
)
def test_copies_do_not_need_the_files(tmp_path, copied):
    result().save(tmp_path)
    again = copied(load_result(tmp_path))
    (tmp_path / "samples.npz").unlink()
    (tmp_path / "random.npz").unlink()
    for name, table in result().tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)


def test_other_settings_need_no_reading(tmp_path, reads):
    result().save(tmp_path)
    other = replace(load_result(tmp_path), settings={"seed": 1})
    assert reads == ["layers.csv"]
    other.tables["samples"].loc[0, "score"] = 9.0
    assert load_result(tmp_path).to_pandas("samples")["score"][0] == 0


def test_a_table_that_was_changed_is_refused_when_it_is_asked_for(tmp_path):
    result().save(tmp_path)
    loaded = load_result(tmp_path)
    content = bytearray((tmp_path / "samples.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "samples.npz").write_bytes(content)
    assert len(loaded.to_pandas("random")) == 5
    for asked in (loaded, load_result(tmp_path)):
        with pytest.raises(MemorizationError, match=r"samples\.npz is not the table"):
            asked.to_pandas("samples")


def test_a_table_that_another_result_replaced_is_refused(tmp_path):
    result().save(tmp_path)
    loaded = load_result(tmp_path)
    result(6).save(tmp_path)
    with pytest.raises(MemorizationError, match=r"samples\.npz is not the table"):
        loaded.to_pandas("samples")


def test_a_table_that_is_missing_is_refused_at_once(tmp_path):
    result().save(tmp_path)
    (tmp_path / "random.npz").unlink()
    with pytest.raises(MemorizationError, match=r"random\.npz is missing"):
        load_result(tmp_path)


@pytest.mark.parametrize(("before", "after"), [(5, 3), (3, 5)])
def test_a_change_of_format_leaves_no_file_of_the_former_result(
    tmp_path, before, after
):
    result(before).save(tmp_path)
    result(after).save(tmp_path)
    kind = "npz" if after == 5 else "csv"
    names = {f"samples.{kind}", f"random.{kind}", "layers.csv", "result.json"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert len(load_result(tmp_path).to_pandas("samples")) == after


def test_a_save_that_is_cut_off_keeps_the_result_in_the_other_format(
    tmp_path, monkeypatch
):
    result(3).save(tmp_path)

    def cut_off(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", cut_off)
    with pytest.raises(KeyboardInterrupt):
        result(5).save(tmp_path)
    assert len(load_result(tmp_path).to_pandas("samples")) == 3
    assert not list(tmp_path.glob("*.npz*"))


def test_a_loaded_result_is_saved_where_it_was_loaded(tmp_path):
    result().save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    load_result(tmp_path).save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_large_csv_file_of_before_is_read_when_asked_for(
    tmp_path, monkeypatch, reads
):
    monkeypatch.setattr(table_file, "MANY_ROWS", 100)
    result().save(tmp_path)
    loaded = load_result(tmp_path)
    assert reads == ["layers.csv"]
    pd.testing.assert_frame_equal(
        loaded.to_pandas("samples"), result().to_pandas("samples")
    )


def test_tables_join_other_tables():
    frame = pd.DataFrame({"a": [1]})
    both = Tables({"one": frame}) | {"two": frame.assign(a=2)}
    assert {name: of["a"].tolist() for name, of in both.items()} == {
        "one": [1],
        "two": [2],
    }
