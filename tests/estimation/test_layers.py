import itertools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lightly_memloc import (
    functional,
)
from lightly_memloc.estimation import layers
from tests.estimation.measured import SETTINGS, from_distances, two_layers


@pytest.fixture
def layer_mem():
    return two_layers()


def tanh_of(log_ratio):
    """SSLMem of distances with a log ratio: (r - 1) / (r + 1)."""
    return (math.exp(log_ratio) - 1) / (math.exp(log_ratio) + 1)


def test_layer_mem_table_holds_the_worked_out_estimates(layer_mem):
    table = layer_mem.to_pandas()
    assert table.columns[:2].tolist() == ["layer", "kind"]
    assert table["layer"].tolist() == ["one", "two"]
    expected = {
        "layer_mem": 0.3,
        "delta": 0.3,
        "top_k": 0.4,
        "least_k": 0.2,
        # On average over candidates, log(a_g / a_f) is that of 1.2 / 0.8 and 1.4 / 0.6.
        "calibrated": tanh_of((math.log(1.5) + math.log(7 / 3)) / 2),
        "symmetric": tanh_of((math.log(1.5) + math.log(7 / 3)) / 4),
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
    ratio = (math.log(1.5) + math.log(7 / 3)) / 2
    expected = {"layer_mem": 0.3, "calibrated": tanh_of(ratio)}
    expected |= {"symmetric": tanh_of(ratio / 2), "alignment_gap": 0.3 / 1.7}
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
    result = from_distances(layers, images, f, g, SETTINGS | settings, n_resamples)
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
    scaled = options | {"normalization": normalization}
    expected = {
        "layer_mem": functional.layer_mem(candidate, **options),
        "delta": functional.delta_layer_mem(candidate, **options),
        "calibrated": functional.calibrated_layer_mem(candidate, external, **scaled),
        "symmetric": functional.symmetric_layer_mem(candidate, independent, **scaled),
        "alignment_gap": functional.alignment_gap(
            f[images["candidate"]], f[images["external"]], **options
        ),
        "calibrated_delta": functional.calibrated_layer_mem(
            candidate, external, steps=True, **scaled
        ),
        "symmetric_delta": functional.symmetric_layer_mem(
            candidate, independent, steps=True, **scaled
        ),
    }
    table = result.to_pandas()
    for name, estimate in expected.items():
        for column, values in estimate.columns(name).items():
            np.testing.assert_allclose(table[column], values, rtol=1e-12)
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
        result = from_distances(
            [("a", "conv")],
            images,
            f,
            None if estimate == "alignment_gap" else g,
            SETTINGS,
            19,
        )
        assert result.estimate == estimate
        noted = any("ranked by the last layer" in of for of in result.settings["notes"])
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
    result = from_distances(
        [("a", "conv"), ("b", "conv")], images, 1 - m, 1 + m, SETTINGS, 19
    )
    assert result.top_samples()["index"].tolist() == [1, 3, 7, 0]
    assert result.top_samples(2)["ssl_mem"].tolist() == pytest.approx([0.5, 0.5])


def test_control_is_of_two_halves_of_the_external_images_drawn_by_the_seed():
    values = set()
    for seed in range(4):
        result, f, g, images = drawn({"seed": seed})
        m, ratio = ((g - f) / (g + f))[images["external"]], np.log(g / f)
        ratio, f = ratio[images["external"]], f[images["external"]]
        halves = [np.isin(range(8), of) for of in itertools.combinations(range(8), 4)]
        table = result.control_to_pandas()
        found = table[["symmetric", "alignment_gap"]].to_numpy()
        expected = [
            np.stack(
                [
                    np.tanh((ratio[half].mean(0) - ratio[~half].mean(0)) / 4),
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
    result = from_distances(
        [("one", "conv")], images, distances, distances + 0.1, SETTINGS, 50
    )
    row = result.to_pandas().iloc[0]
    assert row["layer_mem"] > 0
    for name in ("calibrated", "symmetric", "alignment_gap"):
        assert np.isnan(row[name])


def estimated(**settings):
    """Two layers of drawn distances, whose estimates have intervals by resampling."""
    roles = ["candidate"] * 8 + ["independent"] * 7 + ["external"] * 9
    images = pd.DataFrame(
        {"index": range(24), "filename": [f"{i}.png" for i in range(24)], "role": roles}
    )
    f, g = np.random.default_rng(1).uniform(0.5, 1, (2, 24, 2))
    result = from_distances(
        [("one", "conv"), ("two", "block")], images, f, g, SETTINGS | settings, 99
    )
    return result, f, g


def resampled(result):
    return result.to_pandas().filter(regex="_low$|_high$|_p$").to_numpy()


def test_intervals_follow_the_seed():
    first, again, other = (resampled(estimated(seed=s)[0]) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    controls = [estimated(seed=s)[0].control_to_pandas() for s in (0, 1, 2)]
    halves = {tuple(control["symmetric"]) for control in controls}
    assert len(halves) == 3


@pytest.mark.parametrize("name", ["calibrated", "symmetric"])
def test_the_smallest_p_value_tells_the_number_of_resamples(name):
    """All candidates have SSLMem of about 0.5, all others of about 0."""
    roles = ["candidate"] * 30 + ["independent"] * 30 + ["external"] * 30
    images = pd.DataFrame({"index": range(90), "filename": "x", "role": roles})
    noise = np.random.default_rng(0).uniform(0, 0.01, (90, 1))
    m = noise + 0.5 * (images[["role"]] == "candidate").to_numpy()
    for n_resamples in (99, 199):
        result = from_distances(
            [("one", "conv")], images, 1 - m, 1 + m, SETTINGS, n_resamples
        )
        p = result.to_pandas()[f"{name}_p"][0]
        assert p == pytest.approx(1 / (n_resamples + 1))


def test_scores_are_normalised_as_asked_for():
    raw, f, g = estimated(normalization="raw")
    relative, *_ = estimated(normalization="relative")
    columns = ["one", "two"]
    np.testing.assert_allclose(raw.samples_to_pandas()[columns], g - f)
    np.testing.assert_allclose(relative.samples_to_pandas()[columns], (g - f) / (g + f))


def test_steps_between_layers():
    result, f, g = estimated()
    m, row = ((g - f) / (g + f))[:8], result.to_pandas().iloc[1]
    assert row["delta"] == pytest.approx((m[:, 1] - m[:, 0]).mean())
    steps = np.log(g / f)[:, 1] - np.log(g / f)[:, 0]
    candidate, independent, external = (
        of.mean() for of in (steps[:8], steps[8:15], steps[15:])
    )
    assert row["calibrated_delta"] == pytest.approx(tanh_of(candidate - external))
    symmetric = tanh_of((candidate - independent) / 2)
    assert row["symmetric_delta"] == pytest.approx(symmetric)
    assert result.to_pandas()[["delta", "calibrated_delta"]].iloc[0].isna().all()


def test_images_of_equal_score_are_ranked_by_their_index(layer_mem):
    index = [5, 2, *range(10, 15)]
    samples = layer_mem.samples_to_pandas().assign(two=0.5, index=index)
    tied = replace(layer_mem, tables={**layer_mem.tables, "samples": samples})
    assert tied.top_samples(2)["index"].tolist() == [2, 5]


def test_ten_images_are_the_top_by_default():
    m = np.linspace(0, 0.5, 15)[:, None]
    images = pd.DataFrame({"index": range(15), "filename": "x", "role": "candidate"})
    result = from_distances([("one", "conv")], images, 1 - m, 1 + m, SETTINGS, 19)
    assert result.top_samples()["index"].tolist() == list(range(14, 4, -1))


def test_the_note_on_ranked_images_needs_a_reference_encoder():
    images = pd.DataFrame({"index": range(4), "filename": "x", "role": "candidate"})
    distances = np.linspace(0.5, 1, 4)[:, None]
    notes = [
        " ".join(
            from_distances(
                [("one", "conv")], images, distances, g, SETTINGS, 19
            ).settings["notes"]
        )
        for g in (distances + 0.1, None)
    ]
    assert ["top_k" in note for note in notes] == [True, False]


def test_distances_are_those_of_both_encoders():
    result, f, g = estimated()
    distances = result.distances_to_pandas()
    assert distances.columns[3:].tolist() == ["f:one", "f:two", "g:one", "g:two"]
    np.testing.assert_array_equal(distances[["f:one", "f:two"]], f)
    np.testing.assert_array_equal(distances[["g:one", "g:two"]], g)


def in_groups(**columns):
    """Two layers of 48 images of which four at a time belong together."""
    rng = np.random.default_rng(3)
    shared = rng.uniform(0.3, 0.6, (2, 12, 2)).repeat(4, axis=1)
    f, g = shared + rng.uniform(0, 0.05, (2, 48, 2))
    roles = np.repeat(["candidate", "independent", "external"], 16)
    images = pd.DataFrame({"index": range(48), "filename": "x.png", "role": roles})
    images = images.assign(**columns)
    layers = [("one", "conv"), ("two", "block")]
    return from_distances(layers, images, f, g, SETTINGS, 199), f, g


@pytest.mark.parametrize("column", ["group", "stratum"])
def test_images_are_exchanged_in_groups_and_within_strata(column):
    codes = np.arange(48) // 4 if column == "group" else np.arange(48) % 4
    result, f, g = in_groups(**{column: codes})
    m, option = (g - f) / (g + f), {"group": "groups", "stratum": "strata"}[column]
    options = {"n_resamples": 199, "seed": 0}
    expected = functional.symmetric_layer_mem(
        m[:16], m[16:32], **options, **{option: codes[:32]}
    ).columns("symmetric")
    expected |= functional.alignment_gap(
        f[:16], f[32:], **options, **{option: codes[[*range(16), *range(32, 48)]]}
    ).columns("alignment_gap")
    if column == "group":
        expected |= functional.layer_mem(m[:16], groups=codes[:16], **options).columns(
            "layer_mem"
        )
    table = result.to_pandas()
    for name, values in expected.items():
        np.testing.assert_array_equal(table[name], values)
    without = in_groups()[0].to_pandas()
    assert (without["symmetric_p"] != table["symmetric_p"]).any()


def test_halves_of_the_control_do_not_divide_a_group():
    result, _, _ = in_groups(group=[*np.arange(32) // 4, *[8] * 4, *[9] * 12])
    # Each half consists of a single group.
    assert result.control_to_pandas()["alignment_gap"].isna().all()
    result, f, _ = in_groups(group=np.arange(48) // 4)
    found = result.control_to_pandas()["alignment_gap"][0]
    of_group = f[32:, 0].reshape(4, 4).mean(axis=1)
    pairs = [of_group[[0, i]].sum() / of_group.sum() for i in (1, 2, 3)]
    expected = [2 * share - 1 for share in pairs]
    assert any(abs(found) == pytest.approx(abs(of)) for of in expected)


def test_a_layer_that_repeats_another_is_named():
    f, g = np.random.default_rng(0).uniform(0.5, 1, (2, 6, 3))
    f[:, 2], g[:, 2] = f[:, 0], g[:, 0]
    images = pd.DataFrame({"index": range(6), "filename": "x", "role": "candidate"})
    layers = [(name, "conv") for name in "abc"]
    both = from_distances(layers, images, f, g, SETTINGS, 19)
    assert both.to_pandas()["repeats"].tolist() == ["", "", "a"]
    g[0, 2] *= 1.01
    other = from_distances(layers, images, f, g, SETTINGS, 19)
    assert other.to_pandas()["repeats"].tolist() == ["", "", ""]


def test_too_few_views_to_divide_leave_the_extremes_unknown():
    f, g = np.random.default_rng(0).uniform(0.5, 1, (2, 6, 2))
    images = pd.DataFrame({"index": range(6), "filename": "x", "role": "candidate"})
    result = from_distances(
        [("a", "conv"), ("b", "conv")], images, f, g, SETTINGS, 19, halves={}
    )
    assert result.to_pandas()[["top_k", "least_k"]].isna().all(axis=None)
    assert any("at least four views" in note for note in result.settings["notes"])
    assert "halves" not in result.tables


def test_scores_of_many_images_have_the_precision_of_distances(monkeypatch):
    few = two_layers()
    monkeypatch.setattr(layers, "MANY_ROWS", 7)
    many = two_layers()
    for table in ("samples", "halves"):
        one, other = (
            of.to_pandas(table).select_dtypes(float).to_numpy() for of in (few, many)
        )
        assert (other.astype(np.float32) == other).all()
        assert not (one.astype(np.float32) == one).all()
        np.testing.assert_allclose(other, one, rtol=2**-24, atol=0)
    np.testing.assert_allclose(
        many.to_pandas()["layer_mem"], few.to_pandas()["layer_mem"], rtol=1e-7
    )
