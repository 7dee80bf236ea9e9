import itertools
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from lightly_memloc.functional import membership, non_members_needed


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
    auc = membership(first, second, false_positives=None).auc
    labels, scores = [1] * n + [0] * m, np.concatenate([first, second])
    assert auc.value[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert auc.p[0] == pytest.approx(stats.mannwhitneyu(first, second).pvalue)


def test_interval_of_the_area_by_hand():
    """DeLong's variance exceeds Hanley and McNeil's for members of two kinds."""
    first = np.array([9.0] * 6 + [-9.0] * 6)
    second = np.arange(12.0) / 100
    # Half of the members win all pairs: AUC 1/2, and all non-members win half.
    variance = (12 * 0.25 / 11) / 12
    half = stats.t.ppf(0.975, 11) * np.sqrt(variance) / 0.25
    auc = membership(first, second, false_positives=None).auc
    assert auc.low[0] == pytest.approx(1 / (1 + np.exp(half)))
    assert auc.high[0] == pytest.approx(1 / (1 + np.exp(-half)))


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
    covered = 0
    for seed in range(200):
        tpr = membership(*drawn(seed, n, m, shift, decimals)).tpr
        assert tpr.low[0] <= tpr.value[0] <= tpr.high[0]
        covered += tpr.low[0] <= truth <= tpr.high[0]
    assert covered >= 190


@pytest.mark.parametrize("decimals", [0, 9])
@pytest.mark.parametrize(("n", "m"), [(50, 99), (5000, 100), (100, 1000)])
def test_p_value_of_the_rate_is_not_too_small(n, m, decimals):
    p = [membership(*drawn(s, n, m, 0, decimals)).tpr.p[0] for s in range(300)]
    # 5% of 300 are 15, with a standard deviation of 3.8.
    assert np.sum(np.array(p) <= 0.05) <= 15 + 3 * 3.8


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.3])
@pytest.mark.parametrize(("n", "m"), [(5, 5), (10, 10), (100, 10), (10, 300), (50, 50)])
def test_interval_of_the_area_covers_the_truth(n, m, shift):
    truth = stats.norm.cdf(shift / np.sqrt(2))
    covered = 0
    for seed in range(200):
        auc = membership(*drawn(seed, n, m, shift), false_positives=None).auc
        covered += auc.low[0] <= truth <= auc.high[0]
    assert covered >= 186


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
