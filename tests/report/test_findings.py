"""Sentences against tables that are written by hand."""

import pandas as pd
import pytest

from lightly_memloc.report import report_of
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
    text = report_of(
        layer_mem([0.5, 0.2, 0.3, -0.4], [0.02, 0.001, 0.001, 0.001])
    ).words()
    assert text.startswith(
        "The encoder memorised its candidates: symmetric LayerMem is above zero "
        "(p < 0.01) in 2 of 4 layers, the first of them layer1.0, and is largest in "
        "layer2.0 (+0.300, 95% interval +0.200 to +0.400). "
        "The published LayerMem of the last layer, +0.250, contains an offset of -0.125"
    )
    assert text.endswith("shows no difference (p = 0.50).")


def test_a_p_value_at_the_level_is_not_found():
    assert (
        report_of(layer_mem([0.5] * 4, [0.01] * 4)).words().startswith("No layer shows")
    )


@pytest.mark.parametrize(
    ("p", "verdict"), [(0.009, "a difference"), (0.01, "no difference")]
)
def test_layer_mem_is_checked_on_the_last_layer(p, verdict):
    assert (
        f"shows {verdict} (p" in report_of(layer_mem([0.5] * 4, [0.001] * 4, p)).words()
    )


def test_membership_names_the_best_layer_of_those_that_are_found():
    layers = pd.DataFrame(
        {
            "layer": LAYERS,
            "score": "alignment",
            **estimate("auc", [0.9, 0.6, 0.7, 0.2], [0.02, 0.001, 0.001, 0.001]),
            **estimate("tpr", [0.4, 0.2, 0.3, 0.1], None),
        }
    )
    text = report_of(MembershipResult({}, {"layers": layers})).words()
    assert text == (
        "By the encoder's own alignment, layer2.0 separates members from non-members "
        "best: AUC 0.70 (95% interval 0.60 to 0.80; 0.50 by chance). At 1% false "
        "positives it identifies 30.0% of the members (20.0% to 40.0%)."
    )
    none = report_of(MembershipResult({}, {"layers": layers[3:]})).words()
    assert "no layer separates members from non-members" in none


def unit_mem(share, p):
    columns = estimate("member_share", share, p)
    columns |= {"member_share_null_low": 0.35, "member_share_null_high": 0.65}
    return UnitMemResult({}, {"layers": pd.DataFrame({"layer": LAYERS, **columns})})


def test_units_name_the_layer_whose_members_win_most():
    text = report_of(
        unit_mem([0.9, 0.8, 0.7, 0.1], [0.02, 0.001, 0.001, 0.001])
    ).words()
    assert text == (
        "Members win more units than expected by chance (p < 0.01) in 2 of 4 layers, "
        "most in layer1.0: 80% (95% interval 70% to 90%; by chance 35% to 65%)."
    )
    none = report_of(unit_mem([0.6, 0.5, 0.4, 0.7], [0.01, 1, 0.5, 0.2])).words()
    assert none == (
        "Members do not win more units than expected by chance (p < 0.01) in any of 4 "
        "layers. This does not rule out memorisation: the intervals of the member share "
        "reach up to 80%."
    )
    holdout = report_of(unit_mem([0.1, 0.2, 0.5, 0.6], [0.001, 0.001, 1, 0.5])).words()
    assert holdout.startswith(
        "Holdout images win more units than expected by chance (p < 0.01) in 2 of 4"
    )


def test_classes_are_in_the_layer_of_the_largest_mean():
    layers = pd.DataFrame({"layer": LAYERS, "mean": [0.2, float("nan"), 0.5, 0.4]})
    text = report_of(ClassMemResult({"classes": 3}, {"layers": layers})).words()
    assert text.endswith("in layer2.0 (mean ClassMem 0.500, 3 classes).")


def test_tuned_units_are_counted():
    units = {"before": [0.5] * 4, "after": [0.6, 0.7, 0.5, 0.4], "wins": [1, 0, 1, 1]}
    text = report_of(UnitTuningResult({}, {"units": pd.DataFrame(units)})).words()
    assert "higher in 2 of 4 units" in text
    assert text.endswith("the image activates 3 of them most.")


def test_interventions_tell_what_changes_from_what_differs_from_random():
    summary = pd.DataFrame(
        {
            "strategy": ["most", "least", "random"],
            **estimate("change", [-0.3, 0.0, -0.2], [0.001, 0.05, 0.04]),
            **estimate("over_random", [-0.1, 0.2, None], [0.3, 0.001, None]),
        }
    )
    result = InterventionResult({"intervention": "prune"}, {"summary": summary})
    assert report_of(result).words() == (
        "prune: 'most' changes accuracy by -30.0 points (95% interval -40.0 to -20.0); "
        "'random' changes accuracy by -20.0 points (95% interval -30.0 to -10.0). "
        "Compared with random choice, 'least' differs by +20.0 points (95% interval "
        "+10.0 to +30.0)."
    )


def test_probes_name_the_best_of_each_encoder():
    probes = {
        "encoder": ["f", "f", "g"],
        "probe": ["linear", "knn", "knn"],
        **estimate("accuracy", [0.5, 0.6, 0.4], None),
    }
    probes |= {"low": [0.4, 0.5, 0.3], "high": [0.6, 0.7, 0.5]}
    assert report_of(ProbeResult({}, {"probes": pd.DataFrame(probes)})).words() == (
        "f reaches 60.0% with knn (95% interval 50.0% to 70.0%). "
        "g reaches 40.0% with knn (95% interval 30.0% to 50.0%)."
    )


def analysis(tau, external_tau):
    pairs = pd.DataFrame(
        {"distance": [1, 1, 2], "tau": tau, "external_tau": external_tau}
    )
    return AnalysisResult({}, {"consistency": pairs})


def test_layers_agree_no_more_than_on_external_images():
    text = report_of(analysis([0.6, 0.4, 0.1], [0.5, 0.3, 0.0])).words()
    assert text == (
        "In their ranking of images, neighbouring layers agree with a Kendall's tau of "
        "+0.50, the layers farthest apart with +0.10. On external images, unseen by both "
        "encoders, neighbouring layers agree with +0.40: this much agreement comes from "
        "the images themselves."
    )
    without = report_of(analysis([0.6, 0.4, 0.1], [float("nan")] * 3)).words()
    assert without.endswith("farthest apart with +0.10.")
    same = report_of(analysis([float("nan")] * 3, [float("nan")] * 3)).words()
    assert same.startswith("Layers cannot be compared")


def test_units_tied_to_images_stand_beside_what_any_encoder_has():
    whole = pd.DataFrame({"above": [0.5, 0.75], "units": [10, 40]})
    text = report_of(AnalysisResult({}, {"unit_class": whole})).words()
    assert text.startswith(
        "75% of 40 units are more selective for one image than for a class"
    )
    assert "So are most units of any encoder" in text


def test_curated_images_and_what_training_without_them_did():
    images = pd.DataFrame({"ssl_mem": [0.3, 0.2, 0.1]})
    listed = "3 images are listed, with SSLMem from +0.300 down to +0.100."
    assert report_of(CurationResult({}, {"samples": images})).words() == listed
    layers = pd.DataFrame({"difference_p": [0.5, 0.009, 0.01, 0.001]})
    accuracy = pd.DataFrame(
        {
            "encoder": ["original", "without memorized", "without random"],
            "accuracy": [0.9, 0.8, 0.7],
        }
    )
    retrained = {"samples": images, "layers": layers, "accuracy": accuracy}
    text = report_of(CurationResult({}, retrained)).words()
    assert text.startswith(f"{listed} An encoder trained without them differs")
    assert "in 2 of 4 layers" in text
    assert text.endswith("accuracies are 80.0% and 70.0%.")
