import numpy as np

from lightly_memloc.report.style import short_names
from tests.report.shown import VIT, drawn, texts


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


def test_short_names_keep_what_tells_them_apart():
    assert short_names(["a.b.0.mlp", "a.b.1.mlp"]) == ["0.mlp", "1.mlp"]
    assert short_names(["a.b.fc", "a.b.conv"]) == ["b.fc", "b.conv"]
    assert short_names(["only.one.layer"]) == ["only.one.layer"]
    assert short_names(["x" * 22, "y" * 23]) == ["x" * 22, "…" + "y" * 21]
