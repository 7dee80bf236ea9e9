import numpy as np
import pandas as pd
import pytest

from lightly_memloc.report import report_of
from lightly_memloc.results import (
    ProbeResult,
)
from tests.report.shown import drawn, estimate


def test_intervals_that_are_uneven_keep_their_sides():
    probes = pd.DataFrame(
        {
            "encoder": ["f", "$g$"],
            "probe": "knn",
            "accuracy": [0.5, 0.6],
            "low": [0.4, 0.3],
            "high": [0.51, 0.62],
        }
    )
    figure = ProbeResult({}, {"probes": probes}).plot()[0]
    (bars,) = figure.axes[0].collections
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[0.4, 0.51], [0.3, 0.62]])
    drawn(figure)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels[1] == "\\$g\\$\nknn"


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


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (None, ""),
        (0, ""),
        (1, " The probe left out 1 image without a label."),
        (7, " The probe left out 7 images without a label."),
    ],
)
def test_images_without_a_label_are_counted(n, said):
    settings = {} if n is None else {"unlabelled": n}
    probes = pd.DataFrame(
        {"encoder": ["f"], "probe": "knn", **estimate("accuracy", [0.5], None)}
    )
    probes = probes.assign(low=0.25, high=0.75)
    assert report_of(ProbeResult(settings, {"probes": probes})).words() == (
        f"f reaches 50.0% with knn (95% interval 25.0% to 75.0%).{said}"
    )
