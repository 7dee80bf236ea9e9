"""The figure that shows LayerMem, membership and member share along depth."""

import pytest

import lightly_memloc as memloc
from lightly_memloc.estimation import infer_membership
from lightly_memloc.report import write_report
from lightly_memloc.report.depth import draw_depth
from lightly_memloc.report.saved import Saved


@pytest.fixture
def measured(encoders, digits, transform):
    """What was measured of one encoder, by the name of its folder."""
    split = memloc.MemorizationSplit.random(
        len(digits), candidate=30, independent=0, external=30, seed=0
    )
    views = {"split": split, "transform": transform, "n_views": 2}
    alone = memloc.measure_layer_mem(encoders[0], None, digits, **views)
    return {
        "layer-mem": alone,
        "membership": infer_membership(alone),
        "unit-mem": memloc.measure_unit_mem(encoders[0], digits, **views),
    }


def saved(measured, folder, *names):
    for name in names:
        measured[name].save(folder / name)
    return Saved.read(folder)


def test_a_panel_for_each_result(measured, tmp_path):
    figure = draw_depth(saved(measured, tmp_path, *measured))
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["adjusted gap", "membership AUC", "member share"]
    layers = measured["layer-mem"].to_pandas()
    (line,) = (of for of in figure.axes[0].lines if of.get_label() == "adjusted gap")
    assert line.get_ydata().tolist() == layers["adjusted_gap"].tolist()
    scores = measured["membership"].to_pandas()
    adjusted = scores.loc[scores["score"] == "adjusted_alignment", "auc"]
    assert figure.axes[1].lines[0].get_ydata().tolist() == adjusted.tolist()
    # Units are found by the layer's name; some layers have none.
    units = measured["unit-mem"].layers_to_pandas().set_index("layer")["member_share"]
    shown = dict(zip(layers["layer"], figure.axes[2].lines[0].get_ydata(), strict=True))
    for layer, share in units.items():
        if layer in shown:
            assert shown[layer] == share


def test_bars_cover_all_layers_at_once(measured, tmp_path):
    figure = draw_depth(saved(measured, tmp_path, "layer-mem", "membership"))
    (bars,) = (
        of for of in figure.axes[0].collections if of.get_label().endswith("at once")
    )
    layers = measured["layer-mem"].to_pandas()
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    assert (
        ends
        == layers[["adjusted_gap_simultaneous_low", "adjusted_gap_simultaneous_high"]]
        .to_numpy()
        .tolist()
    )


def test_one_result_needs_no_further_figure(measured, tmp_path):
    assert draw_depth(saved(measured, tmp_path / "a", "layer-mem")) is None
    assert draw_depth(saved(measured, tmp_path / "b", "unit-mem", "membership")) is None


def test_the_page_shows_it(measured, tmp_path):
    page = write_report(saved(measured, tmp_path, *measured)).read_text(
        encoding="utf-8"
    )
    assert '<section id="result-along-depth">' in page
    assert "of all layers at once" in page
