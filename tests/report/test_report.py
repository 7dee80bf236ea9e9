import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from lightly_memloc import measure_class_mem, measure_unit_mem
from lightly_memloc.report import (
    p_value,
    report_of,
    save_with_figures,
)
from lightly_memloc.results import LayerMemResult, SSLMemRunsResult


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
    text = report_of(layer_mem(0.1)).words()
    assert len(sentences(text)) == 2
    assert "symmetric LayerMem is above zero (p < 0.01) in 1 of 2 layers" in text
    assert "layer1.0 (+0.05" in text
    assert "shows no difference" in text


def test_finding_says_when_there_is_none():
    text = report_of(layer_mem(0.0)).words()
    assert text.startswith("No layer shows memorisation")
    assert len(sentences(text)) == 2


def test_finding_of_negative_effects_is_none():
    assert report_of(layer_mem(-0.1)).words().startswith("No layer shows")


def test_finding_without_reference_states_its_condition():
    text = report_of(layer_mem(0.1, reference=False)).words()
    assert "the alignment gap is above zero" in text
    assert "random split" in text


def test_finding_without_externals():
    assert "no external images" in report_of(layer_mem(0.1, external=0)).words()


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
    for table in report_of(result).tables():
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


def ssl_mem_runs(effects, layers=("conv1", "layer1.0"), name="{}.png"):
    """Runs whose mean scores of the last layer are the effects, without noise."""
    rng, runs = np.random.default_rng(0), {}
    for number, effect in enumerate(effects, start=1):
        roles = rng.permutation(["candidate"] * 8 + ["independent"] * 8)
        images = pd.DataFrame(
            {
                "index": range(16),
                "filename": [name.format(i) for i in range(16)],
                "role": roles,
            }
        )
        m = np.full((16, len(layers)), 0.1 * number)
        m[:, -1] += effect * np.where(roles == "candidate", 1, -1)
        runs[f"run-{number}"] = LayerMemResult.from_distances(
            [(layer, "conv") for layer in layers],
            images,
            1 - m,
            1 + m,
            {"normalization": "relative", "top_k": 5, "seed": 0, "skipped": []},
            10,
        )
    return SSLMemRunsResult.from_layer_mem(runs, {}, seed=0)


def test_finding_over_runs_is_read_off_the_interval():
    text = report_of(ssl_mem_runs([0.1, 0.2, 0.3])).words()
    # Student's t with two degrees of freedom: 4.303 standard errors of 0.1 / sqrt(3).
    assert text.startswith(
        "SSLMem of the last layer is +0.200, averaged over 3 runs (95% interval over "
        "runs -0.048 to +0.448): this does not show that other trainings of this kind"
    )
    text = report_of(ssl_mem_runs([0.15, 0.2, 0.25])).words()
    assert text.startswith(
        "SSLMem of the last layer is +0.200, averaged over 3 runs (95% interval over "
        "runs +0.076 to +0.324): other trainings of this kind memorise, too."
    )
    assert "With shuffled roles it is" in text


@pytest.mark.parametrize("effects", [[0.2, -0.1, 0.0], [-0.2, -0.21, -0.22], [0, 0, 0]])
def test_finding_over_runs_where_there_is_none(effects):
    text = report_of(ssl_mem_runs(effects)).words()
    assert f"is {np.mean(effects):+.3f}, averaged over 3 runs" in text
    assert "does not show that other trainings of this kind memorise" in text
    assert "memorise, too" not in text


def test_finding_over_runs_tells_the_null():
    result = ssl_mem_runs([0.15, 0.2, 0.25, 0.2])
    last = result.runs_to_pandas().query("layer == 'layer1.0'")["shuffled"]
    half = 3.182446 * last.std() / 2
    low, high = last.mean() - half, last.mean() + half
    assert (
        report_of(result)
        .words()
        .endswith(
            f"With shuffled roles it is {last.mean():+.3f} ({low:+.3f} to {high:+.3f})."
        )
    )


@pytest.mark.parametrize("effects", [[0.2, 0.2], [0.3, 0.1], [-0.1, 0.1]])
def test_finding_over_two_runs_is_none(effects):
    text = report_of(ssl_mem_runs(effects)).words()
    assert text == (
        f"SSLMem of the last layer is {np.mean(effects):+.3f}, averaged over two runs. "
        "Two runs give no interval, so nothing can be concluded about other trainings. "
        "Train at least one more (--runs 3)."
    )


def test_table_of_runs_shows_the_numbers_in_80_columns():
    long = "encoder.layers.encoder_layer_11.self_attention"
    result = ssl_mem_runs(
        [0.15, 0.2, 0.25], (long, "layer1.0"), "a-long-name/" * 9 + "{}"
    )
    lines = printed(result).splitlines()
    assert max(map(len, lines)) <= 80
    assert "SSLMem over 3 runs, without their offsets" in lines[0]
    cells = next(line for line in lines if line.startswith("layer1.0")).split()
    assert cells[:6] == ["layer1.0", "conv", "+0.200", "+0.076", "+0.324", ".020"]
    last = result.to_pandas().iloc[-1]
    assert cells[6:8] == [f"{last['shuffled']:+.3f}", p_value(last["shuffled_p"])]
    text = "".join(line.split(" ")[0] for line in lines)
    assert long in text
    top = result.top_samples(10)
    assert text.count("a-long-name/" * 9) == 10
    assert f"{top['ssl_mem'][0]:+.3f}" in printed(result)


def test_table_of_two_runs_has_no_intervals():
    lines = printed(ssl_mem_runs([0.15, 0.25])).splitlines()
    assert "SSLMem over 2 runs" in lines[0]
    layer = next(line for line in lines if line.startswith("layer1.0")).split()
    assert layer[:5] == ["layer1.0", "conv", "+0.200", "-", "-"]
    image = next(line for line in lines if ".png" in line).split()
    assert image[1:] == ["2", "+0.200", "-"]


def test_file_names_of_runs_are_not_markup():
    text = printed(ssl_mem_runs([0.1, 0.2, 0.3], name="[red]a[/red]{}.png"), width=200)
    assert text.count("[red]a[/red]") == 10


def test_figures_of_runs_are_saved(tmp_path):
    for effects in ([0.1, 0.2], [0.1, 0.2, 0.3]):
        folder = tmp_path / str(len(effects))
        save_with_figures(ssl_mem_runs(effects), folder)
        image = Image.open(folder / "ssl_mem.png").convert("L")
        assert min(image.size) >= 400
        assert np.asarray(image).std() > 5
