import json

import numpy as np
import pandas as pd
import pytest

from lightly_memloc import load_result, measure_class_mem, measure_unit_mem
from lightly_memloc.errors import MemorizationError
from lightly_memloc.results import (
    CurationResult,
    LayerMemResult,
    UnitMemResult,
    find_result,
)

SETTINGS = {"normalization": "relative", "top_k": 50, "seed": 0, "skipped": []}


@pytest.fixture
def layer_mem():
    """Two layers; candidates have SSLMem 0.2 and 0.4 in the last, others none."""
    roles = ["candidate", "candidate", "independent", "independent"]
    roles += ["external"] * 3
    images = pd.DataFrame(
        {"index": range(7), "filename": [f"{i}.png" for i in range(7)], "role": roles}
    )
    m = np.zeros((7, 2))
    m[:2, 1] = [0.2, 0.4]
    return LayerMemResult.from_distances(
        [("one", "conv"), ("two", "block")], images, 1 - m, 1 + m, SETTINGS, 200
    )


def test_layer_mem_table_holds_the_worked_out_estimates(layer_mem):
    table = layer_mem.to_pandas()
    assert table.columns[:2].tolist() == ["layer", "kind"]
    assert table["layer"].tolist() == ["one", "two"]
    expected = {
        "layer_mem": 0.3,
        "delta": 0.3,
        "top_k": 0.4,
        "least_k": 0.2,
        "calibrated": 0.3,
        "symmetric": 0.15,
        # Mean distances are 1 on external images and 0.7 on candidates.
        "alignment_gap": 0.3 / 1.7,
        "external": 0.0,
        "independent": 0.0,
    }
    for column, value in expected.items():
        assert table[column][1] == pytest.approx(value)
    assert np.isnan(table["delta"][0])
    assert table["layer_mem"][0] == 0


def test_every_estimate_has_interval_and_p_value(layer_mem):
    table = layer_mem.to_pandas()
    for name in ("layer_mem", "delta", "calibrated", "symmetric", "alignment_gap"):
        row = table.iloc[1]
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
        assert 0 <= row[f"{name}_p"] <= 1


def test_samples_and_top_samples(layer_mem):
    samples = layer_mem.samples_to_pandas()
    assert samples.columns.tolist() == ["index", "filename", "role", "one", "two"]
    top = layer_mem.top_samples(1)
    assert top["filename"].tolist() == ["1.png"]
    assert top["ssl_mem"].tolist() == pytest.approx([0.4])


def test_control_compares_external_images_with_each_other(layer_mem):
    control = layer_mem.control_to_pandas()
    assert control["layer_mem"].tolist() == [0, 0]
    assert control["layer_mem_p"].tolist() == [1, 1]


def test_a_missing_role_leaves_its_estimates_out():
    images = pd.DataFrame(
        {"index": range(4), "filename": list("abcd"), "role": ["candidate"] * 4}
    )
    distances = np.linspace(0.5, 1, 4)[:, None]
    result = LayerMemResult.from_distances(
        [("one", "conv")], images, distances, distances + 0.1, SETTINGS, 50
    )
    row = result.to_pandas().iloc[0]
    assert row["layer_mem"] > 0
    for name in ("calibrated", "symmetric", "alignment_gap"):
        assert np.isnan(row[name])


@pytest.fixture
def unit_mem(encoders, digits, transform):
    return measure_unit_mem(encoders[0], digits, transform, range(8), n_views=2)


@pytest.fixture
def class_mem(encoders, digits, transform):
    return measure_class_mem(encoders[0], digits, transform, range(8), n_views=2)


@pytest.mark.parametrize("name", ["layer_mem", "unit_mem", "class_mem"])
def test_saved_results_load_exactly(tmp_path, request, name):
    result = request.getfixturevalue(name)
    result.save(tmp_path)
    loaded = load_result(tmp_path)
    assert type(loaded) is type(result)
    assert loaded.settings == json.loads(json.dumps(result.settings))
    assert loaded.tables.keys() == result.tables.keys()
    for table in result.tables:
        pd.testing.assert_frame_equal(
            loaded.tables[table], result.tables[table], check_exact=True
        )
        csv = pd.read_csv(tmp_path / f"{table}.csv")
        assert csv.columns.tolist() == result.tables[table].columns.tolist()
        assert len(csv) == len(result.tables[table])


def test_result_file_is_strict_json(tmp_path, layer_mem):
    layer_mem.save(tmp_path)

    def refuse(constant):
        raise AssertionError(constant)

    json.loads((tmp_path / "result.json").read_text(), parse_constant=refuse)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"result": "other"}'])
def test_a_folder_without_result_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(MemorizationError, match="holds no saved result"):
        load_result(tmp_path)


def test_the_document_is_of_plain_types(layer_mem):
    layer_mem.settings["n_units"] = np.int64(3)
    layer_mem.settings["means"] = np.array([0.5])
    layer_mem.tables["control"]["most"] = pd.Series([np.int64(1), "a"], dtype=object)
    document = layer_mem.to_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["settings"]["n_units"] == 3
    assert document["settings"]["means"] == [0.5]
    assert [row[-1] for row in document["tables"]["control"]["rows"]] == [1, "a"]


def test_a_result_is_found_by_its_class(tmp_path, layer_mem):
    assert find_result(tmp_path / "nowhere", LayerMemResult) is None
    assert find_result(tmp_path, LayerMemResult) is None
    layer_mem.save(tmp_path)
    found = find_result(tmp_path, LayerMemResult)
    pd.testing.assert_frame_equal(found.to_pandas(), layer_mem.to_pandas())
    assert find_result(tmp_path, UnitMemResult) is None
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(MemorizationError, match="holds no saved result"):
        find_result(tmp_path, LayerMemResult)


def test_tables_are_copies(layer_mem):
    table = layer_mem.to_pandas()
    table.loc[0, "layer_mem"] = 9.0
    assert layer_mem.to_pandas()["layer_mem"][0] == 0


def write(folder, names, tables=("samples",)):
    frame = pd.DataFrame({"index": range(len(names)), "filename": names})
    CurationResult({"skipped": []}, dict.fromkeys(tables, frame)).save(folder)


def test_tables_of_an_earlier_result_are_removed(tmp_path):
    write(tmp_path, ["a.png"], ["samples", "accuracy", "layers"])
    (tmp_path / "mine.csv").write_text("kept")
    (tmp_path / "layers.csv").unlink()
    write(tmp_path, ["b.png"])
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"result.json", "samples.csv", "mine.csv"}
    assert pd.read_csv(tmp_path / "samples.csv")["filename"].tolist() == ["b.png"]


def test_a_broken_result_is_replaced(tmp_path):
    (tmp_path / "result.json").write_text("{")
    (tmp_path / "accuracy.csv").write_text("kept")
    write(tmp_path, ["a.png"])
    assert load_result(tmp_path).to_pandas()["filename"].tolist() == ["a.png"]
    assert (tmp_path / "accuracy.csv").read_text() == "kept"


def test_file_names_that_are_no_unicode_are_saved(tmp_path):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    write(tmp_path, [name])
    assert (tmp_path / "samples.csv").read_bytes() == b"index,filename\n0,caf\xe9.png\n"
    assert load_result(tmp_path).to_pandas()["filename"].tolist() == [name]
