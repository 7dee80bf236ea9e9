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
