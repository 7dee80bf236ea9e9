import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from lightly_memloc.functional import membership, non_members_needed
from tests.functional.exact import (
    assert_p_value,
    assert_quantile,
    relabellings,
    share_as_far,
)


def batch(seed, n, m, count, shift=0.0, decimals=9):
    """Data sets as the columns of one call."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(shift, 1, (n, count)).round(decimals),
        rng.normal(0, 1, (m, count)).round(decimals),
    )


def drawn(seed, n, m, shift=0.0, decimals=9):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(shift, 1, n).round(decimals),
        rng.normal(0, 1, m).round(decimals),
    )


@pytest.mark.parametrize("decimals", [0, 9])
@pytest.mark.parametrize(("n", "m"), [(2, 2), (30, 50), (150, 320)])
def test_area_against_scikit_learn(n, m, decimals):
    first, second = drawn(n, n, m, 0.7, decimals)
    auc = membership(first, second, false_positives=None, n_resamples=19).auc
    labels, scores = [1] * n + [0] * m, np.concatenate([first, second])
    assert auc.value[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def studentized(scores, labels, groups):
    """Arcsine of the AUC's root over chance, and its error, from all pairs."""
    first, second = scores[labels], scores[~labels]
    wins = (first[:, None] > second) + (first[:, None] == second) / 2
    auc, variance = wins.mean(), 0
    for shares, of in ((wins.mean(1), groups[labels]), (wins.mean(0), groups[~labels])):
        names = np.unique(of)
        sums = [np.sum(shares[of == name] - auc) for name in names]
        k = len(names)
        variance += np.square(sums).sum() * k / (k - 1) / len(shares) ** 2
    n, m = (len(np.unique(groups[of])) for of in (labels, ~labels))
    # Hanley and McNeil's variance at AUC a, the larger one of both orders.
    leasts = []
    for a in (
        np.clip(auc, 1 / (2 * min(n, m)), 1 - 1 / (2 * min(n, m))),
        1 / (2 * min(n, m)),
    ):
        q1, q2 = a / (2 - a) - a**2, 2 * a**2 / (1 + a) - a**2
        leasts.append(
            max(
                (a * (1 - a) + (n - 1) * x + (m - 1) * y) / (n * m)
                for x, y in ((q1, q2), (q2, q1))
            )
        )
    center = np.clip(auc, 1 / (2 * min(n, m)), 1 - 1 / (2 * min(n, m)))
    slope = 2 * np.sqrt(center * (1 - center))
    error = np.sqrt(max(variance, min(leasts))) / slope
    return np.arcsin(np.sqrt(center)) - np.pi / 4, error


@pytest.mark.parametrize("size", [1, 2])
def test_p_and_interval_of_the_area_against_every_relabelling(size):
    groups = np.arange(9 * size) // size
    scores = np.random.default_rng(4).normal(0, 1, (9, 1)) + np.random.default_rng(
        5
    ).normal(0, 0.5, (9, size))
    scores = scores.round(1).ravel()
    scores[: 4 * size] += 0.3
    labels = np.arange(9) < 4
    null = []
    for of_groups in relabellings(labels):
        deviation, error = studentized(scores, of_groups[groups], groups)
        null.append(abs(deviation) / error)
    deviation, error = studentized(scores, labels[groups], groups)
    n = 4 * size
    auc = membership(
        scores[:n], scores[n:], None, 0.8, n_resamples=1999, groups=groups
    ).auc
    assert auc.value[0] == pytest.approx(np.sin(deviation + np.pi / 4) ** 2)
    assert_p_value(auc.p[0], share_as_far(null, deviation / error), 1999)
    slope = np.sqrt(auc.value[0] * (1 - auc.value[0])) / 2
    # The end that is farther from chance.
    end = auc.high[0] if deviation > 0 else auc.low[0]
    logit = special.logit([auc.value[0], end])
    quantile = abs(logit[1] - logit[0]) * slope / error
    assert_quantile(quantile, 0.8, null, 1999)


def test_strata_are_permuted_within():
    """Nine of ten pairs of neighbours, one of them a member, differ alike."""
    scores = np.array([10.0 * k + d for d in (0.5, 0) for k in range(6)])
    strata = np.tile(np.arange(6), 2)
    auc, tpr = membership(scores[:6], scores[6:], 0.2, n_resamples=1999, strata=strata)
    null = []
    for of in itertools.product([True, False], repeat=6):
        labels = np.array([*of, *(not x for x in of)])
        deviation, error = studentized(scores, labels, np.arange(12))
        null.append(abs(deviation) / error)
    deviation, error = studentized(scores, np.arange(12) < 6, np.arange(12))
    assert_p_value(auc.p[0], share_as_far(null, deviation / error), 1999)
    # The highest image of all is a member, or none is above: an even chance.
    assert tpr.value[0] == pytest.approx(1 / 6)
    assert_p_value(tpr.p[0], 0.5, 1999)


def test_interval_of_the_area_excludes_chance_exactly_if_p_is_small():
    for n, m in ((5, 5), (10, 10), (12, 40)):
        first, second = batch(1, n, m, 200, 0.8)
        auc = membership(first, second, None, n_resamples=199).auc
        excluded = (auc.low > 0.5) | (auc.high < 0.5)
        assert 0 < excluded.sum() < 200
        np.testing.assert_array_equal(excluded, auc.p <= 0.05 + 1e-12)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 200), (200, 3), (60, 60)])
def test_a_perfect_area_has_a_finite_interval(n, m):
    best = membership(np.ones(n), np.zeros(m), false_positives=None).auc
    worst = membership(np.zeros(n), np.ones(m), false_positives=None).auc
    assert (best.value[0], best.high[0]) == (1, 1)
    assert 0 < best.low[0] < 1
    assert (worst.value[0], worst.low[0]) == (0, 0)
    assert worst.high[0] == pytest.approx(1 - best.low[0])


def test_all_scores_equal():
    found = membership(np.ones(10), np.ones(99))
    assert found.auc.value[0] == 0.5
    assert 0 < found.auc.low[0] < 0.5 < found.auc.high[0] < 1
    assert found.tpr.value[0] == 0
    assert found.tpr.p[0] == 1


@pytest.mark.parametrize(
    ("rate", "m"), [(0.01, 99), (0.01, 198), (0.01, 199), (0.29, 99), (0.07, 99)]
)
def test_threshold_has_the_rank_of_exact_arithmetic(rate, m):
    """0.29 * 100 is 28.999999999999996 and 0.07 * 100 is 7.000000000000001."""
    others = np.random.default_rng(0).permutation(m).astype(float)
    members = np.arange(m) + 0.5
    rank = int(Fraction(round(rate * 100), 100) * (m + 1))
    # As many members as the rank are above the rank-th highest non-member.
    assert membership(members, others, rate).tpr.value[0] * m == pytest.approx(rank)


@pytest.mark.parametrize(
    ("rate", "needed"), [(0.01, 99), (0.05, 19), (0.1, 9), (0.03, 33), (0.001, 999)]
)
def test_non_members_needed(rate, needed):
    assert non_members_needed(rate) == needed
    scores = np.arange(float(needed))
    assert 0 < membership(scores, scores, rate).tpr.p[0] <= 1
    with pytest.raises(ValueError, match=rf"at least {needed} .* got {needed - 1}\."):
        membership(scores, scores[1:], rate)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan")])
def test_rate_out_of_range(rate):
    with pytest.raises(ValueError, match="between 0 and 1"):
        non_members_needed(rate)


@pytest.mark.parametrize(
    ("n", "m", "rate"), [(3, 4, 0.2), (4, 4, 0.4), (5, 5, 0.34), (2, 7, 0.25)]
)
def test_p_value_against_every_relabelling(n, m, rate):
    """The share of all assignments of roles with as many members above."""
    rank = int(Fraction(str(rate)) * (m + 1))
    above = []
    for chosen in itertools.combinations(range(n + m), n):
        members = set(chosen)
        threshold = sorted(set(range(n + m)) - members)[-rank]
        above.append(sum(member > threshold for member in members))
    for chosen, count in zip(
        itertools.combinations(range(n + m), n), above, strict=True
    ):
        others = sorted(set(range(n + m)) - set(chosen))
        tpr = membership(list(chosen), others, rate).tpr
        assert tpr.value[0] == count / n
        assert tpr.p[0] == pytest.approx(np.mean(np.array(above) >= count))


def test_interval_by_search_over_ranks_and_rates():
    n, m, rate, tail = 80, 500, 0.02, 0.025
    first, second = drawn(1, n, m, 1.5)
    ranks = np.arange(1, m + 1)
    above_rate = stats.beta.sf(rate, ranks, m - ranks + 1)
    stricter = ranks[above_rate <= tail / 2].max()
    looser = ranks[1 - above_rate <= tail / 2].min()
    descending = np.sort(second)[::-1]
    low_count, high_count = (
        (first > descending[r - 1]).sum() for r in (stricter, looser)
    )
    rests = [
        1 - (1 - tail) / (1 - above_rate[stricter - 1]),
        1 - (1 - tail) / above_rate[looser - 1],
    ]
    grid = np.linspace(0, 1, 100_001)
    low = grid[stats.binom.sf(low_count - 1, n, grid) <= rests[0]].max()
    high = grid[stats.binom.cdf(high_count, n, grid) <= rests[1]].min()
    tpr = membership(first, second, rate).tpr
    assert tpr.low[0] == pytest.approx(low, abs=2e-5)
    assert tpr.high[0] == pytest.approx(high, abs=2e-5)


def test_lower_end_needs_437_non_members():
    """Below, 1% of non-members lie above all with probability 0.99^M > 0.0125."""
    members = np.full(1000, 5.0)
    for m, informative in ((436, False), (437, True)):
        low = membership(members, drawn(0, 2, m)[1]).tpr.low[0]
        assert (low > 0) == informative == (0.99**m < 0.0125)


@pytest.mark.parametrize("decimals", [1, 9])
@pytest.mark.parametrize(("n", "m"), [(50, 99), (5000, 100), (50, 500), (20, 1000)])
def test_interval_of_the_rate_covers_the_truth(n, m, decimals):
    # Rounded scores: a threshold of 2.4 is exceeded by 0.7%, 2.3 by 0.9%, 2.2 by 1.2%.
    shift = 1.5
    edge = 2.35 if decimals == 1 else stats.norm.isf(0.01)
    truth = stats.norm.sf(edge - shift)
    tpr = membership(*batch(0, n, m, 200, shift, decimals), n_resamples=19).tpr
    assert ((tpr.low <= tpr.value) & (tpr.value <= tpr.high)).all()
    assert ((tpr.low <= truth) & (truth <= tpr.high)).sum() >= 190


@pytest.mark.parametrize("decimals", [0, 9])
@pytest.mark.parametrize(("n", "m"), [(50, 99), (5000, 100), (100, 1000)])
def test_p_value_of_the_rate_is_not_too_small(n, m, decimals):
    tpr = membership(*batch(0, n, m, 300, 0, decimals), n_resamples=19).tpr
    # 5% of 300 are 15, with a standard deviation of 3.8.
    assert np.sum(tpr.p <= 0.05) <= 15 + 3 * 3.8


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.3])
@pytest.mark.parametrize(("n", "m"), [(5, 5), (10, 10), (100, 10), (10, 300), (50, 50)])
def test_interval_of_the_area_covers_the_truth(n, m, shift):
    truth = stats.norm.cdf(shift / np.sqrt(2))
    auc = membership(*batch(0, n, m, 200, shift), None, n_resamples=199).auc
    assert ((auc.low <= truth) & (truth <= auc.high)).sum() >= 183


def test_unequal_variances_and_sizes_keep_the_level():
    """The Mann-Whitney test finds 13% of 10 members of threefold s.d. against 50."""
    first, second = batch(0, 10, 50, 400)
    auc = membership(3 * first, second, None, n_resamples=199).auc
    # 5% of 400 are 20, with a standard deviation of 4.4.
    assert np.sum(auc.p <= 0.05) <= 20 + 3 * 4.4
    plain = [
        stats.mannwhitneyu(*x).pvalue for x in zip(3 * first.T, second.T, strict=True)
    ]
    assert np.sum(np.array(plain) <= 0.05) > 20 + 3 * 4.4


def in_groups(seed, n, m, count, shift=0.0):
    """Groups of four, intraclass correlation 0.8, and the images' groups."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, np.sqrt(0.8), (n + m, 1, count))
    scores = shared + rng.normal(0, np.sqrt(0.2), (n + m, 4, count))
    scores = scores.reshape(-1, count)
    scores[: 4 * n] += shift
    return scores[: 4 * n], scores[4 * n :], np.arange(4 * (n + m)) // 4


def test_groups_keep_the_level_and_the_coverage():
    first, second, groups = in_groups(20, 12, 12, 200)
    auc = membership(first, second, None, n_resamples=499, groups=groups).auc
    alone = membership(first, second, None, n_resamples=199).auc
    # 5% of 200 are 10, with a standard deviation of 3.1.
    assert np.sum(auc.p <= 0.05) <= 10 + 3 * 3.1 < 40 < np.sum(alone.p <= 0.05)
    first, second, groups = in_groups(1, 12, 12, 200, 1.0)
    auc = membership(first, second, None, n_resamples=499, groups=groups).auc
    truth = stats.norm.cdf(1 / np.sqrt(2))
    assert ((auc.low <= truth) & (truth <= auc.high)).sum() >= 183


def test_groups_keep_the_level_and_the_coverage_of_the_rate():
    first, second, groups = in_groups(0, 30, 110, 150)
    tpr = membership(first, second, n_resamples=199, groups=groups).tpr
    # 5% of 150 are 7.5, with a standard deviation of 2.7.
    assert np.sum(tpr.p <= 0.05) <= 7.5 + 3 * 2.7
    first, second, groups = in_groups(1, 30, 110, 150, 2.0)
    tpr = membership(first, second, n_resamples=19, groups=groups).tpr
    truth = stats.norm.sf(stats.norm.isf(0.01) - 2)
    assert ((tpr.low <= truth) & (truth <= tpr.high)).sum() >= 140


def test_groups_that_repeat_an_image_are_worth_one():
    """The interval of the rate is that of one image per group."""
    first, second = drawn(2, 40, 500, 1.5)
    groups = np.arange(540).repeat(3)
    once = membership(first, second, n_resamples=19).tpr
    thrice = membership(
        first.repeat(3), second.repeat(3), n_resamples=19, groups=groups
    ).tpr
    # Korn and Graubard take t with the number of groups minus one.
    assert 0 < thrice.low[0] <= once.low[0] < once.low[0] + 0.1
    assert thrice.low[0] == pytest.approx(once.low[0], abs=0.02)
    assert thrice.high[0] == pytest.approx(once.high[0], abs=0.02)


def test_groups_of_non_members_bound_the_resolution():
    first, second, groups = in_groups(0, 5, 98, 1)
    expected = r"at least 99 groups of non-members .* got 98\."
    with pytest.raises(ValueError, match=expected):
        membership(first, second, groups=groups)
    assert membership(first, second).tpr.p.shape == (1,)


def test_a_group_in_both_sets():
    with pytest.raises(ValueError, match="Group 1 has images of both sets"):
        membership([1.0, 2.0], [3.0, 4.0], None, groups=[0, 1, 1, 2])


def test_two_groups_per_set_are_needed():
    with pytest.raises(ValueError, match="two groups in both sets, got 1 and 2"):
        membership([1.0, 2.0], [3.0, 4.0], None, groups=[0, 0, 1, 2])


def test_adjusted_p_of_layers():
    first, second = drawn(3, 60, 120, 0.4)
    repeated = membership(
        np.stack([first] * 4, 1), np.stack([second] * 4, 1), n_resamples=199
    )
    # A layer that repeats another costs nothing.
    np.testing.assert_array_equal(repeated.auc.p_adjusted, repeated.auc.p)
    several = membership(*batch(5, 60, 120, 6, 0.4), n_resamples=499)
    for estimate in several:
        assert (estimate.p_adjusted >= estimate.p).all()
        assert (estimate.p_adjusted <= 6 * estimate.p + 4 / np.sqrt(500)).all()
    assert several.auc.p_adjusted.max() > several.auc.p.max() / 2


def test_familywise_error_over_correlated_layers():
    rng, found, rejected = np.random.default_rng(0), [], []
    for seed in range(200):
        scores = rng.normal(0, 1, (120, 6)) + rng.normal(0, 1, (120, 1))
        both = membership(scores[:20], scores[20:], n_resamples=99, seed=seed)
        found.append([estimate.p_adjusted.min() <= 0.05 for estimate in both])
        rejected.append([estimate.p.min() <= 0.05 for estimate in both])
    # 5% of 200 are 10, with a standard deviation of 3.1.
    assert (np.sum(found, axis=0) <= 10 + 3 * 3.1).all()
    assert np.sum(rejected, axis=0)[0] > 10 + 3 * 3.1


def test_each_layer_by_itself():
    first, second = drawn(3, 40, 120, 0.5)
    both = membership(np.stack([first, -first], 1), np.stack([second, -second], 1))
    one = membership(first, second)
    for name in ("value", "low", "high", "p"):
        assert getattr(both.tpr, name)[0] == getattr(one.tpr, name)[0]
    assert both.auc.value.sum() == pytest.approx(1)
    assert both.auc.low[0] == pytest.approx(1 - both.auc.high[1])
    assert both.auc.p[0] == both.auc.p[1]


def test_area_alone():
    found = membership([0.9, 0.8, 0.4], [0.5, 0.1], false_positives=None)
    assert found.auc.value[0] == pytest.approx(5 / 6)
    for field in found.tpr:
        assert np.isnan(field).tolist() == [True]


@pytest.mark.parametrize(
    ("members", "others"),
    [([1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0]), ([[1, 2], [3, 4]], [[1], [2]])],
)
def test_too_few_or_other_layers(members, others):
    with pytest.raises(ValueError, match="at least two members and two non-members"):
        membership(members, others)
