import itertools
import json

import numpy as np
import pandas as pd
import pytest

from lightly_memloc import (
    functional,
    load_result,
    measure_class_mem,
    measure_unit_mem,
)
from lightly_memloc.errors import MemorizationError
from lightly_memloc.results import LayerMemResult, UnitMemResult, find_result

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


def test_scalars_are_the_estimates_of_each_layer(layer_mem):
    expected = {"layer_mem": 0.3, "calibrated": 0.3, "symmetric": 0.15}
    expected["alignment_gap"] = 0.3 / 1.7
    assert layer_mem.scalars() == pytest.approx(
        {f"{name}/one": 0 for name in expected}
        | {f"{name}/two": value for name, value in expected.items()}
    )


def test_settings_count_the_images_of_each_role(layer_mem):
    assert layer_mem.settings["images"] == {
        "candidate": 2,
        "independent": 2,
        "external": 3,
    }


def test_samples_and_top_samples(layer_mem):
    samples = layer_mem.samples_to_pandas()
    assert samples.columns.tolist() == ["index", "filename", "role", "one", "two"]
    top = layer_mem.top_samples(1)
    assert top["filename"].tolist() == ["1.png"]
    assert top["ssl_mem"].tolist() == pytest.approx([0.4])


def drawn(settings, n_resamples=60):
    """LayerMem of random distances, with those and the images of each role."""
    rng = np.random.default_rng(0)
    f, g = rng.uniform(0.5, 1, size=(2, 24, 3))
    roles = rng.permutation(np.resize(["candidate", "independent", "external"], 24))
    images = pd.DataFrame({"index": range(24), "filename": "x.png", "role": roles})
    layers = [(name, "conv") for name in "abc"]
    result = LayerMemResult.from_distances(
        layers, images, f, g, SETTINGS | settings, n_resamples
    )
    return result, f, g, {role: np.flatnonzero(roles == role) for role in set(roles)}


SSL_MEM = {
    "relative": lambda f, g: (g - f) / (g + f),
    "raw": lambda f, g: g - f,
    "range": lambda f, g: (g - f) / np.ptp(g - f, axis=0),
}


@pytest.mark.parametrize("normalization", SSL_MEM)
@pytest.mark.parametrize(("seed", "n_resamples"), [(0, 60), (4, 90)])
def test_estimates_are_those_of_their_images_and_options(
    normalization, seed, n_resamples
):
    settings = {"normalization": normalization, "seed": seed, "top_k": 3}
    result, f, g, images = drawn(settings, n_resamples)
    m = SSL_MEM[normalization](f, g)
    samples = result.samples_to_pandas()
    np.testing.assert_allclose(samples[["a", "b", "c"]], m, rtol=1e-12)
    candidate, independent, external = (
        m[images[role]] for role in ("candidate", "independent", "external")
    )
    options = {"n_resamples": n_resamples, "seed": seed}
    expected = {
        "layer_mem": functional.layer_mem(candidate, **options),
        "delta": functional.delta_layer_mem(candidate, **options),
        "calibrated": functional.calibrated_layer_mem(candidate, external, **options),
        "symmetric": functional.symmetric_layer_mem(candidate, independent, **options),
        "alignment_gap": functional.alignment_gap(
            f[images["candidate"]], f[images["external"]], **options
        ),
        "calibrated_delta": functional.calibrated_layer_mem(
            np.diff(candidate), np.diff(external), **options
        ),
        "symmetric_delta": functional.symmetric_layer_mem(
            np.diff(candidate), np.diff(independent), **options
        ),
    }
    table = result.to_pandas()
    for name, estimate in expected.items():
        for ending, field in zip(("", "_low", "_high", "_p"), estimate, strict=True):
            column = table[f"{name}{ending}"].to_numpy()
            # Nothing comes before the first layer, so it has no step.
            assert np.isnan(column[: 3 - len(field)]).all()
            np.testing.assert_allclose(column[3 - len(field) :], field, rtol=1e-12)
    ranked = sorted(candidate.tolist(), key=lambda row: -row[2])
    np.testing.assert_allclose(table["top_k"], np.mean(ranked[:3], axis=0))
    np.testing.assert_allclose(table["least_k"], np.mean(ranked[-3:], axis=0))
    np.testing.assert_allclose(table["external"], external.mean(axis=0))
    np.testing.assert_allclose(table["independent"], independent.mean(axis=0))


def test_the_best_estimate_at_hand():
    roles = {
        "symmetric": ["candidate", "independent", "external"],
        "calibrated": ["candidate", "external"],
        "alignment_gap": ["candidate", "external"],
        None: ["candidate", "shared"],
    }
    for estimate, names in roles.items():
        images = pd.DataFrame(
            {"index": range(6), "filename": "x.png", "role": np.resize(names, 6)}
        )
        f, g = np.random.default_rng(0).random((2, 6, 1))
        result = LayerMemResult.from_distances(
            [("a", "conv")],
            images,
            f,
            None if estimate == "alignment_gap" else g,
            SETTINGS,
            10,
        )
        assert result.estimate == estimate
        selected = "Images are ranked by the last layer"
        noted = any(note.startswith(selected) for note in result.settings["notes"])
        assert noted == (estimate != "alignment_gap")


def test_distances_are_those_of_either_encoder():
    result, f, g, _ = drawn({})
    table = result.distances_to_pandas()
    np.testing.assert_array_equal(table[["f:a", "f:b", "f:c"]], f)
    np.testing.assert_array_equal(table[["g:a", "g:b", "g:c"]], g)


def test_top_samples_are_candidates_of_equal_score_by_their_index():
    roles = ["external", "candidate", "independent", *["candidate"] * 3]
    images = pd.DataFrame(
        {"index": [9, 7, 5, 3, 1, 0], "filename": "x.png", "role": roles}
    )
    m = np.array([[0.9, 0.9], [0, 0.5], [0.9, 0.9], [0, 0.5], [0, 0.5], [0.9, 0.1]])
    result = LayerMemResult.from_distances(
        [("a", "conv"), ("b", "conv")], images, 1 - m, 1 + m, SETTINGS, 10
    )
    assert result.top_samples()["index"].tolist() == [1, 3, 7, 0]
    assert result.top_samples(2)["ssl_mem"].tolist() == pytest.approx([0.5, 0.5])


def test_control_is_of_two_halves_of_the_external_images_drawn_by_the_seed():
    values = set()
    for seed in range(4):
        result, f, g, images = drawn({"seed": seed})
        m = ((g - f) / (g + f))[images["external"]]
        f = f[images["external"]]
        halves = [np.isin(range(8), of) for of in itertools.combinations(range(8), 4)]
        table = result.control_to_pandas()
        found = table[["symmetric", "alignment_gap"]].to_numpy()
        expected = [
            np.stack(
                [
                    (m[half].mean(axis=0) - m[~half].mean(axis=0)) / 2,
                    (f[~half].sum(axis=0) - f[half].sum(axis=0)) / f.sum(axis=0),
                ],
                axis=1,
            )
            for half in halves
        ]
        assert sum(np.allclose(found, of, atol=1e-12) for of in expected) == 1
        values.add(found[0, 0])
        one_sample = functional.layer_mem(m, n_resamples=60, seed=seed)
        np.testing.assert_allclose(table["layer_mem_low"], one_sample.low)
    assert len(values) == 4


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
