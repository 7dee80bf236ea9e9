import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lightly_memloc import (
    load_result,
)
from lightly_memloc.estimation import pool_trials, summarize_trials, summarize_tuning


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


TRIALS = pd.DataFrame(
    [
        ("highest", 0, 0.5, 0.8, "x"),
        ("random", 0, 0.7, 0.8, "x"),
        ("highest", 1, 0.6, 0.9, "x"),
        ("random", 1, 0.6, 0.9, "x"),
        ("highest", 2, 0.3, 0.7, "x"),
        ("random", 2, 0.65, 0.7, "x"),
    ],
    columns=["strategy", "trial", "accuracy", "baseline", "where"],
)


def test_summary_of_trials(tmp_path):
    result = summarize_trials(TRIALS, {"intervention": "prune"})
    table = result.to_pandas().set_index("strategy")
    change = np.array([-0.3, -0.3, -0.4])
    test = stats.ttest_1samp(change, 0)
    row = table.loc["highest"]
    assert row["change"] == pytest.approx(change.mean())
    assert row["change_error"] == pytest.approx(stats.sem(change))
    assert row["change_p"] == pytest.approx(test.pvalue)
    assert row["change_low"] == pytest.approx(test.confidence_interval().low)
    assert row[["baseline", "accuracy"]].tolist() == pytest.approx([0.8, 1.4 / 3])
    over = stats.ttest_rel(change, [-0.1, -0.3, -0.05])
    assert row["over_random"] == pytest.approx((-0.2 + 0 - 0.35) / 3)
    assert row["over_random_p"] == pytest.approx(over.pvalue)
    assert np.isnan(table.loc["random", "over_random"])
    assert result.scalars()["prune/highest"] == row["change"]
    result.save(tmp_path)
    assert load_result(tmp_path).to_pandas().equals(result.to_pandas())


def test_trials_of_several_encoders_are_pooled():
    one, two = (
        summarize_trials(TRIALS[TRIALS["trial"] == trial], {"intervention": "prune"})
        for trial in (0, 1)
    )
    assert np.isnan(one.to_pandas()["change_p"]).all()
    noted = pool_trials({"r1": one, "r2": two})
    assert noted.settings["notes"] == ["Fewer than three trials give no intervals."]
    three = summarize_trials(TRIALS[TRIALS["trial"] == 2], {"intervention": "prune"})
    pooled = pool_trials({"r1": one, "r2": two, "r3": three})
    whole = summarize_trials(TRIALS, {"intervention": "prune"})
    pd.testing.assert_frame_equal(pooled.to_pandas(), whole.to_pandas())
    assert set(pooled.trials_to_pandas()["trial"]) == {"r1/0", "r2/1", "r3/2"}
    assert pooled.settings["runs"] == ["r1", "r2", "r3"]
    assert pooled.settings["notes"] == []


def test_layers_are_summarised_over_their_units():
    units = pd.DataFrame(
        {
            "layer": ["a", "a", "a", "a", "b", "b"],
            "unit": [0, 1, 2, 3, 0, 1],
            "index": range(6),
            "filename": list("uvwxyz"),
            "before": [0.1, 0.2, 0.3, 0.5, 0.4, 0.4],
            "after": [0.4, 0.9, 0.5, 0.4, 0.5, 0.9],
            "wins": [True, True, False, False, True, False],
        }
    )
    layers = summarize_tuning(units, {}).layers_to_pandas()
    test = stats.ttest_rel(units["after"][:4], units["before"][:4])
    low, high = test.confidence_interval()
    a, b = (layers.iloc[number] for number in (0, 1))
    assert (a["layer"], a["units"], a["wins"], b["wins"]) == ("a", 4, 2, 1)
    assert a[["before", "after", "rise"]].tolist() == pytest.approx(
        [0.275, 0.55, 0.275]
    )
    assert a[["rise_low", "rise_high", "rise_p"]].tolist() == pytest.approx(
        [low, high, test.pvalue]
    )
    assert b[["rise_low", "rise_high", "rise_p"]].isna().all()
