import numpy as np
import pandas as pd
import pytest
from claims import CLAIMS
from over_pairs import over_pairs
from power import smallest_effect, spread_known
from scipy import stats
from tables import estimates, verdicts
from verdict import (
    CONFIRMED,
    CONTRADICTED,
    NOT_CONFIRMED,
    NOT_TESTABLE,
    adjusted,
    holm,
    of_claim,
    over_claims,
    verdict,
)

N_DRAWS, N_PAIRS = 40_000, 8


def rare(share, draws=N_DRAWS):
    """Four standard errors of a share."""
    return 4 * np.sqrt(share * (1 - share) / draws)


def t_tests(rng, n_effects, correlation=0.0, shift=0.0):
    """Means over pairs and their p-values, in many draws of several pairs."""
    own = rng.normal(size=(N_DRAWS, N_PAIRS, n_effects))
    shared = rng.normal(size=(N_DRAWS, N_PAIRS, 1))
    drawn = np.sqrt(1 - correlation) * own + np.sqrt(correlation) * shared + shift
    return drawn.mean(axis=1), stats.ttest_1samp(drawn, 0, axis=1).pvalue


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


def test_holm_s_method_is_its_definition():
    # Holm rejects from the smallest p-value up, until one is above level / rest.
    p = np.random.default_rng(0).random(7) ** 3
    for level in np.linspace(0.001, 0.999, 333):
        rejected = np.zeros(len(p), dtype=bool)
        for rest, index in zip(range(len(p), 0, -1), np.argsort(p), strict=True):
            if p[index] > level / rest:
                break
            rejected[index] = True
        np.testing.assert_array_equal(holm(p) <= level, rejected)


def test_the_p_value_of_a_single_effect_is_its_own():
    for value, p in ((0.2, 0.03), (-0.2, 0.03), (0.0, 1.0)):
        np.testing.assert_allclose(of_claim([value], [p])[0], p)
        np.testing.assert_allclose(adjusted([value], [p]), [p])
    assert of_claim([0.2], [0.03])[1]
    assert not of_claim([-0.2], [0.03])[1]


def test_a_claim_needs_all_of_its_effects():
    p, is_for = of_claim([0.1, 0.2, 0.3], [0.001, 0.04, 0.01])
    assert (p, is_for) == (pytest.approx(0.04), True)
    p, _ = of_claim([0.1, 0.2, 0.3], [0.001, 0.2, 0.01])
    assert p == pytest.approx(0.2)


def test_one_effect_below_zero_contradicts_a_claim():
    p, is_for = of_claim([0.1, -0.2, 0.3], [0.001, 0.004, 0.01])
    assert (p, is_for) == (pytest.approx(3 * 0.004), False)
    corrected = adjusted([0.1, -0.2, 0.3], [0.001, 0.004, 0.01])
    np.testing.assert_allclose(corrected, [3 * 0.001, 3 * 0.004, 2 * 0.01])


@pytest.mark.parametrize("n_effects", [1, 2, 4, 8])
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_a_claim_of_no_effect_gets_each_verdict_once_in_forty_at_most(
    n_effects, correlation
):
    rng = np.random.default_rng(n_effects)
    p, is_for = of_claim(*t_tests(rng, n_effects, correlation))
    assert (is_for & (p <= 0.05)).mean() <= 0.025 + rare(0.025)
    assert (~is_for & (p <= 0.05)).mean() <= 0.025 + rare(0.025)


def test_several_effects_without_correction_contradict_more_often():
    value, p = t_tests(np.random.default_rng(0), 8)
    single = ((value < 0) & (p <= 0.05)).any(axis=1).mean()
    assert abs(single - (1 - 0.975**8)) < rare(single)


def test_one_missing_effect_among_large_ones_confirms_once_in_forty():
    shift = np.array([3.0, 3.0, 3.0, 0.0])
    p, is_for = of_claim(*t_tests(np.random.default_rng(1), 4, shift=shift))
    confirmed = (is_for & (p <= 0.05)).mean()
    assert abs(confirmed - 0.025) < rare(0.025)


def test_effects_that_are_all_there_are_confirmed():
    p, is_for = of_claim(*t_tests(np.random.default_rng(2), 4, shift=1.5))
    value, single = t_tests(np.random.default_rng(2), 4, shift=1.5)
    power = ((value > 0) & (single <= 0.05)).all(axis=1).mean()
    assert (is_for & (p <= 0.05)).mean() == pytest.approx(power)
    assert power > 0.8


def test_of_22_claims_of_no_effect_none_gets_a_verdict_19_times_in_20():
    rng = np.random.default_rng(3)
    numbers = [1] * 17 + [2, 2, 4, 8, 1]
    p = np.stack([of_claim(*t_tests(rng, k))[0] for k in numbers[:22]], axis=1)[:4000]
    found = [(over_claims(of)[1] <= 0.05).any() for of in p]
    assert np.mean(found) <= 0.05 + rare(0.05, len(p))


def test_q_is_that_of_benjamini_and_hochberg_and_claims_without_p_count():
    p = np.array([0.001, np.nan, 0.02, 0.03, 0.9])
    corrected, q = over_claims(p)
    np.testing.assert_allclose(q, [5 * 0.001, np.nan, 0.05, 0.05, 1.0])
    np.testing.assert_allclose(corrected, [5 * 0.001, np.nan, 0.08, 0.09, 1.0])


@pytest.mark.parametrize(
    ("q", "is_for", "expected"),
    [
        (0.05, True, CONFIRMED),
        (0.05, False, CONTRADICTED),
        (0.0501, True, NOT_CONFIRMED),
        (np.nan, True, NOT_CONFIRMED),
    ],
)
def test_no_verdict_is_rounded_up(q, is_for, expected):
    assert verdict(q, is_for) == expected


def test_verdicts_rest_on_q():
    noise = stats.zscore([0.3, -1.0, 0.1, 2.0, 0.7, -0.4, 1.1, -2.2], ddof=1)
    chosen = {"1a": 1e-6, "2d": -1e-6, "7g": 0.03}
    rows = []
    for claim in CLAIMS:
        signed_p = chosen.get(claim.name, 0.6)
        t = np.sign(signed_p) * stats.t.isf(abs(signed_p) / 2, len(noise) - 1)
        of_claim = claim.name, "effect", claim.decides or "published", "trained"
        rows += [
            (*of_claim, pair, value + t / np.sqrt(len(noise)))
            for pair, value in enumerate(noise)
        ]
    columns = ["claim", "effect", "estimator", "subject", "pair", "value"]
    table = verdicts(estimates(pd.DataFrame(rows, columns=columns))).set_index("claim")
    tested = table["p"].dropna()
    assert len(tested) == 22
    assert set(table.index) - set(tested.index) == {"2a", "2b"}
    np.testing.assert_allclose(table.loc[["1a", "7g"], "p"], [1e-6, 0.03])
    # Of 22, 1a and 2d have the smallest p-values, and 7g the third.
    np.testing.assert_allclose(
        table.loc[["1a", "2d", "7g"], "q"], [1.1e-5, 1.1e-5, 0.03 * 22 / 3]
    )
    np.testing.assert_allclose(
        table.loc[["1a", "2d", "7g"], "holm"], [2.2e-5, 2.2e-5, 0.6]
    )
    verdict_of = table["verdict"].to_dict()
    assert verdict_of.pop("1a") == CONFIRMED
    assert verdict_of.pop("2d") == CONTRADICTED
    assert {verdict_of.pop("2a"), verdict_of.pop("2b")} == {NOT_TESTABLE}
    assert set(verdict_of.values()) == {NOT_CONFIRMED}


@pytest.mark.parametrize("pairs", [3, 6, 8])
def test_the_smallest_effect_is_found_four_times_in_five(pairs):
    deviation, draws = 0.7, 20_000
    effect = smallest_effect(deviation, pairs)
    rng = np.random.default_rng(pairs)
    drawn = rng.normal(effect, deviation, (draws, pairs))
    low = stats.ttest_1samp(drawn, 0, axis=1).confidence_interval(0.95).low
    assert abs((low > 0).mean() - 0.8) < rare(0.8, draws)


@pytest.mark.parametrize("pairs", [3, 8])
def test_the_interval_of_a_spread_holds_it_19_times_in_20(pairs):
    draws = 20_000
    drawn = np.random.default_rng(pairs).normal(size=(draws, pairs)).std(axis=1, ddof=1)
    low, high = spread_known(pairs)
    assert abs((drawn * low > 1).mean() - 0.025) < rare(0.025, draws)
    assert abs((drawn * high < 1).mean() - 0.025) < rare(0.025, draws)
