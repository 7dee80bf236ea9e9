from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from rich.console import Console

from lightly_memloc.errors import MemorizationError, MemorizationWarning
from lightly_memloc.report import report_of
from lightly_memloc.report.saved import save_epochs
from lightly_memloc.results import (
    UnitMemResult,
    load_epochs,
    plot_epochs,
)
from tests.report.shown import band, drawn, estimate


def test_member_share_stands_against_what_chance_gives(unit_results):
    result = unit_results["unit-mem"]
    table, figure = result.layers_to_pandas(), result.figures()["member_share"]
    by_chance, *_ = band(figure)
    assert by_chance[0] == pytest.approx(table["member_share_null_low"].min())
    assert by_chance[1] == pytest.approx(table["member_share_null_high"].max())
    (shares,) = [
        of for of in figure.axes[0].lines if len(of.get_ydata()) == len(table)
    ][:1]
    np.testing.assert_array_equal(shares.get_ydata(), table["member_share"])


def test_unit_mem_shows_the_live_units_of_each_layer(unit_results):
    result = unit_results["unit-mem"]
    units = result.to_pandas()
    medians = units[~units["dead"]].groupby("layer", sort=False)["unit_mem"].median()
    shown = [
        of.get_ydata()[0]
        for of in result.plot()[0].axes[0].lines
        if to_hex(of.get_color()) == "#000000" and len(set(of.get_ydata())) == 1
    ]
    for median in medians:
        assert any(value == pytest.approx(median) for value in shown)


def test_a_layer_of_dead_units_is_shown_empty(unit_results):
    result = unit_results["unit-mem"]
    units = result.to_pandas()
    units["dead"] |= units["layer"] == units["layer"].iloc[0]
    drawn(UnitMemResult(result.settings, result.tables | {"units": units}).plot()[0])


def test_a_share_of_all_units_is_shown(unit_results):
    result = unit_results["unit-mem"]
    layers = result.layers_to_pandas().assign(
        member_share=np.nextafter(1, 0), member_share_low=1.0, member_share_high=1.0
    )
    drawn(
        UnitMemResult({}, result.tables | {"layers": layers}).figures()["member_share"]
    )


def epochs(result, *numbers):
    return [
        replace(result, settings=result.settings | {"epoch": number})
        for number in numbers
    ]


def test_unit_mem_over_epochs(unit_results, results, tmp_path):
    history = epochs(unit_results["unit-mem"], 2, 10)
    for result in history:
        result.save(tmp_path / f"epoch={result.settings['epoch']}" / "unit_mem")
    loaded = load_epochs(tmp_path)
    assert [result.settings["epoch"] for result in loaded] == [2, 10]
    figure, axes = plot_epochs([results["vit"], *loaded])
    assert figure.axes == [axes]
    means = unit_results["unit-mem"].layers_to_pandas()["mean"]
    assert [of.get_xdata().tolist() for of in figure.axes[0].lines] == (
        [[2, 10]] * len(means)
    )
    for of, mean in zip(figure.axes[0].lines, means, strict=True):
        np.testing.assert_allclose(of.get_ydata(), [mean, mean])


def test_epochs_are_drawn_on_axes_that_are_given(unit_results):
    left, right = Figure().subplots(1, 2)
    history = epochs(unit_results["unit-mem"], 2, 10)
    figure, axes = plot_epochs(history, ax=right)
    assert (figure, axes) == (right.figure, right)
    assert not left.lines
    names = [text.get_text() for text in right.get_legend().get_texts()]
    assert len(names) == len(right.lines)


def test_nothing_over_epochs(results, tmp_path):
    assert load_epochs(tmp_path) == []
    with pytest.raises(MemorizationError, match="not measured in training"):
        plot_epochs([results["vit"]])


LAYERS = ["conv1", "layer1.0", "layer2.0", "fc"]


def with_share(share, p):
    columns = estimate("member_share", share, p)
    columns |= {"member_share_null_low": 0.35, "member_share_null_high": 0.65}
    columns["member_share_p_adjusted"] = columns["member_share_p"]
    return UnitMemResult({}, {"layers": pd.DataFrame({"layer": LAYERS, **columns})})


def test_units_name_the_layer_whose_members_win_most():
    text = report_of(
        with_share([0.9, 0.8, 0.7, 0.1], [0.05, 0.001, 0.001, 0.001])
    ).words()
    assert text == (
        "Members win more units than expected by chance (adjusted p < 0.05) in 2 of 4 "
        "layers. The largest share is that of layer1.0: 80%, where 95% of shares by "
        "chance are between 35% and 65%."
    )
    none = report_of(with_share([0.6, 0.5, 0.4, 0.7], [0.05, 1, 0.5, 0.2])).words()
    assert none == (
        "Members do not win more units than expected by chance (adjusted p < 0.05) in "
        "any of 4 layers. This does not rule out memorisation: the intervals of the member share "
        "reach up to 80%."
    )
    holdout = report_of(
        with_share([0.1, 0.2, 0.5, 0.6], [0.001, 0.001, 1, 0.5])
    ).words()
    assert holdout.startswith(
        "Holdout images win more units than expected by chance (adjusted p < 0.01) in 2"
    )


def with_reference(**columns):
    """Four layers of a pair, with the columns of a result of today."""
    layers = pd.DataFrame(
        {
            "layer": LAYERS,
            "kind": "conv",
            "units": 8,
            "dead": 0,
            "mean": [0.5, 0.6, 0.7, 0.8],
            "median": 0.5,
            "null": [0.45, 0.65, 0.5, 0.8],
            "agreement": 0.25,
            "weak": 1,
            **estimate("member_share", [0.9, 0.8, 0.7, 0.1], [0.001] * 4),
            "member_share_p_adjusted": [0.002, 0.06, 0.004, 0.001],
            "member_share_null_low": 0.35,
            "member_share_null_high": 0.65,
            **estimate("gap", [0.1, 0.2, 0.3, 0.4], [0.001] * 4),
            "gap_p_adjusted": 0.003,
            "member_share_f": 0.6,
            "gap_f": 0.7,
        }
        | columns
    )
    units = pd.DataFrame(
        {
            "layer": LAYERS,
            "unit": 0,
            "unit_mem": [0.5, 0.6, 0.7, 0.8],
            "filename": "a.png",
            "dead": [False, False, False, True],
            "agreement": [1.0, 0.0, 0.0, np.nan],
        }
    )
    return UnitMemResult({"images": 9}, {"layers": layers, "units": units})


def test_sentences_rest_on_adjusted_p_values():
    report = report_of(with_reference())
    assert report.words() == (
        "Members win more units than expected by chance (adjusted p < 0.05) in 2 of 4 "
        "layers. The largest share is that of conv1: 90%, where 95% of shares by chance are between 35% and 65%. Images that "
        "win units of both encoders cancel: this is the mean share of f and of g with "
        "exchanged roles."
    )
    assert report.tested_layers == 4
    assert any("in 67% of the live units" in limit for limit in report.limits())


def test_tables_show_the_null_and_f_alone_within_a_terminal():
    layers, shares, gaps, top = report_of(with_reference()).tables()
    assert [column.header for column in layers.columns][-4:] == [
        *["mean", "null", "agree", "weak"]
    ]
    assert layers.rows[0][-4:] == ("0.500", "0.450", "25%", "1")
    assert shares.rows[0] == (*("conv1", "90%", "80% 100%", ".002", "60%"),)
    assert gaps.rows[0][-2:] == (".003", "+0.700")
    assert [row[3] for row in top.rows] == ["other", "other", "same"]
    for table in (layers, shares, gaps, top):
        console = Console(width=80)
        with console.capture() as shown:
            console.print(table)
        # The title, the header and one line per row.
        assert len(shown.get().splitlines()) == 2 + len(table.rows)


def test_epochs_under_other_conditions_are_not_compared(unit_results, tmp_path):
    first, second = epochs(unit_results["unit-mem"], 0, 1)
    for name, value, called in (
        ("images", 3, "number of images"),
        ("n_views", 99, "number of views"),
        ("rectify", "abs", "rectification"),
    ):
        other = replace(second, settings=second.settings | {name: value})
        with pytest.raises(MemorizationError, match=f"differ in the {called}"):
            plot_epochs([first, other])
    run = tmp_path / "run"
    for result in (first, other):
        folder = run / "training" / "f" / "memorization"
        result.save(folder / f"epoch={result.settings['epoch']}" / "unit-mem")
    with pytest.warns(MemorizationWarning, match="no figure .* differ in the rect"):
        save_epochs(run)
    assert not (folder / "unit_mem.png").exists()
