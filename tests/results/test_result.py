import copy
import json
import os
import pickle
import resource
from contextlib import suppress
from dataclasses import FrozenInstanceError, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lightly_memloc import (
    load_result,
    measure_class_mem,
    measure_unit_mem,
)
from lightly_memloc.errors import MemorizationError
from lightly_memloc.results import (
    ClassMemResult,
    CurationResult,
    InterventionResult,
    LayerMemResult,
    MembershipResult,
    ProbeResult,
    Result,
    UnitMemResult,
    UnitTuningResult,
    find_result,
)
from tests.estimation.measured import two_layers
from tests.results.made_up import MadeUpResult


@pytest.fixture
def layer_mem():
    return two_layers()


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
    assert loaded.settings == json.loads(json.dumps(dict(result.settings)))
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
    with pytest.raises(MemorizationError, match="contains no saved result"):
        load_result(tmp_path)


def test_the_document_is_of_plain_types(layer_mem):
    most = pd.Series([np.int64(1), "a"], dtype=object)
    control = layer_mem.control_to_pandas().assign(most=most)
    settings = {"n_units": np.int64(3), "means": np.array([0.5])}
    document = LayerMemResult(settings, {"control": control}).to_dict()
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
    with pytest.raises(MemorizationError, match="contains no saved result"):
        find_result(tmp_path, LayerMemResult)


def test_tables_are_copies(layer_mem):
    table = layer_mem.to_pandas()
    table.loc[0, "layer_mem"] = 9.0
    assert layer_mem.to_pandas()["layer_mem"][0] == 0


def test_units_that_name_one_image():
    layers = pd.DataFrame({"layer": ["one"], "member_share": [np.nan]})
    result = UnitMemResult({}, {"layers": layers})
    assert not result.names_several_images
    with pytest.raises(MemorizationError, match=r"measure_unit_mem\(\) names several"):
        result.top_images_to_pandas()


def plain_results():
    frame = pd.DataFrame({"layer": ["one"], "value": [0.5]})
    of_units = {"units": frame, "layers": frame}
    return [
        UnitMemResult({}, of_units),
        ClassMemResult({}, of_units),
        UnitTuningResult({}, of_units),
        MembershipResult({}, {"layers": frame}),
        ProbeResult({}, {"probes": frame}),
        CurationResult({}, {"samples": frame}),
        InterventionResult({}, {"summary": frame}),
    ]


@pytest.mark.parametrize("result", plain_results(), ids=lambda of: type(of).__name__)
def test_tables_of_every_kind_are_copies(result):
    table = result.to_pandas()
    table["value"] = 9.0
    assert result.to_pandas()["value"].tolist() == [0.5]


def test_a_result_that_cannot_be_saved_leaves_the_one_before(tmp_path):
    write(tmp_path, ["a.png"])
    broken = MadeUpResult({"skipped": {1, 2}}, {"samples": pd.DataFrame()})
    with pytest.raises(TypeError, match="set cannot be saved as JSON"):
        broken.save(tmp_path)
    assert load_result(tmp_path).to_pandas()["filename"].tolist() == ["a.png"]


def test_a_save_that_the_disk_cuts_off_leaves_the_result_before(tmp_path):
    write(tmp_path, ["a.png"])
    long = MadeUpResult({"skipped": ["x" * 100_000]}, {"samples": pd.DataFrame()})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            long.save(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load_result(tmp_path).to_pandas()["filename"].tolist() == ["a.png"]


def test_scalars_of_a_retrained_curation():
    tables = {
        "samples": pd.DataFrame({"index": [1]}),
        "accuracy": pd.DataFrame({"encoder": ["original"], "accuracy": [0.75]}),
        "layers": pd.DataFrame({"layer": ["one", "two"], "difference": [0.25, np.nan]}),
    }
    result = CurationResult({}, tables)
    assert result.is_retrained
    assert result.scalars() == {"accuracy/original": 0.75, "difference/one": 0.25}


def write(folder, names, tables=("samples",)):
    frame = pd.DataFrame({"index": range(len(names)), "filename": names})
    MadeUpResult({"skipped": []}, dict.fromkeys(tables, frame)).save(folder)


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


def test_a_saved_result_names_its_schema_and_its_version(layer_mem, tmp_path):
    layer_mem.save(tmp_path)
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["schema"] == 3
    assert document["version"] == version("lightly-memloc")
    assert load_result(tmp_path).version == version("lightly-memloc")


def as_schema(schema, result, folder):
    """A folder as earlier versions wrote it: with the tables' rows in the JSON file."""
    document = result.to_dict() | {"schema": schema, "version": "0.2.0.dev0"}
    for name, table in result.tables.items():
        rows = table.astype(object).where(table.notna(), None).to_numpy().tolist()
        # Infinite numbers were written, which JSON does not have.
        document["tables"][name]["rows"] = rows
    document.pop("not_finite", None)
    if schema == 1:
        del document["schema"], document["version"]
    (folder / "result.json").write_text(json.dumps(document))
    return "0.1.0" if schema == 1 else "0.2.0.dev0"


@pytest.mark.parametrize("schema", [1, 2])
def test_a_result_of_an_earlier_version_is_read(layer_mem, tmp_path, schema):
    written_by = as_schema(schema, layer_mem, tmp_path)
    loaded = load_result(tmp_path)
    assert loaded.version == written_by
    for name, table in layer_mem.tables.items():
        pd.testing.assert_frame_equal(loaded.tables[name], table, check_exact=True)
    # Saved again, it still says which version measured it.
    loaded.save(tmp_path / "again")
    again = json.loads((tmp_path / "again" / "result.json").read_text())
    assert (again["schema"], again["version"]) == (3, written_by)
    assert load_result(tmp_path / "again").to_pandas().equals(layer_mem.to_pandas())


@pytest.mark.parametrize("schema", [4, 0, "three", None])
def test_a_result_of_an_unknown_schema_is_refused_by_name(layer_mem, tmp_path, schema):
    layer_mem.save(tmp_path)
    document = json.loads((tmp_path / "result.json").read_text())
    document |= {"schema": schema, "version": "9.8.7"}
    (tmp_path / "result.json").write_text(json.dumps(document))
    with pytest.raises(
        MemorizationError, match=rf"9\.8\.7 with result schema {schema}.*up to 3"
    ):
        load_result(tmp_path)


def test_a_result_of_an_unknown_kind_is_refused_by_name(layer_mem, tmp_path):
    layer_mem.save(tmp_path)
    document = json.loads((tmp_path / "result.json").read_text())
    document["result"] = "theirs"
    (tmp_path / "result.json").write_text(json.dumps(document))
    with pytest.raises(MemorizationError, match=r"'theirs'.*import that package first"):
        load_result(tmp_path)


def committed():
    docs = Path(__file__).parents[2] / "docs" / "results"
    return sorted(path.parent for path in docs.rglob("result.json"))


@pytest.mark.parametrize("folder", committed(), ids=lambda path: path.name)
def test_every_committed_result_loads_and_is_saved_again_exactly(folder, tmp_path):
    committed = load_result(folder)
    assert len(committed.tables) > 0
    committed.save(tmp_path)
    again = load_result(tmp_path)
    assert (again.settings, again.version) == (committed.settings, committed.version)
    for name, table in committed.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)


def test_each_row_is_saved_once(layer_mem, tmp_path):
    layer_mem.save(tmp_path)
    document = (tmp_path / "result.json").read_text()
    assert "6.png" not in document
    assert "6.png" in (tmp_path / "samples.csv").read_text()


@pytest.mark.parametrize("name", ["layers", "samples"])
def test_a_table_of_another_result_is_refused_by_name(layer_mem, tmp_path, name):
    """As if saving was interrupted between two files."""
    layer_mem.save(tmp_path / "new")
    replace(layer_mem, tables={name: layer_mem.tables[name].iloc[::-1]}).save(
        tmp_path / "old"
    )
    (tmp_path / "new" / f"{name}.csv").replace(tmp_path / "old" / f"{name}.csv")
    with pytest.raises(MemorizationError, match=rf"{name}\.csv is not the table"):
        load_result(tmp_path / "old")
    (tmp_path / "new" / f"{name}.csv").unlink(missing_ok=True)
    with pytest.raises(MemorizationError, match=rf"{name}\.csv is missing"):
        load_result(tmp_path / "new")


@pytest.mark.parametrize("replaced", range(4))
def test_a_save_that_is_cut_off_between_files_is_noticed(
    tmp_path, monkeypatch, replaced
):
    """Of two tables and the head, so many are replaced before the process ends."""
    write(tmp_path, ["old.png"], ["samples", "accuracy"])
    replacements, real = [], os.replace

    def replace_some(*paths):
        if len(replacements) == replaced:
            raise KeyboardInterrupt
        replacements.append(paths)
        real(*paths)

    monkeypatch.setattr(os, "replace", replace_some)
    with suppress(KeyboardInterrupt):
        write(tmp_path, ["new.png"], ["samples", "accuracy"])
    monkeypatch.undo()
    if 0 < replaced < 3:
        with pytest.raises(MemorizationError, match="saving was interrupted"):
            load_result(tmp_path)
        write(tmp_path, ["new.png"], ["samples", "accuracy"])
    name = "new.png" if replaced else "old.png"
    for table in load_result(tmp_path).tables.values():
        assert table["filename"].tolist() == [name]


def test_settings_and_tables_are_read_only():
    settings, frame = {"notes": ["one"]}, pd.DataFrame({"index": [1]})
    result = MadeUpResult(settings, {"samples": frame})
    with pytest.raises(TypeError):
        result.settings["epoch"] = 3
    with pytest.raises(TypeError):
        result.tables["more"] = frame
    with pytest.raises(FrozenInstanceError):
        result.settings = {}
    # What it was made of is its maker's.
    settings["notes"].append("two")
    frame["index"] = 9
    assert result.settings == {"notes": ["one"]}
    assert result.to_pandas()["index"].tolist() == [1]


def test_other_settings_make_another_result():
    result = MadeUpResult({"seed": 0}, {"samples": pd.DataFrame({"index": [1]})}, "7")
    other = replace(result, settings={**result.settings, "epoch": 3})
    assert (other.settings, other.version) == ({"seed": 0, "epoch": 3}, "7")
    assert result.settings == {"seed": 0}
    assert other.to_pandas().equals(result.to_pandas())


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_copies_are_equal_and_read_only(layer_mem, copied):
    again = copied(replace(layer_mem, version="7"))
    assert (again.settings, again.version) == (layer_mem.settings, "7")
    assert again.samples_to_pandas().equals(layer_mem.samples_to_pandas())
    with pytest.raises(TypeError):
        again.settings["epoch"] = 3


def test_a_table_is_asked_for_by_its_name(layer_mem):
    assert layer_mem.to_pandas().equals(layer_mem.tables["layers"])
    assert layer_mem.to_pandas("samples").equals(layer_mem.samples_to_pandas())
    with pytest.raises(MemorizationError, match=r"no table 'units'.*'samples'"):
        layer_mem.to_pandas("units")


def test_the_first_table_is_that_of_the_class_or_the_first_one():
    units, layers = (pd.DataFrame({"value": [value]}) for value in (1, 2))
    tables = {"layers": layers, "units": units}
    assert UnitMemResult({}, tables).to_pandas()["value"].tolist() == [1]

    class PlainResult(Result):
        kind = "plain"

        def scalars(self):
            return {}

    try:
        assert PlainResult({}, tables).to_pandas()["value"].tolist() == [2]
        with pytest.raises(MemorizationError, match="no table ''"):
            PlainResult({}, {}).to_pandas()
    finally:
        del Result.kinds["plain"]


INFINITE = float("inf")


@pytest.fixture
def unmeasurable():
    table = pd.DataFrame(
        {
            "layer": ["a", "b"],
            "unit_mem": [np.nan, 0.5],
            "mu_max": [INFINITE, 1.0],
            "anything": [{"low": -INFINITE}, None],
        }
    )
    settings = {"loss": [1.0, float("nan")], "rate": INFINITE, "seed": 0}
    return MadeUpResult(settings, {"units": table})


def strict(text):
    return json.loads(text, parse_constant=pytest.fail)


def test_numbers_that_json_lacks_are_null_and_said(unmeasurable):
    document = unmeasurable.to_dict()
    assert strict(json.dumps(document)) == document
    assert document["settings"] == {"loss": [1.0, None], "rate": None, "seed": 0}
    assert document["tables"]["units"]["rows"] == [
        ["a", None, None, {"low": None}],
        ["b", 0.5, 1.0, None],
    ]
    assert document["not_finite"] == [
        "settings.loss",
        "settings.rate",
        "tables.units.mu_max",
    ]


def test_saved_numbers_that_json_lacks(unmeasurable, tmp_path):
    unmeasurable.save(tmp_path)
    document = strict((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert document["not_finite"] == ["settings.loss", "settings.rate"]
    table = load_result(tmp_path).to_pandas("units")
    # CSV has both.
    assert table["mu_max"].tolist() == [INFINITE, 1.0]
    assert np.isnan(table["unit_mem"][0])
