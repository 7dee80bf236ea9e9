import numpy as np
import pandas as pd

from lightly_memloc.report import report_of
from lightly_memloc.results import (
    MembershipResult,
)
from tests.report.shown import estimate, line


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


LAYERS = ["conv1", "layer1.0", "layer2.0", "fc"]


def test_membership_names_the_best_layer_of_those_that_are_found():
    layers = pd.DataFrame(
        {
            "layer": LAYERS,
            "score": "alignment",
            **estimate("auc", [0.9, 0.6, 0.7, 0.2], [0.02, 0.001, 0.001, 0.001]),
            **estimate("tpr", [0.4, 0.2, 0.3, 0.1], 0.002),
        }
    )
    text = report_of(MembershipResult({}, {"layers": layers})).words()
    assert text == (
        "By the encoder's own alignment, layer2.0 separates members from non-members "
        "best: AUC 0.70 (95% interval 0.60 to 0.80; 0.50 by chance). At 1% false "
        "positives it identifies 30.0% of the members (95% interval 20.0% to "
        "40.0%; 1% by chance, p = .002)."
    )
    none = report_of(MembershipResult({}, {"layers": layers[3:]})).words()
    assert "no layer separates members from non-members" in none


def test_few_external_images_leave_the_rate_out():
    unknown = estimate("tpr", [np.nan], np.nan)
    layers = pd.DataFrame(
        {"layer": ["fc"], "score": "alignment", **estimate("auc", [0.9], 0.001)}
        | unknown
    )
    settings = {"images": {"candidate": 9, "external": 9}, "notes": ["Too few."]}
    report = report_of(MembershipResult(settings, {"layers": layers}))
    assert report.words().endswith("0.50 by chance).")
    (table,) = report.tables()
    assert table.title.endswith("9 external; by chance: AUC 0.50, TPR 1%)")
    assert table.rows[0][-3:] == ("-", "-", "-")
    assert report.limits() == ["Too few."]


def test_a_saved_result_without_p_value_of_the_rate_is_shown():
    layers = pd.DataFrame(
        {
            "layer": ["fc"],
            "score": "alignment",
            **estimate("auc", [0.9], 0.001),
            "tpr": 0.3,
            "tpr_low": 0.2,
            "tpr_high": 0.4,
        }
    )
    settings = {"images": {"candidate": 9, "external": 9}}
    report = report_of(MembershipResult(settings, {"layers": layers}))
    assert report.words().endswith("(95% interval 20.0% to 40.0%; 1% by chance).")
    assert report.tables()[0].rows[0][-1] == "20.0% 40.0%"
