import pandas as pd

from lightly_memloc.report import report_of
from lightly_memloc.results import (
    CurationResult,
)


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
