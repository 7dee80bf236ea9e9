import numpy as np
import pandas as pd
import pytest

from lightly_memloc.report import report_of
from lightly_memloc.results import (
    AnalysisResult,
)
from tests.report.shown import VIT


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
