import itertools
import math
import statistics

import numpy as np
import pytest
from scipy import stats

from lightly_memloc.functional import (
    contrast_estimate,
    mean_estimate,
    resampling,
    student_mean,
    welch_t_test,
)
from tests.functional.exact import (
    STANDARD_ERRORS,
    assert_p_value,
    assert_quantile,
    relabellings,
    resamples,
    share_as_far,
)

FIRST, SECOND = [0.31, 0.55, 0.12, 0.47], [0.05, 0.22, 0.34, -0.18]


@pytest.fixture(params=[1 << 20, 50])
def block(request, monkeypatch):
    monkeypatch.setattr(resampling, "_BLOCK", request.param)


def ratio(first, second):
    return (second - first) / (second + first)


@pytest.mark.parametrize("n", [2, 3, 20, 500])
def test_mean_and_p_value_of_each_layer(n):
    values = np.random.default_rng(n).normal([0.0, 0.1, 5.0], [1.0, 1.0, 0.01], (n, 3))
    estimate = mean_estimate(values, n_resamples=10)
    expected = stats.ttest_1samp(values, 0)
    np.testing.assert_allclose(estimate.value, [sum(c) / n for c in values.T])
    np.testing.assert_allclose(estimate.p, expected.pvalue, rtol=1e-10)
    assert all(field.shape == (3,) for field in estimate)


@pytest.mark.usefixtures("block")
def test_mean_interval_against_every_resample():
    values = np.array([0.3, -1.2, 2.5, 0.9, 0.4])
    every = values[resamples(5)].mean(axis=1)
    estimate = mean_estimate(values, n_resamples=20_000, confidence=0.9)
    assert_quantile(estimate.low[0], 0.05, every, 20_000)
    assert_quantile(estimate.high[0], 0.95, every, 20_000)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_mean_interval_against_the_normal_one(confidence):
    n, n_resamples = 1000, 8000
    values = np.random.default_rng(0).normal(2.0, 3.0, n)
    estimate = mean_estimate(values, n_resamples=n_resamples, confidence=confidence)
    tail = (1 - confidence) / 2
    error = values.std() / math.sqrt(n)
    low, high = stats.norm.interval(confidence, values.mean(), error)
    # Standard error of a sample quantile: sqrt(q (1 - q) / n) / density.
    density = stats.norm.pdf(stats.norm.ppf(tail)) / error
    off = STANDARD_ERRORS * math.sqrt(tail * (1 - tail) / n_resamples) / density
    assert abs(estimate.low[0] - low) < off
    assert abs(estimate.high[0] - high) < off


def test_mean_interval_covers_the_mean_at_its_rate():
    rng = np.random.default_rng(0)
    n, repeats = 40, 500
    covered = 0
    for seed in range(repeats):
        estimate = mean_estimate(rng.normal(1, 2, n), n_resamples=500, seed=seed)
        covered += int(estimate.low[0] <= 1 <= estimate.high[0])
    # The bootstrap's error is smaller than that of Student's t by sqrt((n - 1) / n).
    quantile = stats.norm.ppf(0.975) * math.sqrt((n - 1) / n)
    rate = 1 - 2 * stats.t.sf(quantile, n - 1)
    lowest, highest = stats.binom.ppf([1e-5, 1 - 1e-5], repeats, rate)
    assert lowest <= covered <= highest


def test_mean_of_equal_values():
    zero, half = mean_estimate([0.0] * 5), mean_estimate([0.5] * 5)
    assert (zero.value, zero.low, zero.high, zero.p) == (0, 0, 0, 1)
    assert (half.value, half.low, half.high, half.p) == (0.5, 0.5, 0.5, 0)


@pytest.mark.parametrize("values", [[1.0], [], [[1.0, 2.0]], np.zeros((2, 2, 2))])
def test_mean_of_too_few_images(values):
    with pytest.raises(ValueError, match="N >= 2"):
        mean_estimate(values)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("contrast", [np.subtract, ratio])
@pytest.mark.parametrize(
    ("first", "second"),
    [(FIRST, SECOND), (FIRST[:3], [*SECOND, 0.9]), ([3, 3, 2, 2], [3, 2, 2, 2])],
)
def test_contrast_p_value_against_every_relabelling(first, second, contrast):
    pooled = np.array([*first, *second])
    is_first = np.arange(len(pooled)) < len(first)
    every = [
        contrast(pooled[labels].mean(), pooled[~labels].mean())
        for labels in relabellings(is_first)
    ]
    value = contrast(np.mean(first), np.mean(second))
    estimate = contrast_estimate(first, second, contrast, n_resamples=20_000)
    assert estimate.value[0] == pytest.approx(value, rel=1e-12)
    assert_p_value(estimate.p[0], share_as_far(every, value), 20_000)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("contrast", [np.subtract, ratio])
def test_contrast_interval_against_every_resample(contrast):
    first, second = np.array(FIRST), np.array(SECOND) + 1
    every = [
        contrast(a, b)
        for a, b in itertools.product(
            first[resamples(4)].mean(axis=1), second[resamples(4)].mean(axis=1)
        )
    ]
    estimate = contrast_estimate(first, second, contrast, 20_000, confidence=0.8)
    assert_quantile(estimate.low[0], 0.1, every, 20_000)
    assert_quantile(estimate.high[0], 0.9, every, 20_000)


def test_contrast_of_each_layer():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(4, 3)), rng.normal(0.5, size=(3, 3))
    estimate = contrast_estimate(first, second, np.subtract, n_resamples=10_000)
    for layer in range(3):
        pooled = np.concatenate([first[:, layer], second[:, layer]])
        every = [
            pooled[labels].mean() - pooled[~labels].mean()
            for labels in relabellings([True] * 4 + [False] * 3)
        ]
        value = first[:, layer].mean() - second[:, layer].mean()
        assert estimate.value[layer] == pytest.approx(value, rel=1e-12)
        assert_p_value(estimate.p[layer], share_as_far(every, value), 10_000)


def test_contrast_of_separate_sets_is_as_significant_as_can_be():
    estimate = contrast_estimate(np.arange(50), np.arange(50) + 1000, np.subtract, 999)
    assert estimate.p[0] == 1 / 1000


def test_contrast_of_equal_sets():
    estimate = contrast_estimate([0.1, 0.2, 0.7], [0.7, 0.1, 0.2], np.subtract)
    assert estimate.value[0] == pytest.approx(0, abs=1e-15)
    assert estimate.p[0] == 1


def test_contrast_without_anything_to_find():
    rng = np.random.default_rng(0)
    repeats, significant = 600, 0
    for seed in range(repeats):
        first, second = rng.exponential(size=12), rng.exponential(size=17)
        estimate = contrast_estimate(first, second, np.subtract, 199, seed=seed)
        significant += int(estimate.p[0] <= 0.05)
    lowest, highest = stats.binom.ppf([1e-5, 1 - 1e-5], repeats, 0.05)
    assert lowest <= significant <= highest


def test_contrast_shapes_do_not_fit():
    with pytest.raises(ValueError, match="columns"):
        contrast_estimate(np.zeros((3, 2)), np.zeros((3, 1)), np.subtract)
    with pytest.raises(ValueError, match="first"):
        contrast_estimate([1.0], [1.0, 2.0], np.subtract)
    with pytest.raises(ValueError, match="second"):
        contrast_estimate([1.0, 2.0], [1.0], np.subtract)


@pytest.mark.parametrize(
    "estimate",
    [
        lambda **options: mean_estimate(FIRST, 300, **options),
        lambda **options: contrast_estimate(FIRST, SECOND, ratio, 300, **options),
    ],
)
def test_the_seed_decides(estimate, monkeypatch):
    once = estimate(seed=3)
    assert list(estimate(seed=3)) == list(once)
    assert list(estimate(seed=4)) != list(once)
    monkeypatch.setattr(resampling, "_BLOCK", 7)
    np.testing.assert_allclose(list(estimate(seed=3)), list(once), rtol=1e-12)


NAN = math.nan


@pytest.mark.parametrize("n_values", [3, 4, 9, 30])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_interval_and_p_value_are_students_t(n_values, confidence):
    values = np.random.default_rng(n_values).normal(0.3, 1, size=(n_values, 2, 5))
    found = student_mean(values, confidence)
    test = stats.ttest_1samp(values, 0, axis=0)
    interval = test.confidence_interval(confidence)
    np.testing.assert_allclose(found.value, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.error, stats.sem(values, axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.low, interval.low, rtol=1e-9)
    np.testing.assert_allclose(found.high, interval.high, rtol=1e-9)
    np.testing.assert_allclose(found.p, test.pvalue, rtol=1e-9)
    assert found.n.tolist() == [[n_values] * 5] * 2


def test_p_values_far_in_the_tail():
    values = np.random.default_rng(0).normal(1, 1e-4, size=12)
    expected = stats.ttest_1samp(values, 0).pvalue
    assert 0 < expected < 1e-40
    assert student_mean(values).p == pytest.approx(expected, rel=1e-6, abs=0)


def test_values_that_are_missing_do_not_count():
    rng = np.random.default_rng(4)
    values = rng.normal(0.5, 1, size=(6, 7))
    for column in range(7):
        values[rng.permutation(6)[:column], column] = NAN
    found = student_mean(values)
    assert found.n.tolist() == [6, 5, 4, 3, 2, 1, 0]
    for column in range(7):
        x = values[:, column][~np.isnan(values[:, column])].tolist()
        names = ("value", "low", "high", "p", "error")
        at = {name: float(getattr(found, name)[column]) for name in names}
        if len(x) > 2:
            test = stats.ttest_1samp(x, 0)
            low, high = test.confidence_interval()
            expected = statistics.fmean(x), low, high, test.pvalue
            shown = at["value"], at["low"], at["high"], at["p"]
            assert shown == pytest.approx(expected, rel=1e-9)
        else:
            assert all(math.isnan(at[name]) for name in ("low", "high", "p"))
        if len(x) > 1:
            error = statistics.stdev(x) / math.sqrt(len(x))
            assert at["error"] == pytest.approx(error, rel=1e-12)
        else:
            assert math.isnan(at["error"])
    assert found.value[4] == pytest.approx(np.nanmean(values[:, 4]))
    assert found.value[5] == np.nanmax(values[:, 5])
    assert np.isnan(found.value[6])


def test_two_values_have_an_error_but_no_interval():
    found = student_mean([0.1, 0.5])
    assert found.value == pytest.approx(0.3)
    assert found.error == pytest.approx(0.2)
    assert np.isnan([found.low, found.high, found.p]).all()


def test_values_that_agree_exactly():
    found = student_mean([[0.25, 0.0]] * 4)
    assert found.value.tolist() == found.low.tolist() == found.high.tolist()
    assert found.error.tolist() == [0, 0]
    assert found.p.tolist() == [0, 1]


def formula(first, second):
    means, errors, freedom = [], [], []
    for sample in (first, second):
        n, mean = len(sample), sum(sample) / len(sample)
        means.append(mean)
        errors.append(sum((x - mean) ** 2 for x in sample) / (n - 1) / n)
        freedom.append(n - 1)
    t = (means[0] - means[1]) / math.sqrt(sum(errors))
    df = sum(errors) ** 2 / sum(e**2 / f for e, f in zip(errors, freedom, strict=True))
    return t, 2 * stats.t.sf(abs(t), df)


@pytest.mark.parametrize(("n", "m", "spread"), [(5, 30, 4.0), (12, 12, 1.0), (2, 9, 9)])
def test_formula(n, m, spread):
    rng = np.random.default_rng(n)
    first, second = rng.normal(0.5, 1, n), rng.normal(0, spread, m)
    t, p = welch_t_test(first, second)
    assert t.shape == p.shape == ()
    assert (float(t), float(p)) == pytest.approx(formula(first, second), rel=1e-10)


def test_layers_are_tested_one_by_one():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(8, 3)), rng.normal(1, 2, size=(15, 3))
    t, p = welch_t_test(first, second)
    expected = [formula(first[:, i], second[:, i]) for i in range(3)]
    np.testing.assert_allclose(np.stack([t, p], axis=1), expected, rtol=1e-10)


@pytest.mark.filterwarnings("error")
def test_sets_that_do_not_vary_tell_nothing():
    t, p = welch_t_test([[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    assert np.isnan([t[0], p[0]]).all()
    assert (t[1], p[1]) == pytest.approx(formula([1, 1], [0, 1, 2]))


@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1)])
def test_fewer_than_two_images(n, m):
    with pytest.raises(ValueError, match="two images"):
        welch_t_test(np.arange(n), np.arange(m))
