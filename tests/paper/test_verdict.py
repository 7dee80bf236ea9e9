import numpy as np
import pandas as pd
import pytest
from over_pairs import over_pairs
from power import smallest_effect, spread_known
from scipy import stats
from verdict import CONFIRMED, CONTRADICTED, NOT_CONFIRMED, together, verdict


def test_intervals_over_pairs_are_those_of_a_t_test():
    values = {"a": [0.3, 0.1, 0.25, 0.2], "b": [-1.0, 2.0, 0.5, 0.1]}
    table = pd.DataFrame(
        [
            (effect, pair, v)
            for effect in values
            for pair, v in enumerate(values[effect])
        ],
        columns=["effect", "pair", "value"],
    )
    for _, row in over_pairs(table, ["value"], ["effect"]).iterrows():
        test = stats.ttest_1samp(values[row["effect"]], 0)
        interval = test.confidence_interval(0.95)
        assert row["pairs"] == 4
        np.testing.assert_allclose(
            [row["value"], row["value_low"], row["value_high"], row["value_p"]],
            [np.mean(values[row["effect"]]), *interval, test.pvalue],
        )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.1, 0.2, CONFIRMED),
        (0.0, 0.2, NOT_CONFIRMED),
        (-0.1, 0.2, NOT_CONFIRMED),
        (-0.1, 0.0, NOT_CONFIRMED),
        (-0.2, -0.1, CONTRADICTED),
        (np.nan, np.nan, NOT_CONFIRMED),
    ],
)
def test_no_verdict_is_rounded_up(low, high, expected):
    assert verdict(low, high) == expected


def test_a_claim_needs_all_of_its_effects():
    assert together([CONFIRMED, CONFIRMED]) == CONFIRMED
    assert together([CONFIRMED, NOT_CONFIRMED]) == NOT_CONFIRMED
    assert together([CONFIRMED, CONTRADICTED, NOT_CONFIRMED]) == CONTRADICTED


@pytest.mark.parametrize("pairs", [3, 6, 8])
def test_the_smallest_effect_is_found_four_times_in_five(pairs):
    deviation, draws = 0.7, 20_000
    effect = smallest_effect(deviation, pairs)
    rng = np.random.default_rng(pairs)
    drawn = rng.normal(effect, deviation, (draws, pairs))
    low = stats.ttest_1samp(drawn, 0, axis=1).confidence_interval(0.95).low
    # Four standard errors of a share of 20,000.
    assert abs((low > 0).mean() - 0.8) < 4 * np.sqrt(0.8 * 0.2 / draws)


@pytest.mark.parametrize("pairs", [3, 8])
def test_the_interval_of_a_spread_holds_it_19_times_in_20(pairs):
    draws = 20_000
    drawn = np.random.default_rng(pairs).normal(size=(draws, pairs)).std(axis=1, ddof=1)
    low, high = spread_known(pairs)
    # Four standard errors of a share of 20,000.
    rare = 4 * np.sqrt(0.025 * 0.975 / draws)
    assert abs((drawn * low > 1).mean() - 0.025) < rare
    assert abs((drawn * high < 1).mean() - 0.025) < rare
