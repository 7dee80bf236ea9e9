"""The committed benchmark of one encoder against its pair, and what its page says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lightly_memloc.results import LayerMemResult
from tests.benchmarks.one_encoder import ESTIMATES, with_tables, z_of

RESULTS = Path(__file__).parents[1] / "docs/results"


def last_third(images):
    """The mean z of each estimate over the last third of layers, and the pairs."""
    table = pd.read_csv(RESULTS / "one_encoder.csv")
    of = table[table["images"] == images]
    layers = of["layer"].unique()
    return of[of["layer"].isin(layers[-(len(layers) // 3) :])][list(ESTIMATES)].mean()


def test_the_page_shows_the_committed_tables():
    page = (RESULTS / "one-encoder.md").read_text()
    assert page == with_tables(page)


def test_gaps_of_unseen_images_are_significant_in_one_of_twenty():
    counts = pd.read_csv(RESULTS / "one_encoder_null.csv")
    assert set(counts["images"]) == {"digits", "CIFAR-10"}
    # From none to a fifth of 300 images.
    assert {0, 60} < set(counts["covariates"])
    assert (counts["splits"] >= 40).all()
    assert (counts["significant"] / counts["tests"]).between(0.03, 0.07).all()
    assert (counts["any_adjusted"] / counts["splits"]).between(0.03, 0.07).all()


@pytest.mark.parametrize(
    ("images", "adjusted", "plain"), [("digits", 0.88, 0.68), ("CIFAR-10", 0.60, 0.52)]
)
def test_what_covariates_buy(images, adjusted, plain):
    z = last_third(images)
    assert z["adjusted"] / z["calibrated"] == pytest.approx(adjusted, abs=0.005)
    assert z["alignment_gap"] / z["calibrated"] == pytest.approx(plain, abs=0.005)
    assert z["adjusted"] > 1.1 * z["alignment_gap"]
    assert z["adjusted_with_g"] > z["calibrated"]
    assert z["symmetric"] > z["calibrated"]


def test_z_of_an_estimate():
    layers = pd.DataFrame(
        {
            "layer": ["conv"],
            "gap": [np.tanh(0.3)],
            "gap_low": [np.tanh(0.1)],
            "gap_high": [np.tanh(0.5)],
        }
    )
    result = LayerMemResult({"images": {}}, {"layers": layers})
    assert z_of(result, "gap")[0] == pytest.approx(1.96 * 0.3 / 0.2)
