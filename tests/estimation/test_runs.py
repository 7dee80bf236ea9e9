import json
import math
import statistics
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lightly_memloc import load_result
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import combine_runs
from lightly_memloc.functional import prior_variance
from lightly_memloc.results import SSLMemRunsResult
from tests.estimation.measured import from_distances

LAYERS = (("one", "conv"), ("two", "block"), ("three", "pool"))
NAMES = [name for name, _ in LAYERS]
SIGNS = {"candidate": 1, "independent": -1}
ESTIMATES = ("ssl_mem", "shuffled", "layer_mem", "offset")


def layer_mem(m, roles, index=None, layers=LAYERS, skipped=()):
    """LayerMem of a run, of images by their index with SSLMem m and roles."""
    index = np.arange(len(m)) if index is None else np.asarray(index)
    images = pd.DataFrame(
        {"index": index, "filename": [f"{i:03d}.png" for i in index], "role": roles}
    )
    settings = {"normalization": "relative", "top_k": 3, "seed": 0}
    settings["skipped"] = list(skipped)
    m = np.asarray(m, dtype=np.float64)
    return from_distances(layers, images, 1 - m, 1 + m, settings, 19)


def drawn(seed, n_runs=4, n_images=30, sizes=(8, 6, 5)):
    """Runs on random images of a data set, each with an offset of its own."""
    rng, runs = np.random.default_rng(seed), {}
    names = ["candidate", "independent", "external"]
    for number in range(1, n_runs + 1):
        index = np.sort(rng.choice(n_images, sum(sizes), replace=False))
        roles = rng.permutation(np.repeat(names, sizes))
        signs = np.array([SIGNS.get(role, 0) for role in roles])
        m = rng.normal(0, 0.1, size=3) + signs[:, None] * [0.0, 0.1, 0.3]
        m += rng.normal(0, 0.02, size=m.shape)
        runs[f"run-{number}"] = layer_mem(m, roles, index)
    return runs


def combined(runs, seed=0, left_out=None):
    return combine_runs(runs, left_out or {}, seed)


def scores_by_hand(runs):
    """The scores of each image, by its index and layer, run after run."""
    scores = {}
    for result in runs.values():
        rows = result.samples_to_pandas().to_dict("records")
        for layer in NAMES:
            of = {
                role: [math.atanh(row[layer]) for row in rows if row["role"] == role]
                for role in ("candidate", "independent", "external")
            }
            means = {r: statistics.fmean(x) for r, x in of.items() if x}
            other = means.get("independent")
            offset = (
                means["external"] if other is None else (means["candidate"] + other) / 2
            )
            for row in rows:
                sign = SIGNS.get(row["role"])
                if sign:
                    score = math.tanh(sign * (math.atanh(row[layer]) - offset))
                    scores.setdefault((row["index"], layer), []).append(score)
    return scores


@pytest.mark.parametrize("sizes", [(8, 6, 5), (8, 6, 0)])
def test_the_layers_mean_is_the_mean_of_symmetric_layer_mem(sizes):
    runs = drawn(0, sizes=sizes)
    table = combined(runs).to_pandas()
    each = np.stack([result.to_pandas()["symmetric"] for result in runs.values()])
    assert table["layer"].tolist() == NAMES
    assert table["kind"].tolist() == ["conv", "block", "pool"]
    assert table["runs"].tolist() == [4, 4, 4]
    assert_means(table, "ssl_mem", each)


def test_without_independent_images_it_is_the_mean_of_calibrated_layer_mem():
    runs = drawn(1, n_images=14, sizes=(8, 0, 6))
    each = np.stack([result.to_pandas()["calibrated"] for result in runs.values()])
    result = combined(runs)
    assert_means(result.to_pandas(), "ssl_mem", each)
    external = np.stack([mean_of(of, "external") for of in runs.values()])
    assert_means(result.to_pandas(), "offset", np.tanh(external))


def mean_of(result, role):
    """Mean over the images of a role of half the log ratio of their distances."""
    samples = result.samples_to_pandas()
    m = samples.loc[samples["role"] == role, NAMES].to_numpy()
    return (np.log((1 + m) / (1 - m)) / 2).mean(axis=0)


def offset_of(result):
    """The offset of a run with candidates and independent images."""
    both = mean_of(result, "candidate") + mean_of(result, "independent")
    return np.tanh(both / 2)


def test_published_mean_and_offset():
    runs = drawn(2)
    tables = [result.to_pandas() for result in runs.values()]
    published = np.stack([table["layer_mem"] for table in tables])
    offsets = np.stack([offset_of(of) for of in runs.values()])
    table = combined(runs).to_pandas()
    assert_means(table, "layer_mem", published)
    assert_means(table, "offset", offsets)


def multiplied(p):
    """Holm's p: in ascending order, the smallest times 3, the next times 2, ..."""
    adjusted, previous = dict.fromkeys(p, 0.0), 0.0
    for left, value in zip(range(len(p), 0, -1), sorted(p), strict=True):
        previous = adjusted[value] = max(previous, min(1, left * value))
    return [adjusted[value] for value in p]


def assert_means(table, name, each):
    """Columns of a table against the values of each run, shape (K, L)."""
    test = stats.ttest_1samp(each, 0)
    interval = test.confidence_interval(0.95)
    expected = {
        "": each.mean(axis=0),
        "_error": stats.sem(each),
        "_low": interval.low,
        "_high": interval.high,
        "_p": test.pvalue,
        "_p_adjusted": multiplied(test.pvalue),
    }
    for suffix, values in expected.items():
        np.testing.assert_allclose(table[f"{name}{suffix}"], values, rtol=1e-8)


def test_a_row_a_run_and_layer():
    runs = drawn(3)
    result = combined(runs)
    rows = result.runs_to_pandas()
    assert rows["run"].tolist() == np.repeat(list(runs), 3).tolist()
    assert rows["layer"].tolist() == NAMES * 4
    for name, of_run in runs.items():
        here, there = rows[rows["run"] == name], of_run.to_pandas()
        for column, expected in (
            ("ssl_mem", there["symmetric"]),
            ("layer_mem", there["layer_mem"]),
            ("offset", offset_of(of_run)),
        ):
            np.testing.assert_allclose(here[column], expected, rtol=1e-10)
    means = rows.groupby("layer", sort=False)[list(ESTIMATES)].mean()
    table = result.to_pandas().set_index("layer")[list(ESTIMATES)]
    pd.testing.assert_frame_equal(table, means)


@pytest.mark.parametrize("sizes", [(8, 6, 5), (4, 4, 0)])
def test_scores_of_images_by_hand(sizes):
    runs = drawn(4, n_runs=6, sizes=sizes)
    samples = combined(runs).samples_to_pandas()
    expected = scores_by_hand(runs)
    places = list(zip(samples["index"], samples["layer"], strict=True))
    images = sorted({index for index, _ in expected})
    assert places == [(index, layer) for index in images for layer in NAMES]
    assert {1, 2, 3, 4} <= set(samples["runs"])
    for place, row in zip(places, samples.to_dict("records"), strict=True):
        scores = expected[place]
        assert row["filename"] == f"{place[0]:03d}.png"
        assert row["runs"] == len(scores)
        assert row["ssl_mem"] == pytest.approx(statistics.fmean(scores), rel=1e-9)
        assert math.isnan(row["ssl_mem_error"]) == (len(scores) < 2)
        for column in ("low", "high", "p", "q"):
            assert math.isnan(row[f"ssl_mem_{column}"]) == (len(scores) < 3)


@pytest.mark.parametrize("sizes", [(8, 6, 5), (4, 4, 0)])
def test_images_are_tested_by_moderated_t_within_a_layer(sizes):
    runs = drawn(4, n_runs=6, sizes=sizes)
    samples, expected = combined(runs).samples_to_pandas(), scores_by_hand(runs)
    for layer in NAMES:
        rows = samples[samples["layer"] == layer]
        by_image = [expected[index, layer] for index in rows["index"]]
        several = [of for of in by_image if len(of) > 1]
        prior, common = prior_variance(
            [statistics.variance(of) for of in several], [len(of) - 1 for of in several]
        )
        for row, of in zip(rows.to_dict("records"), by_image, strict=True):
            if len(of) > 2 and np.isfinite(prior):
                variance = prior * common + (len(of) - 1) * statistics.variance(of)
                error = math.sqrt(variance / (prior + len(of) - 1) / len(of))
                assert row["ssl_mem_error"] == pytest.approx(error)
        tested = rows[rows["ssl_mem_p"].notna()]
        expected_q = stats.false_discovery_control(tested["ssl_mem_p"])
        assert tested["ssl_mem_q"].tolist() == pytest.approx(expected_q.tolist())


def test_scores_are_shrunk_by_the_reliability_of_their_layer():
    result = combined(drawn(4, n_runs=6, n_images=22))
    layers = result.to_pandas().set_index("layer")
    samples = result.samples_to_pandas()
    for layer, rows in samples.groupby("layer"):
        reliability = max(0.0, layers.loc[layer, "reliability"])
        mean = rows["ssl_mem"].mean()
        expected = mean + reliability * (rows["ssl_mem"] - mean)
        assert rows["ssl_mem_shrunk"].tolist() == pytest.approx(expected.tolist())
    assert layers["run_correlation"].between(-1, 1).all()
    three = combined(drawn(4, n_runs=3))
    assert three.to_pandas()["reliability"].isna().all()
    assert three.samples_to_pandas()["ssl_mem_shrunk"].isna().all()


def memorised(seed, n_memorised, effect=0.5):
    """Six runs on 120 images, of which the first few are memorised in the last layer."""
    rng, runs = np.random.default_rng(seed), {}
    for number in range(1, 7):
        roles = rng.permutation(["candidate", "independent"] * 60)
        signs = np.array([SIGNS[role] for role in roles])
        m = rng.normal(0, 0.1, (120, 3))
        m[:n_memorised, 2] += effect * signs[:n_memorised]
        runs[f"run-{number}"] = layer_mem(m, roles)
    return runs


def test_memorised_images_are_told_from_noise():
    samples = combined(memorised(0, 12)).samples_to_pandas()
    q = samples.pivot(index="index", columns="layer", values="ssl_mem_q")
    assert (q["three"].iloc[:12] <= 0.1).all()
    assert (q["three"].iloc[12:] <= 0.1).sum() <= 2
    assert (q["two"] > 0.1).all()


def test_lists_of_shuffled_roles_are_rare():
    rng, listed = np.random.default_rng(1), 0
    for seed in range(30):
        runs = memorised(seed, 12)
        for name, result in runs.items():
            samples = result.samples_to_pandas()
            samples["role"] = rng.permutation(samples["role"])
            runs[name] = replace(result, tables={**result.tables, "samples": samples})
        samples = combined(runs).samples_to_pandas()
        of_last = samples[samples["layer"] == "three"]
        listed += (of_last["ssl_mem_q"] <= 0.1).any()
    # 10% and two standard errors.
    assert listed <= 6


def test_the_most_memorised_images_are_scored_by_the_run_that_is_left_out():
    runs = memorised(2, 12)
    result = combined(runs)
    scores = scores_by_hand(runs)
    x = np.array([scores[index, "three"] for index in range(120)]).T
    by_hand = []
    for run in range(6):
        chosen = np.argsort(-np.delete(x, run, axis=0).mean(axis=0))[:12]
        by_hand.append(x[run, chosen].mean())
    rows = result.runs_to_pandas()
    assert rows[rows["layer"] == "three"]["top"].tolist() == pytest.approx(by_hand)
    last = result.to_pandas().iloc[-1]
    # Variance (1 / 6 + 1 / 2) s ** 2, and five degrees of freedom.
    half = 2.570582 * np.sqrt(2 / 3) * np.std(by_hand, ddof=1)
    mean = np.mean(by_hand)
    found = last["top"], last["top_low"], last["top_high"]
    assert found == pytest.approx((mean, mean - half, mean + half))
    assert result.settings["top_share"] == 0.1


def test_shuffling_keeps_groups_and_strata():
    """One image of a group differs, so that the roles of the group tell all."""
    roles = np.array(["candidate", "independent"] * 8).repeat(2)
    result = layer_mem(np.zeros((32, 3)), roles)
    samples = result.samples_to_pandas()
    # Pairs of images are groups, of which four belong to a stratum.
    group, stratum = np.arange(16).repeat(2), np.arange(4).repeat(8)
    for name in NAMES:
        samples[name] = np.tile([1.0, -1.0], 16)
    samples.insert(3, "group", group)
    samples.insert(4, "stratum", stratum)
    runs = {
        str(number): replace(result, tables={**result.tables, "samples": samples})
        for number in range(10)
    }
    # Each group's images cancel out if they have the same role.
    assert combined(runs).runs_to_pandas()["shuffled"].abs().max() < 1e-12
    for name in NAMES:
        samples[name] = stratum.astype(float)
    runs = {
        str(number): replace(result, tables={**result.tables, "samples": samples})
        for number in range(10)
    }
    # Each stratum has as many candidates as independent images.
    assert combined(runs).runs_to_pandas()["shuffled"].abs().max() < 1e-12


def test_images_that_only_external_runs_measured_have_no_score():
    roles = ["candidate", "independent", "external", "external"]
    m = np.array([[0.4], [0.0], [0.1], [0.1]]).repeat(3, 1)
    moved = ["external", "candidate", "independent", "external"]
    result = combined({"a": layer_mem(m, roles), "b": layer_mem(m, moved)})
    samples = result.samples_to_pandas()
    last = samples[samples["layer"] == "three"].set_index("index")
    assert last["runs"].to_dict() == {0: 1, 1: 2, 2: 1}
    # Candidates and independent images are as far from the offset between them.
    one, other = (math.tanh(math.atanh(m) / 2) for m in (0.4, 0.1))
    expected = {0: one, 1: (one - other) / 2, 2: -other}
    assert last["ssl_mem"].to_dict() == pytest.approx(expected)


def test_an_effect_of_one_image_is_found_at_its_file_name():
    rng, runs = np.random.default_rng(5), {}
    for number in range(6):
        roles = rng.permutation(["candidate", "independent"] * 8)
        signs = np.array([SIGNS[role] for role in roles])
        m = rng.normal(0, 0.01, size=(16, 3)) + 0.1 * rng.normal(size=3)
        m[11, 2] += 0.5 * signs[11]
        runs[str(number)] = layer_mem(m, roles)
    top = combined(runs).top_samples(1).iloc[0]
    assert (top["filename"], top["index"], top["runs"]) == ("011.png", 11, 6)
    assert top["ssl_mem"] == pytest.approx(0.5 * (1 - 1 / 16), abs=0.03)
    assert top["ssl_mem_low"] > 0.4


def test_shuffled_roles_find_nothing():
    runs = drawn(6, n_runs=12, n_images=60, sizes=(20, 20, 20))
    table = combined(runs).to_pandas()
    assert table["ssl_mem"].tolist() == pytest.approx([0, 0.1, 0.3], abs=0.01)
    assert (table["shuffled"].abs() < [0.01, 0.03, 0.09]).all()
    assert (table["shuffled_low"] < 0).all()
    assert (table["shuffled_high"] > 0).all()
    assert table["ssl_mem_p"][2] < 1e-6 < table["shuffled_p"].min()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        # Half of one of 2 candidates, or of one of 6 independent images.
        ((2, 6, 4), {0.25, -1 / 12}),
        ((6, 2, 0), {1 / 12, -0.25}),
        # Without independent images, one of 2 candidates or of 4 external ones.
        ((2, 0, 4), {0.5, -0.25}),
    ],
)
def test_shuffling_keeps_the_number_of_each_role(sizes, expected):
    """One image differs from those it is contrasted with, so its role tells all."""
    names = ["candidate", "independent", "external"]
    roles = np.repeat(names, sizes)
    m = np.zeros((sum(sizes), 3))
    m[0] = math.tanh(1)
    if sizes[1]:
        m[roles == "external"] = 0.9
    runs = {str(number): layer_mem(m, roles) for number in range(40)}
    rows = combined(runs, seed=1).runs_to_pandas()
    scaled = {round(math.tanh(x), 9) for x in expected}
    assert set(rows["shuffled"].round(9)) == scaled
    share = (rows["shuffled"] > 0).groupby(rows["run"]).first().mean()
    contrasted = sizes[0] + (sizes[1] or sizes[2])
    assert abs(share - sizes[0] / contrasted) < 0.25


def test_shuffled_roles_follow_the_seed_and_nothing_else_does():
    runs = drawn(7)
    first, again, other = (combined(runs, seed).to_pandas() for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(first, again)
    differing = [name for name in first if not first[name].equals(other[name])]
    endings = ("", "_error", "_low", "_high", "_p", "_p_adjusted")
    assert differing == [f"shuffled{end}" for end in endings]


def test_two_runs_give_no_intervals_and_say_so():
    runs = drawn(8, n_runs=2, n_images=19)
    result = combined(runs)
    table, samples = result.to_pandas(), result.samples_to_pandas()
    for name in ESTIMATES:
        assert table[name].notna().all()
        assert table[f"{name}_error"].notna().all()
        for end in ("_low", "_high", "_p"):
            assert table[f"{name}{end}"].isna().all()
    assert samples["ssl_mem_low"].isna().all()
    assert result.settings["notes"] == [
        "Two runs give no intervals: train at least a third."
    ]
    three = combined(drawn(8, n_runs=3))
    assert three.settings["notes"] == []
    assert three.to_pandas()["ssl_mem_low"].notna().all()


def test_settings_name_the_runs_and_what_was_left_out():
    runs = drawn(9, n_runs=3)
    m, roles = np.zeros((4, 3)), ["candidate", "independent"] * 2
    runs["more"] = layer_mem(m, roles, skipped=["b.png", "a.png"])
    runs["most"] = layer_mem(m, roles, skipped=["c.png", "b.png"])
    settings = combined(runs, 5, {"lost": "it is not there"}).settings
    assert settings["runs"] == ["run-1", "run-2", "run-3", "more", "most"]
    assert settings["left_out"] == {"lost": "it is not there"}
    assert settings["skipped"] == ["a.png", "b.png", "c.png"]
    assert settings["seed"] == 5
    assert set(settings["view_seeds"]) == set(settings["runs"])


@pytest.mark.parametrize("n_runs", [0, 1])
def test_fewer_than_two_runs_are_refused_with_the_reasons(n_runs):
    runs = drawn(0, n_runs=n_runs)
    left_out = {"run-7": "it is broken.", "run-8": "it is lost."}
    with pytest.raises(MemorizationError) as error:
        combined(runs, left_out=left_out)
    assert str(error.value) == (
        f"Expected at least two runs, got {n_runs}. run-7: it is broken. run-8: it is "
        "lost."
    )


@pytest.mark.parametrize(
    "layers",
    [
        LAYERS[:2],
        (LAYERS[1], LAYERS[0], LAYERS[2]),
        (*LAYERS[:2], ("three", "block")),
        (*LAYERS[:2], ("four", "pool")),
    ],
)
def test_runs_of_other_layers_are_refused_by_name(layers):
    runs, roles = drawn(0, n_runs=2), ["candidate", "independent"] * 2
    runs["odd"] = layer_mem(np.zeros((4, len(layers))), roles, layers=layers)
    with pytest.raises(
        MemorizationError, match=r"^odd measured other layers than run-1"
    ):
        combined(runs)


@pytest.mark.parametrize(
    ("n_runs", "often"), [(2, [1, 2]), (4, [2, 3, 4]), (5, [3, 4, 5])]
)
def test_only_images_scored_in_half_of_the_runs_are_ranked(n_runs, often):
    """Image i has a role in i of the runs; those of few runs score highest."""
    runs = {}
    for number in range(n_runs):
        index = [i for i in range(n_runs + 1) if i > number]
        m = [[0.0, 0.0, 0.1 if i in often else 0.9] for i in index]
        roles = ["candidate"] * len(index) + ["candidate", "independent"]
        runs[str(number)] = layer_mem([*m, [0] * 3, [0] * 3], roles, [*index, 90, 91])
    result = combined(runs)
    top = result.top_samples(100)
    ranked = dict(zip(top["index"], top["runs"], strict=True))
    assert ranked == {i: i for i in often} | {90: n_runs, 91: n_runs}
    assert top["ssl_mem"].is_monotonic_decreasing
    assert result.top_samples(2).equals(top.head(2))
    last = result.samples_to_pandas().query("layer == 'three'").set_index("index")
    pd.testing.assert_series_equal(
        top.set_index("index")["ssl_mem"], last["ssl_mem"].loc[top["index"]]
    )
    seldom = last.drop(index=[*often, 90, 91])["ssl_mem"]
    assert len(seldom) == often[0] - 1
    assert (seldom > top["ssl_mem"].max()).all()


def test_images_of_equal_score_are_ranked_by_their_index():
    m, roles = [[0.5] * 3] * 3 + [[-0.5] * 3], ["candidate"] * 3 + ["independent"]
    shown = [5, 17, 3, 4]
    result = combined({name: layer_mem(m, roles, shown) for name in "ab"})
    top = result.top_samples(10)
    assert top["ssl_mem"].tolist() == [0.5] * 4
    assert top["index"].tolist() == [3, 4, 5, 17]


@pytest.mark.parametrize("n_runs", [2, 3])
def test_saved_results_load_exactly(tmp_path, n_runs):
    result = combined(drawn(10, n_runs=n_runs), 1, {"run-9": "it is lost."})
    result.save(tmp_path)
    loaded = load_result(tmp_path)
    assert type(loaded) is SSLMemRunsResult
    assert loaded.settings == json.loads(json.dumps(dict(result.settings)))
    assert loaded.tables.keys() == {"layers", "runs", "samples"}
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(loaded.tables[name], table, check_exact=True)
        csv = pd.read_csv(tmp_path / f"{name}.csv")
        assert csv.columns.tolist() == table.columns.tolist()
        assert len(csv) == len(table)
    pd.testing.assert_frame_equal(loaded.top_samples(), result.top_samples())
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["result"] == "ssl-mem"


def test_scalars_are_the_layers_means():
    runs = drawn(11)
    each = [result.to_pandas()["symmetric"] for result in runs.values()]
    expected = dict(zip(NAMES, np.mean(each, axis=0), strict=True))
    assert combined(runs).scalars() == pytest.approx(
        {f"ssl_mem/{name}": value for name, value in expected.items()}
    )


def test_the_figure_shows_the_means_and_their_intervals():
    runs = drawn(12)
    each = np.stack([result.to_pandas()["symmetric"] for result in runs.values()])
    interval = stats.ttest_1samp(each, 0).confidence_interval()
    (axes,) = combined(runs).figures()["ssl_mem"].axes
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_allclose(lines["without the runs' offsets"], each.mean(axis=0))
    assert {"published", "with shuffled roles"} <= lines.keys()
    ends = [band.get_datalim(axes.transData).intervaly for band in axes.collections]
    expected = interval.low.min(), interval.high.max()
    assert any(np.allclose(end, expected) for end in ends)
    assert "Mean of 4 runs, 95% intervals over runs" in axes.get_title()


def test_the_figure_of_two_runs_claims_no_intervals():
    (axes,) = combined(drawn(13, n_runs=2)).figures()["ssl_mem"].axes
    assert axes.get_title() == "Mean of 2 runs"


def test_tables_are_copies():
    result = combined(drawn(14))
    for table in (
        result.to_pandas(),
        result.runs_to_pandas(),
        result.samples_to_pandas(),
    ):
        table["ssl_mem"] = 9.0
    assert (result.to_pandas()["ssl_mem"] < 1).all()
    assert (result.runs_to_pandas()["ssl_mem"] < 1).all()
    assert (result.samples_to_pandas()["ssl_mem"] < 1).all()


def test_no_contrast_is_no_traceback():
    with pytest.raises(MemorizationError, match="b "):
        combined(
            {
                "a": layer_mem(np.zeros((4, 3)), ["candidate", "independent"] * 2),
                "b": layer_mem(np.zeros((4, 3)), ["candidate"] * 4),
            }
        )


@pytest.mark.parametrize("n_images", [20, 60, 200])
def test_shuffling_without_independent_images_counts_only_what_a_run_measured(n_images):
    rng, runs = np.random.default_rng(0), {}
    for number in range(30):
        index = np.sort(rng.choice(n_images, 6, replace=False))
        roles = ["candidate"] * 2 + ["external"] * 4
        m = np.zeros((6, 3))
        m[0] = math.tanh(1)
        runs[str(number)] = layer_mem(m, roles, index)
    rows = combined(runs, seed=1).runs_to_pandas()
    expected = {round(math.tanh(x), 9) for x in (0.5, -0.25)}
    assert set(rows["shuffled"].round(9)) == expected


def test_there_are_top_samples_of_small_roles():
    runs = {}
    for number in range(6):
        roles, index = (
            ["candidate"] * 2 + ["independent"] * 2,
            np.arange(4) + 4 * number,
        )
        runs[str(number)] = layer_mem(
            np.random.default_rng(number).normal(0, 0.1, (4, 3)), roles, index
        )
    assert len(combined(runs).top_samples(10)) == 10


def test_settings_of_the_measurement_are_those_of_the_runs():
    options = {"n_views": 7, "pairs": "anchor", "normalize": False}
    runs = drawn(9, n_runs=2)
    runs = {
        name: replace(result, settings={**result.settings, **options})
        for name, result in runs.items()
    }
    settings = combined(runs).settings
    assert {name: settings[name] for name in options} == options
    assert settings["normalization"] == "relative"
