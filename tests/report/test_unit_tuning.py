import pandas as pd

from lightly_memloc.report import report_of
from lightly_memloc.results import (
    UnitTuningResult,
)


def test_tuned_units_are_counted():
    units = {"before": [0.5] * 4, "after": [0.6, 0.7, 0.5, 0.4], "wins": [1, 0, 1, 1]}
    text = report_of(UnitTuningResult({}, {"units": pd.DataFrame(units)})).words()
    assert "higher in 2 of 4 units" in text
    assert text.endswith("the image activates 3 of them most.")
