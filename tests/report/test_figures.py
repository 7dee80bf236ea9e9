from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from lightly_memloc import load_result, measure_class_mem, measure_unit_mem
from lightly_memloc.errors import MemorizationError
from lightly_memloc.probes import ProbeTask, measure_probes
from lightly_memloc.report.style import short_names
from lightly_memloc.results import (
    AnalysisResult,
    LayerMemResult,
    MembershipResult,
    ProbeResult,
    Result,
    SSLMemRunsResult,
    UnitMemResult,
    load_epochs,
    plot_epochs,
)

COMMITTED = Path(__file__).parents[2] / "docs" / "results"
WIDTH = 400


def layer_mem(layers, reference=True, seed=0):
    """LayerMem of made-up distances of 20 images a role."""
    rng = np.random.default_rng(seed)
    roles = np.repeat(["candidate", "independent", "external"], 20)
    images = pd.DataFrame({"index": range(60), "filename": "a.png", "role": roles})
    images["filename"] = images["index"].astype(str) + ".png"
    m = rng.normal(0.01, 0.02, size=(60, len(layers)))
    return LayerMemResult.from_distances(
        layers,
        images,
        1 - m,
        1 + m if reference else None,
        {
            "normalization": "relative",
            "top_k": 5,
            "seed": 0,
            "skipped": [],
            "reference": reference,
        },
        200,
    )


VIT = [
    (f"encoder.layers.encoder_layer_{block}.{name}", kind)
    for block in range(12)
    for name, kind in (("self_attention", "attention"), ("mlp", "mlp"))
]
RESNET = [("conv1", "conv"), ("layer1.0", "block"), ("layer2.0", "block")]


@pytest.fixture(scope="module")
def unit_results():
    from torchvision import transforms

    from lightly_memloc.data import Digits
    from lightly_memloc.training import ResNet9

    transform = transforms.Compose(
        [transforms.RandomResizedCrop(16, antialias=True), transforms.ToTensor()]
    )
    encoder, images = ResNet9(width=4), np.arange(0, 24, 2)
    unit_mem = measure_unit_mem(
        encoder, Digits(), transform, images, images + 1, n_views=2
    )
    class_mem = measure_class_mem(encoder, Digits(), transform, images, n_views=2)
    plain = transforms.Compose([transforms.Resize(16), transforms.ToTensor()])
    task = ProbeTask(Digits(), range(40), range(40, 60), plain)
    probes = measure_probes({"f": encoder, "g": ResNet9(width=4)}, task, ["knn"])
    return {
        "unit-mem": unit_mem,
        "class-mem": class_mem,
        "probe": probes,
        "units and classes": AnalysisResult.from_results(None, unit_mem, class_mem),
    }


@pytest.fixture(scope="module")
def results(unit_results):
    """A result of each kind, those of the documentation among them."""
    committed = {
        path.name: load_result(path)
        for path in sorted((COMMITTED / "interventions").iterdir())
    }
    vit = layer_mem(VIT)
    runs = {f"run-{k}": layer_mem(RESNET, seed=k) for k in range(3)}
    return {
        **committed,
        **unit_results,
        "resnet": layer_mem(RESNET),
        "vit": vit,
        "alignment gap": layer_mem(VIT, reference=False),
        "membership of vit": MembershipResult.from_layer_mem(vit),
        "analysis of vit": AnalysisResult.from_results(vit),
        "runs": SSLMemRunsResult.from_layer_mem(runs, {}, 0),
        "two runs": SSLMemRunsResult.from_layer_mem(
            {name: runs[name] for name in ("run-0", "run-1")}, {}, 0
        ),
    }


def drawn(figure):
    """The figure as it is seen 400 pixels wide."""
    figure.set_dpi(WIDTH / figure.get_size_inches()[0])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas


def texts(figure):
    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip()
    ]


def test_every_kind_of_result_has_a_figure(results):
    own = {
        kind for kind, of in Result.kinds.items() if of.__module__.startswith("lightly")
    }
    assert {result.kind for result in results.values()} == own
    for name, result in results.items():
        figures = result.figures()
        assert figures, name
        assert result.plot()[0].axes[0].get_title() == (
            next(iter(figures.values())).axes[0].get_title()
        )


def test_figures_are_readable_at_400_pixels(results):
    for name, result in results.items():
        for title, figure in result.figures().items():
            renderer = drawn(figure).get_renderer()
            for text in texts(figure):
                pixels = text.get_fontsize() * figure.dpi / 72
                assert pixels >= 9, f"{name}, {title}: {text.get_text()}"
            drawn_box = figure.get_tightbbox(renderer)
            width, height = figure.get_size_inches()
            assert drawn_box.x0 >= 0, f"{name}, {title}"
            assert drawn_box.y0 >= 0, f"{name}, {title}"
            assert drawn_box.x1 <= width, f"{name}, {title}"
            assert drawn_box.y1 <= height, f"{name}, {title}"


def test_labels_of_layers_do_not_run_into_each_other(results):
    figure = results["vit"].figures()["layer_mem"]
    drawn(figure)
    axes = figure.axes[0]
    places = [axes.transData.transform((t, 0))[0] for t in axes.get_xticks()]
    assert min(np.diff(places)) > 12
    assert [axes.get_xticks()[0], axes.get_xticks()[-1]] == [0, len(VIT) - 1]


def line(figure, label):
    (found,) = [of for of in figure.axes[0].lines if of.get_label() == label]
    return found.get_ydata()


def band(figure):
    """Lower and upper ends of the bands, in the order in which they were drawn."""
    return [
        (path.vertices[:, 1].min(), path.vertices[:, 1].max())
        for collection in figure.axes[0].collections
        for path in collection.get_paths()
    ]


def test_layer_mem_shows_the_estimates_with_their_intervals(results):
    result = results["resnet"]
    table, figure = result.to_pandas(), result.plot()[0]
    for label, column in (
        ("published", "layer_mem"),
        ("published, on external images", "external"),
        ("calibrated", "calibrated"),
        ("symmetric", "symmetric"),
    ):
        np.testing.assert_array_equal(line(figure, label), table[column])
    for name, (low, high) in zip(
        ("layer_mem", "calibrated", "symmetric"), band(figure), strict=True
    ):
        assert low == pytest.approx(table[f"{name}_low"].min())
        assert high == pytest.approx(table[f"{name}_high"].max())


def test_without_a_reference_encoder_the_gap_alone_is_shown(results):
    result = results["alignment gap"]
    assert list(result.figures()) == ["layer_mem"]
    gap = result.to_pandas()["alignment_gap"]
    np.testing.assert_array_equal(line(result.plot()[0], "alignment gap"), gap)


def test_attention_against_mlp_shows_the_steps_of_the_symmetric_estimate(results):
    samples = results["vit"].samples_to_pandas()
    m = samples[[name for name, _ in VIT]].to_numpy()
    candidate, independent = (
        m[(samples["role"] == role).to_numpy()].mean(axis=0)
        for role in ("candidate", "independent")
    )
    steps = np.diff((candidate - independent) / 2, prepend=np.nan)
    figure = results["vit"].figures()["sublayers"]
    np.testing.assert_allclose(line(figure, "attention"), steps[0::2], rtol=1e-9)
    np.testing.assert_allclose(line(figure, "MLP"), steps[1::2], rtol=1e-9)
    assert "sublayers" not in results["resnet"].figures()


def test_images_are_sorted_by_role(results):
    result = results["resnet"]
    samples = result.samples_to_pandas()
    for role in ("candidate", "independent", "external"):
        scores = samples.loc[samples["role"] == role, "layer2.0"].tolist()
        shown = line(result.figures()["ssl_mem"], role).tolist()
        assert shown == sorted(scores, reverse=True)


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


def test_consistency_has_candidates_below_and_external_images_above(results):
    result = results["analysis of vit"]
    image = result.figures()["consistency"].axes[0].images[0].get_array()
    names = [name for name, _ in VIT]
    for _, row in result.to_pandas()["consistency"].iterrows():
        first, second = names.index(row["layer"]), names.index(row["other"])
        assert image[second, first] == pytest.approx(row["tau"])
        assert image[first, second] == pytest.approx(row["external_tau"])


def test_units_against_classes_shows_every_unit(unit_results):
    result = unit_results["units and classes"]
    units = result.to_pandas()["units"]
    points = result.figures()["unit_class"].axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(points, units[["class_mem", "unit_mem"]])


def test_interventions_show_every_trial_and_the_mean(results):
    result = results["prune-0.5"]
    trials, axes = result.trials_to_pandas(), result.plot()[0].axes[0]
    changes = 100 * (trials["accuracy"] - trials["baseline"])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), changes)
    means = changes.groupby(trials["strategy"], sort=False).mean()
    np.testing.assert_allclose(axes.lines[1].get_ydata().astype(float), means)


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
    figure = plot_epochs([results["vit"], *loaded])
    means = unit_results["unit-mem"].layers_to_pandas()["mean"]
    assert [of.get_xdata().tolist() for of in figure.axes[0].lines] == (
        [[2, 10]] * len(means)
    )
    for of, mean in zip(figure.axes[0].lines, means, strict=True):
        np.testing.assert_allclose(of.get_ydata(), [mean, mean])


def test_nothing_over_epochs(results, tmp_path):
    assert load_epochs(tmp_path) == []
    with pytest.raises(MemorizationError, match="not measured in training"):
        plot_epochs([results["vit"]])


def test_a_figure_is_drawn_once_and_those_not_asked_for_never(results, monkeypatch):
    def refuse(*_):
        raise AssertionError("drawn")

    monkeypatch.setattr("lightly_memloc.results.layer_mem.plot_layer_mem", refuse)
    figures = results["vit"].figures()
    assert len(figures) == len(list(figures)) == 3
    assert "layer_mem" in figures
    assert figures["ssl_mem"] is figures["ssl_mem"]
    with pytest.raises(AssertionError, match="drawn"):
        figures["layer_mem"]


def test_an_unknown_figure_is_refused_with_those_there_are(results):
    with pytest.raises(MemorizationError, match=r"'layer_mem', 'ssl_mem'.*got 'depth'"):
        results["resnet"].figures()["depth"]


def test_a_layer_of_dead_units_is_shown_empty(unit_results):
    result = unit_results["unit-mem"]
    units = result.to_pandas()
    units["dead"] |= units["layer"] == units["layer"].iloc[0]
    drawn(UnitMemResult(result.settings, result.tables | {"units": units}).plot()[0])


@pytest.mark.parametrize(
    ("name", "title", "table", "columns"),
    [
        (
            "curate",
            "layer_mem",
            "layers",
            {
                "before": "original",
                "without random images": "without_random",
                "without the most memorised": "without_memorized",
            },
        ),
        (
            "analysis of vit",
            "atypical",
            "atypical",
            {"candidates": "difference", "external images": "external_difference"},
        ),
        (
            "runs",
            "ssl_mem",
            "layers",
            {
                "published": "layer_mem",
                "with shuffled roles": "shuffled",
                "without the runs' offsets": "ssl_mem",
            },
        ),
        ("tune-unit", "unit_tuning", "layers", {"before": "before", "after": "after"}),
    ],
)
def test_a_line_shows_what_the_legend_calls_it(results, name, title, table, columns):
    result = results[name]
    figure = result.figures()[title]
    for label, column in columns.items():
        np.testing.assert_array_equal(line(figure, label), result.tables[table][column])


def test_membership_shows_each_score_against_chance(results):
    layers = results["membership of vit"].to_pandas()
    figure = results["membership of vit"].plot()[0]
    for label, score in (
        ("alignment of the encoder alone", "alignment"),
        ("SSLMem", "ssl_mem"),
    ):
        shown = layers.loc[layers["score"] == score, "auc"]
        np.testing.assert_array_equal(line(figure, label), shown)
    assert set(line(figure, "chance")) == {0.5}


def test_bars_reach_from_the_low_to_the_high_end(results):
    summary = results["prune-0.5"].to_pandas()
    (bars,) = results["prune-0.5"].plot()[0].axes[0].collections
    ends = [path.vertices[:, 1] for path in bars.get_paths()]
    np.testing.assert_allclose(ends, 100 * summary[["change_low", "change_high"]])


def test_a_trial_stands_at_its_strategy(results):
    result = results["prune-0.5"]
    axes = result.plot()[0].axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    at = axes.lines[0].get_xdata()
    assert [names[round(x)] for x in at] == result.trials_to_pandas()[
        "strategy"
    ].tolist()


def test_short_names_keep_what_tells_them_apart():
    assert short_names(["a.b.0.mlp", "a.b.1.mlp"]) == ["0.mlp", "1.mlp"]
    assert short_names(["a.b.fc", "a.b.conv"]) == ["b.fc", "b.conv"]
    assert short_names(["only.one.layer"]) == ["only.one.layer"]
    assert short_names(["x" * 22, "y" * 23]) == ["x" * 22, "…" + "y" * 21]


def test_intervals_that_are_uneven_keep_their_sides():
    probes = pd.DataFrame(
        {
            "encoder": ["f", "$g$"],
            "probe": "knn",
            "accuracy": [0.5, 0.6],
            "low": [0.4, 0.3],
            "high": [0.51, 0.62],
        }
    )
    figure = ProbeResult({}, {"probes": probes}).plot()[0]
    (bars,) = figure.axes[0].collections
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[0.4, 0.51], [0.3, 0.62]])
    drawn(figure)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels[1] == "\\$g\\$\nknn"


def test_a_share_of_all_units_is_shown(unit_results):
    result = unit_results["unit-mem"]
    layers = result.layers_to_pandas().assign(
        member_share=np.nextafter(1, 0), member_share_low=1.0, member_share_high=1.0
    )
    drawn(
        UnitMemResult({}, result.tables | {"layers": layers}).figures()["member_share"]
    )


def test_intervals_over_runs_stand_around_the_scores(results):
    result = results["runs"]
    ranked = result.top_samples(1000)
    low, high = band(result.figures()["images"])[0]
    assert low == pytest.approx(ranked["ssl_mem_low"].min())
    assert high == pytest.approx(ranked["ssl_mem_high"].max())
