import pandas as pd
import pytest

from lightly_memloc.estimation import summarize_tuning


def test_scalars_and_settings_of_tuned_units():
    units = pd.DataFrame(
        {
            "layer": ["one"] * 3,
            "before": [0.25, 0.25, 0.25],
            "after": [0.5, 0.75, 0.5],
            "wins": True,
        }
    )
    result = summarize_tuning(units, {"steps": 4})
    assert result.scalars() == {"unit_mem_rise/one": pytest.approx(1 / 3)}
    assert result.settings == {"steps": 4, "skipped": []}
