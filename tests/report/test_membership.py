import numpy as np
import pandas as pd

from lightly_memloc.report import report_of
from lightly_memloc.results import (
    MembershipResult,
)
from tests.report.shown import estimate, line, printed


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
        "By the encoder's own alignment, 2 of 4 layers separate members from "
        "non-members (adjusted p < 0.05). AUC is largest in layer2.0: 0.70 (0.50 by "
        "chance). At 1% false positives it identifies 30.0% of the members (1% by "
        "chance, adjusted p = .008)."
    )
    none = report_of(MembershipResult({}, {"layers": layers[3:]})).words()
    assert "no layer separates members from non-members" in none


def test_what_is_said_and_shown_rests_on_adjusted_p():
    """A layer whose own p is small is not named if the adjusted one is large."""
    layers = pd.DataFrame(
        {
            "layer": ["layer3.residual.conv1", "x" * 24, "fc"],
            "score": "alignment",
            **estimate("auc", [0.9, 0.8, 0.7], 0.001),
            "auc_p_adjusted": [0.2, 0.04, 0.03],
            **estimate("tpr", [1.0, 0.3, 0.2], 0.001),
            "tpr_p_adjusted": [0.3, 0.012, 0.02],
        }
    )
    settings = {"images": {"candidate": 5000, "external": 5000}}
    report = report_of(MembershipResult(settings, {"layers": layers}))
    assert "2 of 3 layers separate" in report.words()
    assert f"largest in {'x' * 24}: 0.80" in report.words()
    assert "30.0% of the members (1% by chance, adjusted p = .012)" in report.words()
    (table,) = report.tables()
    assert [row[3] for row in table.rows] == [".200", ".040", ".030"]
    assert [row[-1] for row in table.rows] == [".300", ".012", ".020"]
    # Neither layer's name is folded in 80 columns.
    shown = printed(report.result)
    assert "layer3.residual.conv1 " in shown
    assert f"{'x' * 24} " in shown


def test_few_external_images_leave_the_rate_out():
    unknown = estimate("tpr", [np.nan], np.nan)
    layers = pd.DataFrame(
        {"layer": ["fc"], "score": "alignment", **estimate("auc", [0.9], 0.001)}
        | unknown
    )
    settings = {"images": {"candidate": 9, "external": 9}, "notes": ["Too few."]}
    report = report_of(MembershipResult(settings, {"layers": layers}))
    assert report.words().endswith("fc: 0.90 (0.50 by chance).")
    (table,) = report.tables()
    assert table.title.endswith("9 external; by chance: AUC 0.50, TPR 1%)")
    assert table.rows[0][-2:] == ("-", "-")
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
    assert report.words().endswith("30.0% of the members (1% by chance).")
    assert report.tables()[0].rows[0][-1] == "20.0% 40.0%"
