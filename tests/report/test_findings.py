"""Sentences against tables that are written by hand."""

import pandas as pd
import pytest

from lightly_memloc.report import finding
from lightly_memloc.results import (
    AnalysisResult,
    ClassMemResult,
    CurationResult,
    InterventionResult,
    LayerMemResult,
    MembershipResult,
    ProbeResult,
    UnitMemResult,
    UnitTuningResult,
)

LAYERS = ["conv1", "layer1.0", "layer2.0", "fc"]


def estimate(name, values, p):
    """Columns of an estimate, whose interval is 0.1 to either side."""
    values = pd.Series(values)
    return {
        name: values,
        f"{name}_low": values - 0.1,
        f"{name}_high": values + 0.1,
        f"{name}_p": p,
    }


def layer_mem(symmetric, p, control_p=0.5):
    columns = estimate("symmetric", symmetric, p)
    layers = pd.DataFrame(
        {"layer": LAYERS, "layer_mem": 0.25, "external": -0.125, **columns}
    )
    control = pd.DataFrame({"symmetric_p": [0.0, 0.0, 0.0, control_p]})
    return LayerMemResult({}, {"layers": layers, "control": control})


def test_layer_mem_names_the_first_and_the_largest_layer():
    text = finding(layer_mem([0.5, 0.2, 0.3, -0.4], [0.02, 0.001, 0.001, 0.001]))
    assert text.startswith(
        "The encoder memorised its candidates: symmetric LayerMem is above zero with "
        "p < 0.01 in 2 of 4 layers, the first of them layer1.0, and is largest in "
        "layer2.0 (+0.300, 95% interval +0.200 to +0.400). "
        "The published LayerMem of the last layer, +0.250, holds an offset of -0.125"
    )
    assert text.endswith("finds nothing (p = 0.50).")


def test_a_p_value_at_the_level_is_not_found():
    assert finding(layer_mem([0.5] * 4, [0.01] * 4)).startswith("No layer shows")


@pytest.mark.parametrize(("p", "verdict"), [(0.009, "a difference"), (0.01, "nothing")])
def test_layer_mem_is_checked_on_the_last_layer(p, verdict):
    assert f"finds {verdict} (p" in finding(layer_mem([0.5] * 4, [0.001] * 4, p))


def test_membership_names_the_best_layer_of_those_that_are_found():
    layers = pd.DataFrame(
        {
            "layer": LAYERS,
            "score": "alignment",
            **estimate("auc", [0.9, 0.6, 0.7, 0.2], [0.02, 0.001, 0.001, 0.001]),
            **estimate("tpr", [0.4, 0.2, 0.3, 0.1], None),
        }
    )
    text = finding(MembershipResult({}, {"layers": layers}))
    assert text == (
        "By the alignment of the encoder alone layer2.0 tells members from others best: "
        "AUC 0.70 (95% interval 0.60 to 0.80; 0.50 by chance); at 1% false positives it "
        "finds 30.0% of the members (20.0% to 40.0%)."
    )
    none = finding(MembershipResult({}, {"layers": layers[3:]}))
    assert "no layer tells members from others" in none


def unit_mem(share, p):
    columns = estimate("member_share", share, p)
    columns |= {"member_share_null_low": 0.35, "member_share_null_high": 0.65}
    return UnitMemResult({}, {"layers": pd.DataFrame({"layer": LAYERS, **columns})})


def test_units_name_the_layer_whose_members_win_most():
    text = finding(unit_mem([0.9, 0.8, 0.7, 0.1], [0.02, 0.001, 0.001, 0.001]))
    assert text == (
        "Members win more units than chance gives (p < 0.01) in 2 of 4 layers, most of "
        "all in layer1.0: 80% (95% interval 70% to 90%; by chance 35% to 65%)."
    )
    none = finding(unit_mem([0.6, 0.5, 0.4, 0.7], [0.01, 1, 0.5, 0.2]))
    assert none == (
        "In no layer do members win more units than chance gives (p < 0.01, 4 layers). "
        "That is no proof that nothing is there: the intervals of the member share reach "
        "up to 80%."
    )
    holdout = finding(unit_mem([0.1, 0.2, 0.5, 0.6], [0.001, 0.001, 1, 0.5]))
    assert holdout.startswith(
        "Images of the holdout win more units than chance gives (p < 0.01) in 2 of 4"
    )


def test_classes_are_in_the_layer_of_the_largest_mean():
    layers = pd.DataFrame({"layer": LAYERS, "mean": [0.2, float("nan"), 0.5, 0.4]})
    text = finding(ClassMemResult({"classes": 3}, {"layers": layers}))
    assert text.endswith("in layer2.0 (mean ClassMem 0.500, 3 classes).")


def test_tuned_units_are_counted():
    units = {"before": [0.5] * 4, "after": [0.6, 0.7, 0.5, 0.4], "wins": [1, 0, 1, 1]}
    text = finding(UnitTuningResult({}, {"units": pd.DataFrame(units)}))
    assert "rises in 2 of 4 units" in text
    assert text.endswith("most activating one in 3.")


def test_interventions_tell_what_changes_from_what_differs_from_random():
    summary = pd.DataFrame(
        {
            "strategy": ["most", "least", "random"],
            **estimate("change", [-0.3, 0.0, -0.2], [0.001, 0.05, 0.04]),
            **estimate("over_random", [-0.1, 0.2, None], [0.3, 0.001, None]),
        }
    )
    result = InterventionResult({"intervention": "prune"}, {"summary": summary})
    assert finding(result) == (
        "prune: 'most' changes accuracy by -30.0 points (95% interval -40.0 to -20.0); "
        "'random' changes accuracy by -20.0 points (95% interval -30.0 to -10.0). "
        "Against choosing at random: 'least' differs from it by +20.0 points (95% "
        "interval +10.0 to +30.0)."
    )


def test_probes_name_the_best_of_each_encoder():
    probes = {
        "encoder": ["f", "f", "g"],
        "probe": ["linear", "knn", "knn"],
        **estimate("accuracy", [0.5, 0.6, 0.4], None),
    }
    probes |= {"low": [0.4, 0.5, 0.3], "high": [0.6, 0.7, 0.5]}
    assert finding(ProbeResult({}, {"probes": pd.DataFrame(probes)})) == (
        "f reaches 60.0% with knn (95% interval 50.0% to 70.0%). "
        "g reaches 40.0% with knn (95% interval 30.0% to 50.0%)."
    )


def analysis(tau, external_tau):
    pairs = pd.DataFrame(
        {"distance": [1, 1, 2], "tau": tau, "external_tau": external_tau}
    )
    return AnalysisResult({}, {"consistency": pairs})


def test_layers_agree_no_more_than_on_external_images():
    text = finding(analysis([0.6, 0.4, 0.1], [0.5, 0.3, 0.0]))
    assert text == (
        "Layers next to each other rank images alike with Kendall's tau of +0.50, those "
        "farthest apart +0.10; over external images, which nobody was trained on, "
        "neighbours have +0.40: that much is the images' own nature."
    )
    without = finding(analysis([0.6, 0.4, 0.1], [float("nan")] * 3))
    assert without.endswith("farthest apart +0.10.")
    same = finding(analysis([float("nan")] * 3, [float("nan")] * 3))
    assert same.startswith("Layers cannot be compared")


def test_units_tied_to_images_stand_beside_what_any_encoder_has():
    whole = pd.DataFrame({"above": [0.5, 0.75], "units": [10, 40]})
    text = finding(AnalysisResult({}, {"unit_class": whole}))
    assert text.startswith("75% of 40 units are tied to an image more than to a class")
    assert "So are most units of any encoder" in text


def test_curated_images_and_what_training_without_them_did():
    images = pd.DataFrame({"ssl_mem": [0.3, 0.2, 0.1]})
    listed = "3 images are listed, with SSLMem from +0.300 down to +0.100."
    assert finding(CurationResult({}, {"samples": images})) == listed
    layers = pd.DataFrame({"difference_p": [0.5, 0.009, 0.01, 0.001]})
    accuracy = pd.DataFrame(
        {
            "encoder": ["original", "without memorized", "without random"],
            "accuracy": [0.9, 0.8, 0.7],
        }
    )
    retrained = {"samples": images, "layers": layers, "accuracy": accuracy}
    text = finding(CurationResult({}, retrained))
    assert text.startswith(f"{listed} Trained without them, the encoder differs")
    assert "in 2 of 4 layers" in text
    assert text.endswith("accuracies are 80.0% and 70.0%.")
