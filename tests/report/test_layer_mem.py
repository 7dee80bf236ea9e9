import numpy as np
import pandas as pd
import pytest

from lightly_memloc.report import report_of
from lightly_memloc.results import (
    LayerMemResult,
)
from tests.report.shown import VIT, band, estimate, line, with_effect


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
    log_ratio = np.log((1 + m) / (1 - m))
    candidate, independent = (
        log_ratio[(samples["role"] == role).to_numpy()].mean(axis=0)
        for role in ("candidate", "independent")
    )
    steps = np.tanh(np.diff((candidate - independent) / 2, prepend=np.nan) / 2)
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


LAYERS = ["conv1", "layer1.0", "layer2.0", "fc"]


def with_symmetric(symmetric, p, control_p=0.5):
    columns = estimate("symmetric", symmetric, p)
    columns["symmetric_p_adjusted"] = columns["symmetric_p"]
    layers = pd.DataFrame(
        {"layer": LAYERS, "layer_mem": 0.25, "external": -0.125, **columns}
    )
    control = pd.DataFrame({"symmetric_p": [0.0, 0.0, 0.0, control_p]})
    return LayerMemResult({}, {"layers": layers, "control": control})


def test_layer_mem_names_the_first_and_the_largest_layer():
    text = report_of(
        with_symmetric([0.5, 0.2, 0.3, -0.4], [0.06, 0.001, 0.001, 0.001])
    ).words()
    assert text.startswith(
        "The encoder memorised its candidates: symmetric LayerMem is above zero "
        "(adjusted p < 0.05) in 2 of 4 layers, the first of them layer1.0. The largest "
        "estimate is that of layer2.0 (+0.300). "
        "The published LayerMem of the last layer, +0.250, contains an offset of -0.125"
    )
    assert text.endswith("shows no difference (p = 0.50).")


def test_a_p_value_at_the_level_is_not_found():
    assert (
        report_of(with_symmetric([0.5] * 4, [0.05] * 4))
        .words()
        .startswith("No layer shows")
    )


@pytest.mark.parametrize(
    ("p", "verdict"), [(0.049, "a difference"), (0.05, "no difference")]
)
def test_layer_mem_is_checked_on_the_last_layer(p, verdict):
    assert (
        f"shows {verdict} (p"
        in report_of(with_symmetric([0.5] * 4, [0.001] * 4, p)).words()
    )


def test_results_of_version_0_1_0_are_adjusted_by_bonferroni():
    new = with_symmetric([0.5] * 4, [0.012, 0.013, 0.5, 0.5])
    layers = new.to_pandas().drop(columns="symmetric_p_adjusted")
    old = LayerMemResult({}, {**new.tables, "layers": layers})
    assert "in 1 of 4 layers." in report_of(old).words()


def test_a_layer_that_repeats_another_is_counted_once():
    result = with_symmetric([0.5] * 4, [0.001] * 4)
    layers = result.to_pandas().assign(repeats=["", "", "", "layer2.0"])
    repeated = LayerMemResult({}, {**result.tables, "layers": layers})
    assert "in 3 of 3 layers, the first of them conv1" in report_of(repeated).words()
    assert report_of(repeated).tested_layers == 3


def sentences(text):
    return [part for part in text.split(". ") if part]


def test_finding_names_the_layer_and_the_numbers():
    text = report_of(with_effect(0.1)).words()
    assert len(sentences(text)) == 3
    assert "is above zero (adjusted p < 0.05) in 1 of 2 layers" in text
    assert "layer1.0 (+0.05" in text
    assert "shows no difference" in text


def test_finding_says_when_there_is_none():
    text = report_of(with_effect(0.0)).words()
    assert text.startswith("No layer shows memorisation")
    assert len(sentences(text)) == 2


def test_finding_of_negative_effects_is_none():
    assert report_of(with_effect(-0.1)).words().startswith("No layer shows")


def test_finding_without_reference_states_its_condition():
    text = report_of(with_effect(0.1, reference=False)).words()
    assert "the alignment gap is above zero" in text
    assert "random split" in text


def test_finding_without_externals():
    assert "no external images" in report_of(with_effect(0.1, external=0)).words()
