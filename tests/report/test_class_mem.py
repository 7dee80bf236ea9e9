import pandas as pd

from lightly_memloc.report import report_of
from lightly_memloc.results import (
    ClassMemResult,
)

LAYERS = ["conv1", "layer1.0", "layer2.0", "fc"]


def test_classes_are_in_the_layer_of_the_largest_mean():
    layers = pd.DataFrame({"layer": LAYERS, "mean": [0.2, float("nan"), 0.5, 0.4]})
    text = report_of(ClassMemResult({"classes": 3}, {"layers": layers})).words()
    assert text.endswith("in layer2.0 (mean ClassMem 0.500, 3 classes).")
