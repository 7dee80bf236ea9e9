import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from lightly_memloc.functional import membership


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
    assert found.auc[0] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert found.tpr[0] == pytest.approx(tpr[fpr <= 0.01].max())
    expected = stats.mannwhitneyu(first, second).pvalue
    assert found.auc_p[0] == pytest.approx(expected)

    psi = (first[:, None] > second) + 0.5 * (first[:, None] == second)
    variance = psi.mean(1).var(ddof=1) / n + psi.mean(0).var(ddof=1) / m
    low = psi.mean() - 1.959963984540054 * np.sqrt(variance)
    assert found.auc_low[0] == pytest.approx(max(0, low), abs=1e-12)


def test_interval_of_the_true_positive_rate_is_that_of_the_plain_bootstrap():
    first, second = drawn(5, 60, 220, 1.5)
    found = membership(first, second, n_resamples=20_000)
    rng = np.random.default_rng(1)
    rates = []
    for _ in range(4000):
        members, others = rng.choice(first, 60), rng.choice(second, 220)
        rates.append((members > np.sort(others)[-3]).mean())
    low, high = np.quantile(rates, [0.025, 0.975])
    assert found.tpr_low[0] == pytest.approx(low, abs=0.035)
    assert found.tpr_high[0] == pytest.approx(high, abs=0.035)


def test_intervals_hold_the_truth_as_often_as_they_say():
    truth = stats.norm.cdf(1 / np.sqrt(2))
    held = 0
    for seed in range(400):
        found = membership(*drawn(seed, 40, 60, 1.0), n_resamples=2)
        held += bool(found.auc_low[0] <= truth <= found.auc_high[0])
    assert stats.binomtest(held, 400, 0.95).pvalue > 1e-4


def test_each_layer_by_itself():
    first, second = drawn(3, 40, 50, 0.5)
    both = membership(np.stack([first, -first], 1), np.stack([second, -second], 1))
    assert both.auc.sum() == pytest.approx(1)
    assert both.auc[0] == membership(first, second).auc[0]
    assert both.auc_p[0] == both.auc_p[1]


@pytest.mark.parametrize(
    ("members", "others"),
    [([1.0], [1.0, 2.0]), ([1.0, 2.0], [1.0]), ([[1, 2], [3, 4]], [[1], [2]])],
)
def test_too_few_or_other_layers(members, others):
    with pytest.raises(ValueError, match="at least two members and two non-members"):
        membership(members, others)
