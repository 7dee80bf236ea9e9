import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from lightly_memloc.functional import membership
from tests.functional.exact import STANDARD_ERRORS


def drawn(seed, n, m, shift=0.0, decimals=9):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(shift, 1, n).round(decimals),
        rng.normal(0, 1, m).round(decimals),
    )


@pytest.mark.parametrize("decimals", [0, 9])
@pytest.mark.parametrize(("n", "m"), [(2, 2), (30, 50), (150, 320)])
def test_against_scikit_learn_and_pairs(n, m, decimals):
    first, second = drawn(n, n, m, 0.7, decimals)
    found = membership(first, second)
    labels, scores = [1] * n + [0] * m, np.concatenate([first, second])
    assert found.auc.value[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert found.tpr.value[0] == pytest.approx(tpr[fpr <= 0.01].max())
    expected = stats.mannwhitneyu(first, second).pvalue
    assert found.auc.p[0] == pytest.approx(expected)

    psi = (first[:, None] > second) + 0.5 * (first[:, None] == second)
    variance = psi.mean(1).var(ddof=1) / n + psi.mean(0).var(ddof=1) / m
    low = psi.mean() - 1.959963984540054 * np.sqrt(variance)
    assert found.auc.low[0] == pytest.approx(max(0, low), abs=1e-12)


@pytest.mark.parametrize(
    ("options", "allowed", "confidence"),
    [
        ({}, 2, 0.95),
        ({"confidence": 0.6}, 2, 0.6),
        ({"false_positives": 0.08}, 17, 0.95),
        ({"false_positives": 0.25, "confidence": 0.9}, 55, 0.9),
    ],
)
def test_true_positive_rate_and_its_interval_are_exact(options, allowed, confidence):
    """220 non-members: 1% of them are 2.2, 8% 17.6 and 25% 55."""
    n, m, n_resamples = 150, 220, 20_000
    first, second = drawn(5, n, m, 1.5)
    found = membership(first, second, n_resamples=n_resamples, **options)
    n_above = (first > np.sort(second)[::-1][:, None]).sum(axis=1)
    assert found.tpr.value[0] == n_above[allowed] / n

    # The threshold is among the r highest if more than those allowed are drawn of them.
    among = stats.binom.sf(allowed, m, np.arange(m + 1) / m)
    of_rank = stats.binom.cdf(np.arange(n + 1), n, n_above[:, None] / n)
    cumulative = np.diff(among) @ of_rank
    tail = (1 - confidence) / 2
    error = STANDARD_ERRORS * np.sqrt(tail * (1 - tail) / n_resamples)
    for end, share in ((found.tpr.low[0], tail), (found.tpr.high[0], 1 - tail)):
        lowest, highest = np.searchsorted(cumulative, [share - error, share + error])
        assert lowest / n <= end <= highest / n


@pytest.mark.parametrize("confidence", [0.5, 0.99])
def test_interval_of_the_area_has_the_width_of_its_confidence(confidence):
    first, second = drawn(1, 30, 50, 0.5)
    wide, found = (
        membership(first, second, confidence=level) for level in (0.95, confidence)
    )
    ratio = stats.norm.ppf((1 + confidence) / 2) / stats.norm.ppf(0.975)
    for one, other in zip(
        (found.auc.low, found.auc.high), (wide.auc.low, wide.auc.high), strict=True
    ):
        assert one - found.auc.value == pytest.approx((other - wide.auc.value) * ratio)


def test_interval_of_the_area_ends_at_0_and_1():
    high, low = [4.0, 3.0, 2.0, 0.5], [1.0, 0.0, -1.0, -2.0]
    # One of 16 pairs is lost: shares of won pairs are 1, 1, 1, 3/4 and 3/4, 1, 1, 1.
    half = stats.norm.ppf(0.975) * np.sqrt(2 * (1 / 64) / 4)
    found = membership(high, low)
    assert found.auc.low == pytest.approx(15 / 16 - half)
    assert found.auc.high == 1
    found = membership(low, high)
    assert found.auc.low == 0
    assert found.auc.high == pytest.approx(1 / 16 + half)


def test_no_false_positive_is_allowed_among_few_non_members():
    members, others = [0.9, 0.8, 0.5, 0.4], [0.5, 0.1, 0.0]
    assert membership(members, others).tpr.value == 0.5
    assert membership(members, others, false_positives=0.34).tpr.value == 1


def test_the_seed_and_the_number_of_resamples_decide():
    first, second = drawn(2, 40, 60, 1.0)
    ends = [
        (found.tpr.low, found.tpr.high)
        for found in (
            membership(first, second, n_resamples=9, seed=seed) for seed in (1, 1, 2)
        )
    ]
    assert ends[0] == ends[1] != ends[2]
    one = membership(first, second, n_resamples=1)
    assert one.tpr.low == one.tpr.high


def test_intervals_hold_the_truth_as_often_as_they_say():
    truth = stats.norm.cdf(1 / np.sqrt(2))
    held = 0
    for seed in range(400):
        found = membership(*drawn(seed, 40, 60, 1.0), n_resamples=2)
        held += bool(found.auc.low[0] <= truth <= found.auc.high[0])
    assert stats.binomtest(held, 400, 0.95).pvalue > 1e-4


def test_each_layer_by_itself():
    first, second = drawn(3, 40, 50, 0.5)
    both = membership(np.stack([first, -first], 1), np.stack([second, -second], 1))
    assert both.auc.value.sum() == pytest.approx(1)
    assert both.auc.value[0] == membership(first, second).auc.value[0]
    assert both.auc.p[0] == both.auc.p[1]


@pytest.mark.parametrize(
    ("members", "others"),
    [([1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0]), ([[1, 2], [3, 4]], [[1], [2]])],
)
def test_too_few_or_other_layers(members, others):
    with pytest.raises(ValueError, match="at least two members and two non-members"):
        membership(members, others)
