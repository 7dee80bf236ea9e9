from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lightly_memloc.estimation import combine_runs
from lightly_memloc.report import p_value, report_of, save_with_figures
from tests.estimation.measured import from_distances
from tests.report.shown import band, printed


def test_intervals_over_runs_stand_around_the_scores(results):
    result = results["runs"]
    ranked = result.top_samples(1000)
    low, high = band(result.figures()["images"])[0]
    assert low == pytest.approx(ranked["ssl_mem_low"].min())
    assert high == pytest.approx(ranked["ssl_mem_high"].max())


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
        # Half the log ratio of the distances: offset, and what either encoder memorised.
        z = np.full((16, len(layers)), 0.1 * number)
        z[:, -1] += np.arctanh(effect) * np.where(roles == "candidate", 1, -1)
        m = np.tanh(z)
        runs[f"run-{number}"] = from_distances(
            [(layer, "conv") for layer in layers],
            images,
            1 - m,
            1 + m,
            {"normalization": "relative", "top_k": 5, "seed": 0, "skipped": []},
            19,
        )
    return combine_runs(runs, {}, seed=0)


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
        f" With shuffled roles it is {last.mean():+.3f} ({low:+.3f} to {high:+.3f}). "
    ) in report_of(result).words()


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
    assert cells[:6] == ["layer1.0", "conv", "+0.200", "+0.076", "+0.324", ".040"]
    last = result.to_pandas().iloc[-1]
    assert cells[6:8] == [
        f"{last['shuffled']:+.3f}",
        p_value(last["shuffled_p_adjusted"]),
    ]
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
    assert image[1:] == ["2", "+0.200", "-", "-", "-", "-"]


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


def of_images(scores):
    """Six runs of 40 images, with their scores in the last layer."""
    rng, runs = np.random.default_rng(0), {}
    for number in range(6):
        roles = rng.permutation(["candidate"] * 20 + ["independent"] * 20)
        images = pd.DataFrame({"index": range(40), "filename": "a.png", "role": roles})
        m = rng.normal(0, 0.05, (40, 2))
        m[:, 1] += np.array(scores) * np.where(roles == "candidate", 1, -1)
        runs[f"run-{number}"] = from_distances(
            [("conv1", "conv"), ("layer1.0", "block")],
            images,
            1 - m,
            1 + m,
            {"normalization": "relative", "top_k": 5, "seed": 0, "skipped": []},
            19,
        )
    return combine_runs(runs, {}, seed=0)


def test_single_images_are_counted_and_their_reliability_is_said():
    result = of_images([0.5] * 5 + [0.0] * 35)
    report, last = report_of(result), result.to_pandas().iloc[-1]
    words = report.words()
    assert " 5 of 40 images can be called memorised at a false discovery rate" in words
    assert (
        f"have a reliability of {last['reliability']:.2f} over these runs (correlation "
        f"of two runs: {last['run_correlation']:.2f})."
    ) in words
    assert words.endswith(
        f"The 10% of the images that score highest in the other runs have SSLMem "
        f"{last['top']:+.3f} in a run (95% interval {last['top_low']:+.3f} to "
        f"{last['top_high']:+.3f})."
    )
    table = report.tables()[1]
    assert [row[:2] for row in table.rows] == [("conv1", "0"), ("layer1.0", "5")]
    lines = printed(result).splitlines()
    assert max(map(len, lines)) <= 80


def test_nothing_is_claimed_of_single_images_where_none_is_detected():
    words = report_of(of_images([0.0] * 40)).words()
    assert "None of 40 images can be called memorised at a false" in words
    assert "that score highest" not in words


def test_results_of_the_first_version_are_shown_without_what_they_lack():
    result = of_images([0.5] * 5 + [0.0] * 35)
    added = {
        "layers": ["reliability", "run_correlation"],
        "samples": ["ssl_mem_q", "ssl_mem_shrunk", "by_chance"],
    }
    tables = {
        name: table.drop(columns=added.get(name, []))
        for name, table in result.tables.items()
    }
    settings = {"runs": result.settings["runs"]}
    report = report_of(replace(result, settings=settings, tables=tables))
    assert len(report.tables()) == 2
    assert "called memorised" not in report.words()
