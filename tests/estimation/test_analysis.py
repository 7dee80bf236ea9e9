import itertools
import json
import math
from dataclasses import replace
from statistics import fmean

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lightly_memloc import load_result
from lightly_memloc.errors import MemorizationError
from lightly_memloc.estimation import analyze
from lightly_memloc.functional import kendall_tau
from lightly_memloc.results import (
    AnalysisResult,
    ClassMemResult,
    UnitMemResult,
)
from tests.estimation.measured import from_distances
from tests.functional.exact import assert_p_value

SETTINGS = {"normalization": "relative", "seed": 0, "skipped": []}
TAU = ("", "_low", "_high", "_p")
# Resamples behind the differences' intervals and p-values.
N_RESAMPLES = 2000


def layer_mem(m, roles=None, index=None, reference=True, top_k=50):
    """LayerMem of images with SSLMem m, shape (N, L), in layers a, b, c, ..."""
    m = np.asarray(m, dtype=np.float64)
    index = range(len(m)) if index is None else index
    roles = ["candidate"] * len(m) if roles is None else roles
    images = pd.DataFrame(
        {"index": index, "filename": [f"{i}.png" for i in index], "role": roles}
    )
    layers = [(name, "conv") for name in "abcdefgh"[: m.shape[1]]]
    settings = SETTINGS | {"top_k": top_k}
    distances_g = 1 + m if reference else None
    return from_distances(layers, images, 1 - m, distances_g, settings, 19)


def unit_mem(rows):
    """UnitMem of units: layer, winning image, UnitMem, and whether it is dead."""
    units = pd.DataFrame(rows, columns=["layer", "index", "unit_mem", "dead"])
    units["unit"] = units.groupby("layer").cumcount()
    units = units.assign(mu_max=1.0, mu_rest=0.5, filename="0.png")
    order = ["layer", "unit", "unit_mem", "mu_max", "mu_rest", "index", "filename"]
    return UnitMemResult({}, {"units": units[[*order, "dead"]]})


def class_mem(rows):
    """ClassMem of units: layer, ClassMem, and whether it is dead."""
    units = pd.DataFrame(rows, columns=["layer", "class_mem", "dead"])
    units["unit"] = units.groupby("layer").cumcount()
    units["class"] = 3
    order = ["layer", "unit", "class_mem", "class", "dead"]
    return ClassMemResult({}, {"units": units[order]})


def mixed(seed=0, n_candidates=24, n_external=13, n_layers=3):
    """LayerMem of shuffled images; independent images have the extreme SSLMem."""
    rng = np.random.default_rng(seed)
    sizes = {"candidate": n_candidates, "external": n_external, "independent": 5}
    roles = rng.permutation(np.repeat(list(sizes), list(sizes.values())))
    index = rng.permutation(1000)[: len(roles)]
    common = rng.normal(0, 0.1, size=(len(roles), 1))
    m = common + rng.normal(0, 0.1, size=(len(roles), n_layers))
    m[roles == "independent"] = [[0.9], [-0.9], [0.8], [-0.8], [0.9]]
    return layer_mem(m, roles, index)


def scores(result, role, layer):
    """SSLMem of the images of a role by their index, in the order of the table."""
    rows = result.samples_to_pandas().to_dict("records")
    return {row["index"]: row[layer] for row in rows if row["role"] == role}


def extremes(of, k):
    ranked = sorted(of, key=lambda image: -of[image])
    return ranked[:k], ranked[len(ranked) - k :]


def tau_with_p(first, second):
    tau = kendall_tau(list(first), list(second))
    return pytest.approx([float(tau.value), float(tau.p)], nan_ok=True)


def units_of(result, seed=1, n=40):
    """Units in two layers that images of the result win, a few images win many."""
    rng = np.random.default_rng(seed)
    winners = list(scores(result, "candidate", "a"))[::2]
    winners += [winners[0]] * 5
    return [
        ("early" if unit % 3 else "late", rng.choice(winners), rng.random(), False)
        for unit in range(n)
    ]


def layers_and_all(rows):
    """Rows of units by layer, then all of them."""
    layers = list(dict.fromkeys(row[0] for row in rows))
    by_layer = [(layer, [r for r in rows if r[0] == layer]) for layer in layers]
    return [*by_layer, ("all layers", rows)]


def independent_layers(rng, n_candidates=40, n_external=20):
    roles = ["candidate"] * n_candidates + ["external"] * n_external
    return layer_mem(rng.normal(0, 0.1, size=(len(roles), 2)), roles)


def assert_interval(low, high, first, second):
    """Assert a bootstrap interval of a difference of means by the normal one."""
    error = math.sqrt(np.var(first) / len(first) + np.var(second) / len(second))
    middle = fmean(first) - fmean(second)
    assert low == pytest.approx(middle - 1.96 * error, abs=0.35 * error)
    assert high == pytest.approx(middle + 1.96 * error, abs=0.35 * error)


def test_consistency_has_each_pair_of_layers_in_forward_order():
    pairs = analyze(mixed(n_layers=4)).to_pandas()["consistency"]
    expected = [
        ("a", "b", 1),
        ("a", "c", 2),
        ("a", "d", 3),
        ("b", "c", 1),
        ("b", "d", 2),
        ("c", "d", 1),
    ]
    found = pairs[["layer", "other", "distance"]].itertuples(index=False, name=None)
    assert list(found) == expected


@pytest.mark.parametrize("top_k", [2, 5, 6])
def test_overlap_is_that_of_the_lists_of_candidates(top_k):
    result = mixed()
    pairs = analyze(result, top_k=top_k).to_pandas()["consistency"]
    for row in pairs.to_dict("records"):
        first, second = (
            set(extremes(scores(result, "candidate", row[name]), top_k)[0])
            for name in ("layer", "other")
        )
        shared = len(first & second)
        ways = sum(
            math.comb(top_k, i) * math.comb(24 - top_k, top_k - i)
            for i in range(shared, top_k + 1)
        )
        assert row["overlap"] == shared / top_k
        assert row["chance"] == top_k / 24
        assert row["overlap_p"] == pytest.approx(ways / math.comb(24, top_k))


@pytest.mark.parametrize(
    ("role", "name"), [("candidate", "tau"), ("external", "external_tau")]
)
def test_tau_is_that_of_the_images_of_a_role(role, name):
    result = mixed()
    pairs = analyze(result).to_pandas()["consistency"]
    for row in pairs.to_dict("records"):
        first, second = (
            list(scores(result, role, row[layer]).values())
            for layer in ("layer", "other")
        )
        assert [row[name], row[f"{name}_p"]] == tau_with_p(first, second)
        tau = kendall_tau(first, second)
        ends = [float(tau.low), float(tau.high)]
        assert [row[f"{name}_low"], row[f"{name}_high"]] == pytest.approx(ends)


@pytest.mark.parametrize(
    ("n_candidates", "top_k", "k"),
    [(24, 100, 6), (27, 100, 6), (24, 6, 6), (24, 5, 5), (8, 100, 2)],
)
def test_at_most_a_quarter_of_the_candidates_are_the_most_memorised(
    n_candidates, top_k, k
):
    result = mixed(n_candidates=n_candidates)
    analysis = analyze(result, top_k=top_k)
    assert analysis.settings["top_k"] == k
    assert analysis.settings["images"] == n_candidates
    assert (analysis.to_pandas()["consistency"]["chance"] == k / n_candidates).all()
    ranked = sorted(scores(result, "candidate", "c").values())
    last = analysis.to_pandas()["atypical"].iloc[-1]
    assert last["most"] == pytest.approx(fmean(ranked[-k:]))
    assert last["least"] == pytest.approx(fmean(ranked[:k]))


def test_a_hundred_images_are_the_most_memorised_unless_told():
    m = np.random.default_rng(0).normal(0, 0.1, size=(404, 2))
    assert analyze(layer_mem(m)).settings["top_k"] == 100


@pytest.mark.parametrize(
    ("role", "prefix", "top_k", "k"),
    [
        ("candidate", "", 6, 6),
        ("candidate", "", 4, 4),
        ("external", "external_", 6, 3),
        ("external", "external_", 5, 3),
        ("external", "external_", 4, 2),
    ],
)
def test_the_most_and_the_least_memorised_by_the_last_layer_are_contrasted(
    role, prefix, top_k, k
):
    """Of 13 external images against 24 candidates, 6 become 3.25, 5 2.7 and 4 2.2."""
    result = mixed(seed=2)
    table = analyze(result, top_k=top_k).to_pandas()["atypical"]
    assert table["layer"].tolist() == ["a", "b", "c"]
    most, least = extremes(scores(result, role, "c"), k)
    for row in table.to_dict("records"):
        of = scores(result, role, row["layer"])
        high, low = ([of[image] for image in images] for images in (most, least))
        test = stats.ttest_ind(high, low, equal_var=False)
        expected = {
            "most": fmean(high),
            "least": fmean(low),
            "difference": fmean(high) - fmean(low),
            "t": test.statistic,
            "t_p": test.pvalue,
        }
        found = {name: row[f"{prefix}{name}"] for name in expected}
        assert found == pytest.approx(expected)
        assert f"{prefix}difference_p" not in row


def test_the_difference_has_a_bootstrap_interval_over_images():
    result = mixed(seed=3, n_candidates=160, n_external=160)
    table = analyze(result).to_pandas()["atypical"]
    for role, prefix in (("candidate", ""), ("external", "external_")):
        most, least = extremes(scores(result, role, "c"), 40)
        for row in table.to_dict("records"):
            of = scores(result, role, row["layer"])
            assert_interval(
                row[f"{prefix}difference_low"],
                row[f"{prefix}difference_high"],
                [of[image] for image in most],
                [of[image] for image in least],
            )


def test_equal_scores_rank_in_the_order_of_the_images():
    """The last layer tells three groups apart, the first one each image."""
    first = np.arange(16) / 100
    last = np.repeat([0.3, 0.1, 0.2, 0.1], 4)
    result = layer_mem(np.stack([first, last], axis=1), index=range(40, 24, -1))
    row = analyze(result, top_k=3).to_pandas()["atypical"].iloc[0]
    assert row["most"] == pytest.approx(fmean(first[:3]))
    assert row["least"] == pytest.approx(fmean(first[-3:]))


def test_the_most_and_the_least_are_those_of_layer_mem():
    m = np.random.default_rng(4).integers(-3, 4, size=(40, 3)) / 10
    result = layer_mem(m, top_k=7)
    of_layers = result.to_pandas()
    table = analyze(result, top_k=7).to_pandas()["atypical"]
    assert table["most"].tolist() == pytest.approx(of_layers["top_k"].tolist())
    assert table["least"].tolist() == pytest.approx(of_layers["least_k"].tolist())


@pytest.mark.parametrize("n_external", [0, 1])
def test_without_external_images_their_columns_are_unknown_or_absent(n_external):
    tables = analyze(mixed(n_external=n_external)).to_pandas()
    pairs, table = tables["consistency"], tables["atypical"]
    assert pairs[[f"external_tau{end}" for end in TAU]].isna().all(axis=None)
    assert pairs[[f"tau{end}" for end in TAU]].notna().all(axis=None)
    assert not [column for column in table if column.startswith("external")]
    assert table.notna().all(axis=None)


@pytest.mark.parametrize(("n_external", "there"), [(5, False), (7, True)])
def test_external_extremes_of_fewer_than_two_images_are_left_out(n_external, there):
    """Of 24 candidates, 6 are extreme: of 5 and 7 externals, 1.25 and 1.75."""
    tables = analyze(mixed(n_external=n_external)).to_pandas()
    assert ("external_most" in tables["atypical"]) == there
    assert tables["consistency"]["external_tau"].notna().all()


@pytest.mark.parametrize("n_external", [2, 4])
def test_few_external_images_have_a_tau_without_an_interval(n_external):
    analysis = analyze(mixed(n_external=n_external))
    pairs = analysis.to_pandas()["consistency"]
    assert pairs["external_tau"].between(-1, 1).all()
    assert pairs[["external_tau_low", "external_tau_high"]].isna().all(axis=None)


def test_layers_without_a_reference_encoder_are_refused():
    m = np.random.default_rng(0).normal(0, 0.1, size=(20, 2))
    with pytest.raises(MemorizationError, match="needs a reference encoder"):
        analyze(layer_mem(m, reference=False))


@pytest.mark.parametrize(("n_images", "n_layers"), [(7, 2), (8, 1), (2, 3)])
def test_too_few_candidates_or_layers_are_refused_with_their_numbers(
    n_images, n_layers
):
    m = np.random.default_rng(0).normal(0, 0.1, size=(n_images + 9, n_layers))
    roles = ["candidate"] * n_images + ["external"] * 9
    numbers = rf"eight candidates and two layers, got {n_images} and {n_layers}\."
    with pytest.raises(MemorizationError, match=numbers):
        analyze(layer_mem(m, roles))


def test_nothing_to_compare_is_refused():
    units = unit_mem([("a", 1, 0.5, False)])
    classes = class_mem([("a", 0.5, False)])
    for results in ({}, {"unit_mem": units}, {"class_mem": classes}):
        with pytest.raises(MemorizationError, match="nothing to compare"):
            analyze(**results)


def test_there_are_the_tables_that_the_results_allow():
    result = mixed()
    rows = units_of(result)
    units = unit_mem(rows)
    classes = class_mem([(layer, 0.3, False) for layer, *_ in rows])
    of_layers = ["consistency", "atypical"]
    of_both = [*of_layers, "atypical_units", "units_won"]
    of_units = ["unit_class", "units"]
    for results, names in [
        ((result, None, None), of_layers),
        ((result, None, classes), of_layers),
        ((result, units, None), of_both),
        ((None, units, classes), of_units),
        ((result, units, classes), of_both + of_units),
    ]:
        analysis = analyze(*results)
        assert list(analysis.to_pandas()) == names
        about_units = any("Units of a layer" in n for n in analysis.settings["notes"])
        assert about_units == (names != of_layers)
        about_layers = any("last layer" in n for n in analysis.settings["notes"])
        assert (
            about_layers == (results[0] is not None) == ("top_k" in analysis.settings)
        )


def test_units_that_the_most_and_the_least_memorised_images_win():
    result = mixed()
    most, least = extremes(scores(result, "candidate", "c"), 6)
    rows = units_of(result, n=120)
    analysis = analyze(result, unit_mem(rows))
    found = analysis.to_pandas()["atypical_units"].to_dict("records")
    for row, (layer, units) in zip(found, layers_and_all(rows), strict=True):
        high, low = (
            [value for _, image, value, _ in units if image in images]
            for images in (most, least)
        )
        test = stats.ttest_ind(high, low, equal_var=False)
        assert row.pop("layer") == layer
        assert row == pytest.approx(
            {
                "units_most": len(high),
                "units_least": len(low),
                "unit_mem_most": fmean(high),
                "unit_mem_least": fmean(low),
                "t": test.statistic,
                "t_p": test.pvalue,
            }
        )
        assert min(len(high), len(low)) > 1


def test_one_or_no_unit_has_no_test_and_none_no_mean():
    m = np.stack([np.arange(8), np.arange(8)], axis=1) / 10
    rows = [("x", 7, 0.5, False), ("x", 6, 0.7, False), ("x", 1, 0.2, False)]
    rows += [("y", 3, 0.9, False)]
    analysis = analyze(layer_mem(m), unit_mem(rows))
    x, y, both = analysis.to_pandas()["atypical_units"].to_dict("records")
    assert (x["units_most"], x["units_least"]) == (2, 1)
    assert (x["unit_mem_most"], x["unit_mem_least"]) == (pytest.approx(0.6), 0.2)
    assert (y["units_most"], y["units_least"]) == (0, 0)
    unknown = [y["unit_mem_most"], y["unit_mem_least"]]
    unknown += [row[name] for row in (x, y, both) for name in ("t", "t_p")]
    assert np.isnan(unknown).all()


def test_units_won_are_counted_image_by_image():
    result = mixed(n_candidates=60)
    of = scores(result, "candidate", "c")
    rows = units_of(result)
    analysis = analyze(result, unit_mem(rows))
    found = analysis.to_pandas()["units_won"].to_dict("records")
    for row, (layer, units) in zip(found, layers_and_all(rows), strict=True):
        number = [sum(winner == image for _, winner, *_ in units) for image in of]
        won = [m for m, n in zip(of.values(), number, strict=True) if n]
        lost = [m for m, n in zip(of.values(), number, strict=True) if not n]
        assert (row["layer"], row["units"]) == (layer, len(units))
        assert row["images"] == len(won)
        assert [row["tau"], row["tau_p"]] == tau_with_p(of.values(), number)
        assert row["tau_low"] < row["tau"] < row["tau_high"]
        assert row["winners"] == pytest.approx(fmean(won))
        assert row["others"] == pytest.approx(fmean(lost))
        assert row["difference"] == pytest.approx(fmean(won) - fmean(lost))
        assert_interval(row["difference_low"], row["difference_high"], won, lost)


def test_the_p_value_of_winners_is_that_of_all_choices_of_as_many_images():
    last = np.array([0.0, 0.3, 0.1, 0.7, 0.35, 0.2, 0.55, 0.15])
    result = layer_mem(np.stack([last[::-1], last], axis=1))
    rows = [("x", image, 0.5, False) for image in (3, 4, 6, 3)]
    analysis = analyze(result, unit_mem(rows))
    row = analysis.to_pandas()["units_won"].iloc[0]

    def difference(winners):
        return last[list(winners)].mean() - np.delete(last, list(winners)).mean()

    found = difference((3, 4, 6))
    choices = [difference(c) for c in itertools.combinations(range(8), 3)]
    exact = np.mean([abs(d) >= abs(found) - 1e-12 for d in choices])
    assert row["difference"] == pytest.approx(found)
    assert_p_value(row["difference_p"], exact, N_RESAMPLES)


@pytest.mark.parametrize("winners", [[2], list(range(8)), list(range(7))])
def test_fewer_than_two_winners_or_others_have_no_difference(winners):
    last = np.arange(8) / 10
    result = layer_mem(np.stack([last, last], axis=1))
    rows = [("x", image, 0.5, False) for image in winners]
    analysis = analyze(result, unit_mem(rows))
    row = analysis.to_pandas()["units_won"].iloc[0]
    assert row["images"] == len(winners)
    assert row["winners"] == pytest.approx(last[winners].mean())
    lost = np.delete(last, winners)
    expected = lost.mean() if len(lost) else np.nan
    assert row["others"] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(row[[f"difference{end}" for end in TAU]].tolist()).all()
    assert np.isnan(row["tau"]) == (len(winners) == 8)


@pytest.mark.parametrize("winners", [[2, 5], [0, 1, 3, 4, 6, 7]])
def test_two_images_on_a_side_are_enough_for_a_difference(winners):
    last = np.arange(8) ** 2 / 100
    result = layer_mem(np.stack([last, last], axis=1))
    rows = [("x", image, 0.5, False) for image in winners]
    analysis = analyze(result, unit_mem(rows))
    row = analysis.to_pandas()["units_won"].iloc[0]
    expected = last[winners].mean() - np.delete(last, winners).mean()
    assert row["difference"] == pytest.approx(expected)
    assert row["difference_low"] < expected < row["difference_high"]


def test_dead_units_are_won_by_no_image():
    result = mixed()
    rows = units_of(result)
    dead = [("late", image, 0.0, True) for image in scores(result, "candidate", "a")]
    dead += [("early", 5000, 0.0, True)]
    expected = analyze(result, unit_mem(rows)).to_pandas()
    found = analyze(result, unit_mem(rows + dead)).to_pandas()
    for name in ("atypical_units", "units_won"):
        pd.testing.assert_frame_equal(found[name], expected[name])


@pytest.mark.parametrize("role", ["external", "independent", None])
def test_units_of_other_images_are_refused(role):
    result = mixed()
    stranger = next(iter(scores(result, role, "a"))) if role else 5000
    rows = [*units_of(result), ("late", stranger, 0.5, False)]
    with pytest.raises(MemorizationError, match="other images than LayerMem"):
        analyze(result, unit_mem(rows))


def drawn_units(seed=5, n=90):
    rng = np.random.default_rng(seed)
    layers = ["early" if unit % 3 else "late" for unit in range(n)]
    classes = rng.random(n).round(1)
    of_units = (classes + rng.normal(0.1, 0.3, n)).clip(0, 1).round(1)
    return layers, of_units, classes


def compared(layers, of_units, classes, dead=None, dead_class=None):
    dead = [False] * len(layers) if dead is None else dead
    dead_class = dead if dead_class is None else dead_class
    first = zip(layers, range(len(layers)), of_units, dead, strict=True)
    second = zip(layers, classes, dead_class, strict=True)
    return analyze(None, unit_mem(first), class_mem(second))


def clopper_pearson(hits, n):
    """The exact 95% interval by quantiles of F."""
    low = hits / (
        hits + (n - hits + 1) * stats.f.ppf(0.975, 2 * (n - hits + 1), 2 * hits)
    )
    odds = (hits + 1) * stats.f.ppf(0.975, 2 * (hits + 1), 2 * (n - hits))
    return [low, odds / (n - hits + odds)]


def test_unit_mem_is_compared_with_class_mem_layer_by_layer():
    layers, of_units, classes = drawn_units()
    units = list(zip(layers, of_units, classes, strict=True))
    table = compared(layers, of_units, classes).to_pandas()["unit_class"]
    found = table.to_dict("records")
    for row, (layer, of) in zip(found, layers_and_all(units), strict=True):
        hits = sum(first > second for _, first, second in of)
        ties = sum(first == second for _, first, second in of)
        assert (row["layer"], row["units"]) == (layer, len(of))
        assert row["unit_mem"] == pytest.approx(fmean(u for _, u, _ in of))
        assert row["class_mem"] == pytest.approx(fmean(c for *_, c in of))
        assert row["above"] == pytest.approx(hits / len(of))
        assert ties
        interval = [row["above_low"], row["above_high"]]
        assert interval == pytest.approx(clopper_pearson(hits, len(of)))
        _, first, second = zip(*of, strict=True)
        assert [row["tau"], row["tau_p"]] == tau_with_p(first, second)
        assert row["tau_low"] < row["tau"] < row["tau_high"]


def test_units_are_matched_by_layer_and_number_whatever_their_order():
    layers, of_units, classes = drawn_units()
    rows = list(zip(layers, classes, [False] * len(layers), strict=True))
    turned = class_mem(rows).to_pandas().iloc[::-1].reset_index(drop=True)
    first = zip(layers, range(90), of_units, [False] * 90, strict=True)
    analysis = analyze(None, unit_mem(first), ClassMemResult({}, {"units": turned}))
    expected = compared(layers, of_units, classes).to_pandas()
    for name, table in analysis.to_pandas().items():
        pd.testing.assert_frame_equal(table, expected[name])
    assert expected["units"]["layer"].tolist() == layers
    assert expected["units"]["unit_mem"].tolist() == of_units.tolist()
    assert expected["units"]["class_mem"].tolist() == classes.tolist()


def test_units_dead_by_either_metric_are_not_compared():
    layers, of_units, classes = drawn_units()
    dead = [unit % 5 == 0 for unit in range(90)]
    dead_class = [unit % 7 == 0 for unit in range(90)]
    live = [unit for unit in range(90) if unit % 5 and unit % 7]
    found = compared(layers, of_units, classes, dead, dead_class).to_pandas()
    expected = compared(
        [layers[unit] for unit in live], of_units[live], classes[live]
    ).to_pandas()
    pd.testing.assert_frame_equal(found["unit_class"], expected["unit_class"])
    columns = ["layer", "unit_mem", "class_mem"]
    pd.testing.assert_frame_equal(found["units"][columns], expected["units"][columns])
    assert found["units"].columns.tolist() == ["layer", "unit", *columns[1:]]


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [("aab", "aa", 2), ("aa", "aab", 2), ("aab", "abb", 2), ("aa", "cc", 0)],
)
def test_units_that_do_not_match_are_refused_with_their_numbers(first, second, same):
    units = unit_mem([(layer, 0, 0.5, False) for layer in first])
    classes = class_mem([(layer, 0.5, False) for layer in second])
    numbers = f"{len(first)} units and ClassMem {len(second)}, of which {same} are"
    with pytest.raises(MemorizationError, match=numbers):
        analyze(None, units, classes)


def test_planted_layers_that_agree_share_all_images():
    rng = np.random.default_rng(7)
    m = rng.normal(0, 0.1, size=(40, 3))
    m[:, 1] = m[:, 0] ** 3
    table = analyze(layer_mem(m), top_k=10).to_pandas()
    pairs = table["consistency"].set_index(["layer", "other"])
    row = pairs.loc[("a", "b")]
    assert (row["overlap"], row["tau"]) == (1, 1)
    assert row["overlap_p"] == pytest.approx(1 / math.comb(40, 10))
    assert row["tau_p"] < 1e-9
    assert pairs.loc[("a", "c"), "tau"] == pairs.loc[("b", "c"), "tau"]
    assert abs(pairs.loc[("a", "c"), "tau"]) < 0.4


def test_layers_of_unrelated_scores_agree_as_often_as_chance_has_it():
    rng, n_draws, level = np.random.default_rng(8), 150, 0.2
    rows = [
        analyze(independent_layers(rng), top_k=10).to_pandas()["consistency"].iloc[0]
        for _ in range(n_draws)
    ]
    found = pd.DataFrame(rows)
    least, most = stats.binom.interval(0.999, n_draws, level)
    for name in ("tau_p", "external_tau_p"):
        assert least <= (found[name] <= level).sum() <= most
    ways = sum(math.comb(10, i) * math.comb(30, 10 - i) for i in range(4, 11))
    exact = ways / math.comb(40, 10)
    least, most = stats.binom.interval(0.999, n_draws, exact)
    assert least <= (found["overlap_p"] <= exact + 1e-9).sum() <= most
    spread = 10 * 0.25 * 0.75 * 30 / 39 / 100
    assert abs(found["overlap"].mean() - 0.25) < 3.3 * math.sqrt(spread / n_draws)


def test_scalars_are_the_taus_of_neighbouring_layers():
    result = mixed(n_layers=4)
    columns = {layer: scores(result, "candidate", layer).values() for layer in "abcd"}
    expected = {
        f"tau/{layer}": stats.kendalltau(
            list(columns[layer]), list(columns[following])
        ).statistic
        for layer, following in itertools.pairwise("abcd")
    }
    assert analyze(result).scalars() == pytest.approx(expected)


def test_there_are_no_scalars_of_units_alone():
    assert compared(*drawn_units()).scalars() == {}


def test_saved_analyses_load_exactly(tmp_path):
    result = mixed(n_external=1)
    rows = [*units_of(result), ("lone", next(iter(scores(result, "candidate", "a"))))]
    rows[-1] += (0.5, False)
    classes = class_mem([(row[0], row[2] ** 2, False) for row in rows])
    analysis = analyze(result, unit_mem(rows), classes)
    analysis.save(tmp_path)
    loaded = load_result(tmp_path)
    assert type(loaded) is AnalysisResult
    assert loaded.settings == analysis.settings
    assert loaded.tables.keys() == analysis.tables.keys()
    tables = loaded.to_pandas()
    for name, table in analysis.to_pandas().items():
        pd.testing.assert_frame_equal(tables[name], table, check_exact=True)
        assert len(pd.read_csv(tmp_path / f"{name}.csv")) == len(table)
    assert tables["consistency"]["external_tau"].isna().all()
    assert np.isnan(tables["atypical_units"].set_index("layer").loc["lone", "t"])
    assert loaded.scalars() == analysis.scalars()
    document = json.loads((tmp_path / "result.json").read_text())
    assert document["result"] == "analysis"


def test_the_same_results_give_the_same_analysis_saved_or_not(tmp_path, monkeypatch):
    for kind in (UnitMemResult, ClassMemResult):
        # The made-up results have only what is compared.
        monkeypatch.setattr(kind, "required", {})
        monkeypatch.setattr(kind, "required_settings", ())
    result = mixed()
    rows = units_of(result)
    measured = (
        result,
        unit_mem(rows),
        class_mem([(row[0], row[2] ** 2, False) for row in rows]),
    )
    saved = []
    for one in measured:
        one.save(tmp_path / one.kind)
        saved.append(load_result(tmp_path / one.kind))
    expected = analyze(*measured).to_pandas()
    found = analyze(*saved).to_pandas()
    for name, table in expected.items():
        pd.testing.assert_frame_equal(found[name], table, check_exact=True)


def test_tables_are_copies():
    analysis = analyze(mixed())
    table = analysis.to_pandas()["consistency"]
    table["tau"] = 9.0
    assert (analysis.to_pandas()["consistency"]["tau"] <= 1).all()


@pytest.mark.parametrize("top_k", [1, 0, -3])
def test_fewer_than_two_images_cannot_be_contrasted(top_k):
    with pytest.raises(MemorizationError, match=f"at least two, got {top_k}"):
        analyze(mixed(), top_k=top_k)


def test_units_that_are_all_dead_leave_the_other_tables():
    result = mixed()
    winner = next(iter(scores(result, "candidate", "a")))
    dead = unit_mem([("a", winner, 0.0, True)] * 2), class_mem([("a", 0.0, True)] * 2)
    assert "unit_class" not in analyze(result, *dead).tables
    with pytest.raises(MemorizationError, match="nothing to compare"):
        analyze(None, *dead)


def test_layers_in_which_all_images_are_alike_do_not_seem_to_agree():
    m = np.random.default_rng(0).normal(0, 0.1, (20, 4))
    m[:, :2] = 0
    analysis = analyze(layer_mem(m), top_k=5)
    pairs = analysis.to_pandas()["consistency"].set_index(["layer", "other"])
    for pair in (("a", "b"), ("a", "c"), ("b", "d")):
        assert pairs.loc[pair, ["overlap", "overlap_p", "tau"]].isna().all()
    assert pairs.loc[("c", "d"), ["overlap", "overlap_p", "tau"]].notna().all()
    assert list(analysis.scalars()) == ["tau/c"]


def test_sets_that_do_not_vary_have_no_t_test_and_are_saved_as_strict_json(tmp_path):
    m = np.zeros((20, 2))
    m[:, 1] = np.linspace(0, 0.2, 20)
    m[:, 0] = (np.arange(20) >= 10) * 0.5
    analysis = analyze(layer_mem(m), top_k=np.int64(5))
    first = analysis.to_pandas()["atypical"].iloc[0]
    assert first["difference"] == pytest.approx(0.5)
    assert first[["t", "t_p"]].isna().all()
    analysis.save(tmp_path)
    document = (tmp_path / "result.json").read_text()
    assert "Infinity" not in document
    assert "NaN" not in document


def test_measurements_on_other_numbers_of_images_are_refused():
    result = mixed()
    winner = next(iter(scores(result, "candidate", "a")))
    units, classes = (
        unit_mem([("a", winner, 0.5, False)]),
        class_mem([("a", 0.5, False)]),
    )
    units = replace(units, settings={"images": 23})
    with pytest.raises(MemorizationError, match="on other images than LayerMem's"):
        analyze(result, units)
    with pytest.raises(MemorizationError, match="UnitMem was measured on 23 images"):
        analyze(None, units, classes)


def test_images_are_ranked_over_other_views_than_those_that_compare_them():
    rng = np.random.default_rng(0)
    roles = ["candidate"] * 16 + ["external"] * 8
    first, second = rng.normal(0, 0.1, size=(2, 24, 2))
    images = pd.DataFrame({"index": range(24), "filename": "x.png", "role": roles})
    halves = {
        "f": np.stack([1 - first, 1 - second], axis=2),
        "g": np.stack([1 + first, 1 + second], axis=2),
    }
    whole = np.mean([first, second], axis=0)
    result = from_distances(
        [("a", "conv"), ("b", "conv")],
        images,
        1 - whole,
        1 + whole,
        SETTINGS | {"top_k": 4},
        19,
        halves,
    )
    table = analyze(result).to_pandas()["atypical"]
    candidates = sorted(range(16), key=lambda image: -first[image, 1])
    external = sorted(range(16, 24), key=lambda image: -first[image, 1])
    for column, layer in enumerate(table.to_dict("records")):
        assert layer["most"] == pytest.approx(second[candidates[:4], column].mean())
        assert layer["least"] == pytest.approx(second[candidates[-4:], column].mean())
        difference = layer["external_most"] - layer["external_least"]
        expected = second[external[:2], column], second[external[-2:], column]
        assert difference == pytest.approx(fmean(expected[0]) - fmean(expected[1]))
    layers = result.to_pandas()
    np.testing.assert_allclose(layers["top_k"], second[candidates[:4]].mean(axis=0))
    np.testing.assert_allclose(layers["least_k"], second[candidates[-4:]].mean(axis=0))


def test_without_halves_of_the_views_images_are_not_compared():
    result = mixed()
    tables = {name: of for name, of in result.tables.items() if name != "halves"}
    analysis = analyze(replace(result, tables=tables))
    assert list(analysis.tables) == ["consistency"]
    assert "with at least four views" in analysis.settings["notes"][0]


@pytest.mark.parametrize("n_external", [0, 8])
def test_the_note_sends_to_external_images_where_there_are_any(n_external):
    analysis = analyze(mixed(n_external=n_external))
    (note,) = analysis.settings["notes"]
    assert ("Compare their difference with" in note) == (n_external > 0)
