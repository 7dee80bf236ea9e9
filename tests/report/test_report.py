import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from lightly_memloc import measure_class_mem, measure_unit_mem
from lightly_memloc.report import layer_mem_finding, result_tables, save_with_figures
from lightly_memloc.report.tables import p_value
from lightly_memloc.results import LayerMemResult


def layer_mem(effect, reference=True, external=20, layers=("conv1", "layer1.0")):
    rng = np.random.default_rng(0)
    roles = ["candidate"] * 20 + ["independent"] * 20 + ["external"] * external
    n = len(roles)
    images = pd.DataFrame(
        {"index": range(n), "filename": [f"{i}.png" for i in range(n)], "role": roles}
    )
    m = rng.normal(0, 0.01, size=(n, len(layers)))
    m[:20, -1] += effect
    return LayerMemResult.from_distances(
        [(name, "conv") for name in layers],
        images,
        1 - m,
        1 + m if reference else None,
        {"normalization": "relative", "top_k": 5, "seed": 0, "skipped": []},
        300,
    )


def sentences(text):
    return [part for part in text.split(". ") if part]


def test_finding_names_the_layer_and_the_numbers():
    text = layer_mem_finding(layer_mem(0.1))
    assert len(sentences(text)) == 2
    assert "symmetric LayerMem is above zero with p < 0.01 in 1 of 2 layers" in text
    assert "layer1.0 (+0.05" in text
    assert "finds nothing" in text


def test_finding_says_when_there_is_none():
    text = layer_mem_finding(layer_mem(0.0))
    assert text.startswith("No layer shows memorisation")
    assert len(sentences(text)) == 2


def test_finding_of_negative_effects_is_none():
    assert layer_mem_finding(layer_mem(-0.1)).startswith("No layer shows")


def test_finding_without_reference_states_its_condition():
    text = layer_mem_finding(layer_mem(0.1, reference=False))
    assert "the alignment gap is above zero" in text
    assert "random split" in text


def test_finding_without_externals():
    assert "no external images" in layer_mem_finding(layer_mem(0.1, external=0))


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0005, "<.001"), (0.0123, ".012"), (0.5, ".500"), (1.0, "1"), (np.nan, "-")],
)
def test_p_values(p, shown):
    assert p_value(p) == shown


@pytest.fixture
def unit_mem(encoders, digits, transform):
    return measure_unit_mem(
        encoders[0], digits, transform, range(8), range(8, 16), n_views=2
    )


@pytest.fixture
def class_mem(encoders, digits, transform):
    return measure_class_mem(encoders[0], digits, transform, range(8), n_views=2)


def printed(result, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    for table in result_tables(result):
        console.print(table)
    return console.export_text()


def test_tables_fit_80_columns_and_keep_every_name(unit_mem, class_mem):
    long = "encoder.layers.encoder_layer_11.self_attention"
    for result, expected in [
        (layer_mem(0.1, layers=("conv1", long)), "+0.05"),
        (unit_mem, "members"),
        (class_mem, "10 classes"),
    ]:
        text = printed(result)
        assert max(map(len, text.splitlines())) <= 80
        assert expected in text
    text = printed(layer_mem(0.1, layers=("conv1", long)))
    first_column = "".join(line.split(" ")[0] for line in text.splitlines())
    assert long in first_column


def test_names_are_not_markup(unit_mem):
    unit_mem.tables["units"]["filename"] = "[red]a[/red].png"
    assert "[red]a[/red].png" in printed(unit_mem, width=200)


def test_figures_are_saved(tmp_path, unit_mem):
    save_with_figures(layer_mem(0.1), tmp_path / "layer")
    save_with_figures(layer_mem(0.1, reference=False), tmp_path / "gap")
    save_with_figures(unit_mem, tmp_path / "unit")
    for name in (
        "layer/layer_mem",
        "gap/layer_mem",
        "unit/unit_mem",
        "unit/member_share",
    ):
        image = Image.open(tmp_path / f"{name}.png").convert("L")
        assert min(image.size) >= 400
        assert np.asarray(image).std() > 5
